"""What a server's refusals mean for the path they are about. Pure."""

from __future__ import annotations

import stat
from typing import Final

from sessionctx.errors import (
    AccessDenied,
    CannotDo,
    InvalidLocation,
    NoSuchFile,
    PeerFailed,
    SessionctxError,
    StorageError,
)
from sessionctx.storage.base import Entry
from sessionctx.storage.sftp import replies
from sessionctx.storage.sftp.replies import Attributes, Status

_MEANINGS: Final[dict[int, tuple[type[StorageError], str]]] = {
    replies.EOF: (StorageError, "ended early"),
    replies.NO_SUCH_FILE: (NoSuchFile, "is not there"),
    replies.PERMISSION_DENIED: (AccessDenied, "is not for us: the server denies the permission"),
    replies.BAD_MESSAGE: (InvalidLocation, "is no name to the server, or too long"),
    replies.UNSUPPORTED: (CannotDo, "cannot be served: the server does not do this"),
}


def fault(status: Status, path: str, shown: str) -> SessionctxError:
    """Return the error that *status* is, of *path* in the storage that is shown as *shown*."""
    if status.code in {replies.NO_CONNECTION, replies.CONNECTION_LOST}:
        return PeerFailed(f"{shown} has lost its connection: {status.message}", peer=shown)
    kind, what = _MEANINGS.get(status.code, (StorageError, f"failed: the server says {status.message or 'no more'!r}"))
    return kind(f"{shown}: {path or 'the root'} {what}", storage=shown, path=path)


def entry(path: str, found: Attributes) -> Entry:
    """Return what is known of *path*."""
    file = found.kind == "file"
    return Entry(
        path=path,
        kind=found.kind,
        size=found.size if file else None,
        modified=None if found.modified is None else float(found.modified),
        version=version(found) if file else None,
        mode=None if found.mode is None else stat.S_IMODE(found.mode),
    )


def version(found: Attributes) -> str | None:
    """Return what tells one content of a file from another, as far as the server can: time and size."""
    return None if found.modified is None or found.size is None else f"{found.modified:x}-{found.size:x}"


def inside(root: bytes, real: bytes) -> bool:
    """Whether the path *real*, without links, is *root* or in it."""
    return real == root or real.startswith(root.rstrip(b"/") + b"/")
