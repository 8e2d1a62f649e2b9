"""From blocks to what is to be done on a file system: make this folder, write these bytes there. Pure.

This is where hostile names end: a name that is no plain name of one file never becomes an action.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeAlias

import attrs

from sessionctx.content import CID, Block, PBLink, unixfs
from sessionctx.dag.unixfs.hamt import TOP, Place, Sub
from sessionctx.dag.unixfs.node import MAX_FOLDERS, Node, describe, open_node
from sessionctx.dag.unixfs.parts import Part, Span, open_part
from sessionctx.dag.unixfs.read import directory_links
from sessionctx.errors import DagTooDeep, InvalidDag, NotAFile, UnsafePath

MAX_NAME: Final = 4096
"""Bytes of a name, or of the target of a symlink."""


@attrs.frozen
class Metadata:
    """What a node says about the file it becomes; ``None`` where it says nothing."""

    mode: int | None = None
    """Permissions only: never setuid, setgid or sticky."""
    mtime_ns: int | None = None


@attrs.define(eq=False)
class Folder:
    """A folder to be made; the outermost one has no parent, and is where the root goes."""

    parent: Folder | None
    name: bytes
    metadata: Metadata = Metadata()
    depth: int = -1

    def where(self) -> str:
        """Return the path below the root, for errors."""
        parts: list[str] = []
        at = self
        while at.parent is not None:
            parts.append(at.name.decode(errors="replace"))
            at = at.parent
        return "/".join(reversed(parts[:-1]))


@attrs.define(eq=False)
class File:
    """A file to be written, from its first byte to its last."""

    parent: Folder
    name: bytes
    size: int
    metadata: Metadata
    span: Span = attrs.field(factory=Span)
    moved: bool = False
    """Its name was a path."""


@attrs.define
class MakeFolder:
    """Make an empty folder."""

    folder: Folder


@attrs.define
class MakeSymlink:
    """Make a symbolic link. It is never followed."""

    parent: Folder
    name: bytes
    target: bytes
    metadata: Metadata


@attrs.define
class Write:
    """Write the next bytes of a file; the first ones make it, those up to its size finish it."""

    file: File
    start: int
    data: bytes


Action: TypeAlias = MakeFolder | MakeSymlink | Write


@attrs.define
class Named:
    """A block that becomes the file, folder or symlink of this name."""

    parent: Folder
    name: bytes
    moved: bool = False
    """The name was a path, which led to *parent*."""


@attrs.define
class InFolder:
    """A block that is a shard of this folder."""

    folder: Folder
    place: Place


@attrs.define
class InFile:
    """A block that is a part of this file."""

    file: File
    part: Part


Tag: TypeAlias = Named | InFolder | InFile
Step: TypeAlias = tuple[Iterable[Action], Iterable[tuple[CID, Tag]]]
Naming: TypeAlias = Callable[[PBLink, Node, Folder], Named]
"""Says where an entry of a folder goes, by its name. :exc:`UnsafePath`."""


def unpack(block: Block, tag: Tag, naming: Naming | None = None) -> Step:
    """Say what to do for *block*, and which blocks belong to it. Default: names are plain ones, see `safe_name`.

    Raises:
        UnsafePath: a name that would lead elsewhere, or is there twice.
        InvalidDag, DecodeError, DagTooDeep, NotAFile: the DAG is no proper tree of files.
    """
    if isinstance(tag, InFile):
        return _part(block, tag.file, tag.part)
    node, naming = open_node(block), naming or _plain
    if isinstance(tag, InFolder):
        return (), _children(node, tag.folder, tag.place, naming)
    if node.kind == "metadata":
        return (), ((node.links[0].cid, tag),)
    metadata = _metadata(node.fields)
    if node.kind == "file":
        file = File(tag.parent, tag.name, node.size, metadata, moved=tag.moved)
        return _part(block, file, Part(0, None, file.span))
    if tag.moved:
        raise UnsafePath(f"{node.cid} is {describe(node)}, and its name is a path: only a file may have such a name")
    if node.kind == "directory":
        return _folder(node, tag, metadata, naming)
    if node.kind == "symlink":
        return (MakeSymlink(tag.parent, tag.name, _symlink_target(node), metadata),), ()
    raise NotAFile(f"{node.cid} is {describe(node)}: only files, directories and symlinks can be exported")


def _part(block: Block, file: File, part: Part) -> Step:
    node, children = open_part(block, part)
    actions: tuple[Action, ...] = ()
    if node.payload or part.size is None:  # the root always acts: it makes the file
        actions = (Write(file, part.start, node.payload),)
    return actions, ((cid, InFile(file, below)) for cid, below in children)


def _folder(node: Node, tag: Named, metadata: Metadata, naming: Naming) -> Step:
    folder = Folder(tag.parent, tag.name, metadata, tag.parent.depth + 1)
    if folder.depth > MAX_FOLDERS:
        raise DagTooDeep(f"{node.cid} is nested in more than {MAX_FOLDERS} directories")
    return (MakeFolder(folder),), _children(node, folder, TOP, naming)


def _children(node: Node, folder: Folder, place: Place, naming: Naming) -> Iterator[tuple[CID, Tag]]:
    names: set[bytes] = set()
    for item in directory_links(node, place):
        if isinstance(item, Sub):
            yield item.link.cid, InFolder(folder, item.place)
        else:
            named = naming(item, node, folder)
            if named.parent is folder:
                if named.name in names:
                    raise UnsafePath(f"the directory {node.cid} has two entries called {item.name!r}")
                names.add(named.name)
            yield item.cid, named


def _plain(link: PBLink, node: Node, folder: Folder) -> Named:
    return Named(folder, safe_name(link, node))


def safe_name(link: PBLink, node: Node) -> bytes:
    """Return the name of an entry. :exc:`UnsafePath` if it is no plain name of one file."""
    name = (link.name or "").encode()
    if name in (b"", b".", b"..") or b"/" in name or b"\0" in name or len(name) > MAX_NAME:
        raise UnsafePath(
            f"the directory {node.cid} has an entry called {(link.name or '')[:200]!r}: that is no file name"
        )
    return name


def _symlink_target(node: Node) -> bytes:
    target = node.payload
    if not target or b"\0" in target or len(target) > MAX_NAME:
        raise InvalidDag(f"{node.cid} is a symlink to {target[:200]!r}, which is no path")
    return target


def _metadata(fields: unixfs.Data | None) -> Metadata:
    if fields is None or (fields.mode is None and fields.mtime is None):
        return Metadata()
    mtime = fields.mtime
    return Metadata(
        None if fields.mode is None else fields.mode & 0o777,
        None if mtime is None else mtime.seconds * 1_000_000_000 + (mtime.nanoseconds or 0),
    )
