"""What is there, and whether that is within the root: links lead nowhere out of it. And folders, made on the way.

Whoever can put links into the server's folders at this very moment can lead astray: a root is no jail.
"""

from __future__ import annotations

from contextlib import suppress

from sessionctx.errors import AccessDenied, FileExists, NoSuchFile, SessionctxError
from sessionctx.storage.base import Entry
from sessionctx.storage.paths import parent
from sessionctx.storage.sftp import calls, replies
from sessionctx.storage.sftp.dial import Session, one_name
from sessionctx.storage.sftp.faults import entry, fault, inside
from sessionctx.storage.sftp.line import Line, Pending, Refused
from sessionctx.storage.sftp.replies import Attributes, Handle, Reply
from sessionctx.storage.sftp.target import Target


def attributes_of(line: Line, reply: Reply) -> Attributes:
    """Return the attributes that were asked for. :exc:`BadAnswer`."""
    if not isinstance(reply, Attributes):
        raise line.odd("it was asked for attributes, and tells something else")
    return reply


def sized(line: Line, reply: Reply) -> Attributes:
    """Return the attributes of a file, with its size. :exc:`BadAnswer`."""
    found = attributes_of(line, reply)
    if found.size is None:
        raise line.odd("it does not tell a file's size")
    return found


def handle_of(line: Line, reply: Reply) -> bytes:
    """Return the handle that was asked for. :exc:`BadAnswer`."""
    if not isinstance(reply, Handle):
        raise line.odd("it was asked for a handle, and tells something else")
    return reply.name


async def check_inside(session: Session, path: str, real: Reply, shown: str) -> None:
    """Check that *real*, the server's answer to where *path* is, lies in the root. :exc:`AccessDenied`."""
    name = one_name(session.line, real)
    if inside(session.root, name):
        return
    with suppress(Refused):  # the root may have been made since
        session.root = one_name(session.line, await session.line.ask(calls.realpath(session.root_given)))
    if not inside(session.root, name):
        raise AccessDenied(
            f"{shown}: {path} is, or goes through, a link that leads out of the storage", storage=shown, path=path
        )


async def find(session: Session, target: Target, path: str) -> Entry:
    """Return what *path* is; what a link leads to, if that is within the root. :exc:`Refused`."""
    line, where = session.line, target.at(path)
    look, real, through = (line.begin(ask(where)) for ask in (calls.lstat, calls.realpath, calls.stat))
    try:
        found = attributes_of(line, await line.take(look))
        if found.kind != "link":
            await check_inside(session, path, await line.take(real), target.public)
            return entry(path, found)
        try:
            await check_inside(session, path, await line.take(real), target.public)
            return entry(path, attributes_of(line, await line.take(through)))
        except (AccessDenied, Refused):
            return entry(path, found)
    finally:
        line.drop(real)
        line.drop(through)


async def itself(session: Session, target: Target, path: str) -> Attributes | None:
    """Return what is at *path*, be it a link, or None; the folder it is in lies within the root. :exc:`Refused`."""
    line = session.line
    look, real = line.begin(calls.lstat(target.at(path))), line.begin(calls.realpath(target.at(parent(path))))
    try:
        found = attributes_of(line, await line.take(look))
        await check_inside(session, path, await line.take(real), target.public)
    except Refused as refusal:
        if not refusal.gone:
            raise
        return None
    finally:
        line.drop(real)
    return found


async def prepare(session: Session, target: Target, path: str) -> Attributes | None:
    """Make ready for a file at *path*: there is a folder for it, and no folder in its place. Returns what is there.

    :exc:`Refused`, :exc:`FileExists`, :exc:`AccessDenied`.
    """
    line, folder = session.line, parent(path)
    real, around = line.begin(calls.realpath(target.at(folder))), line.begin(calls.stat(target.at(folder)))
    look = line.begin(calls.lstat(target.at(path)))
    try:
        if await _is_folder(session, around):
            await check_inside(session, path, await line.take(real), target.public)
        else:
            await make_folders(session, target, folder)
        found = attributes_of(line, await line.take(look))
    except Refused as refusal:
        if not refusal.gone:
            raise
        return None
    finally:
        line.drop(real)
        line.drop(look)
    if found.kind == "folder":
        shown = target.public
        raise FileExists(f"{shown}: {path or 'the root'} is a folder", storage=shown, path=path)
    return found


async def _is_folder(session: Session, around: Pending) -> bool:
    """Whether a folder is there. What else may be in its place, whoever makes the folder finds out."""
    try:
        return attributes_of(session.line, await session.line.take(around)).kind == "folder"
    except Refused as refusal:
        if not refusal.gone:
            raise
        return False


async def make_folders(session: Session, target: Target, path: str) -> None:
    """Make the folder *path*, and those on the way. :exc:`Refused`, :exc:`FileExists`, :exc:`AccessDenied`."""
    missing: list[str] = []
    while path:
        try:
            real = await session.line.ask(calls.realpath(target.at(path)))
        except Refused as refusal:
            if not refusal.gone:
                raise
            missing.append(path)
            path = parent(path)
        else:
            await check_inside(session, path, real, target.public)
            break
    if not path:
        await _make_root(session, target)
    for folder in (path, *reversed(missing)):
        if folder:
            await _make(session, target, target.at(folder), folder)


async def _make_root(session: Session, target: Target) -> None:
    missing = [target.at("")]
    while await _gone(session, missing[-1]) and missing[-1].rpartition(b"/")[0]:
        missing.append(missing[-1].rpartition(b"/")[0])
    for where in reversed(missing):
        await _make(session, target, where, "")


async def _make(session: Session, target: Target, where: bytes, path: str) -> None:
    try:
        await session.line.ask(calls.mkdir(where))
    except Refused:
        found = attributes_of(session.line, await session.line.ask(calls.stat(where)))
        if found.kind != "folder":
            shown = target.public
            raise FileExists(f"{shown}: {path} is a file, and no folder", storage=shown, path=path) from None


async def is_there(session: Session, where: bytes) -> bool:
    """Whether something is there, be it a link."""
    try:
        await session.line.ask(calls.lstat(where))
    except Refused:
        return False
    return True


async def remove(session: Session, target: Target, path: str) -> None:
    """Delete a file, a link, or an empty folder. :exc:`Refused`, :exc:`FileExists` if it is not empty."""
    found = await itself(session, target, path)
    if found is None:
        return
    where, folder = target.at(path), found.kind == "folder"
    try:
        await session.line.ask(calls.rmdir(where) if folder else calls.remove(where))
    except Refused as refusal:
        if folder and refusal.status.code == replies.FAILURE:
            shown = target.public
            raise FileExists(f"{shown}: the folder {path} is not empty", storage=shown, path=path) from None
        if not refusal.gone:
            raise


async def _gone(session: Session, where: bytes) -> bool:
    try:
        await session.line.ask(calls.stat(where))
    except Refused as refusal:
        return refusal.gone
    return False


async def explained(
    session: Session, target: Target, refusal: Refused, path: str, blocked: type[FileExists] | None = None
) -> SessionctxError:
    """Return the error that *refusal* is of *path*: version 3 says but "failure" if a file is where a folder should be.

    That is *blocked* to who wants to write; who wants to read finds nothing there.
    """
    shown = target.public
    if refusal.status.code != replies.FAILURE:
        return fault(refusal.status, path, shown)
    folder = parent(path)
    while folder:
        try:
            found = attributes_of(session.line, await session.line.ask(calls.stat(target.at(folder))))
        except Refused:
            folder = parent(folder)
            continue
        if found.kind == "folder":
            break
        kind = blocked or NoSuchFile
        return kind(f"{shown}: {path} cannot be there: {folder} is a file, and no folder", storage=shown, path=path)
    return fault(refusal.status, path, shown)
