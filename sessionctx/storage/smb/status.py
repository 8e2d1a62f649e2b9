"""What a server's status codes mean for whoever asked: our errors, in plain words. Pure ([MS-ERREF] 2.3)."""

from __future__ import annotations

from typing import Final

from sessionctx.errors import (
    AccessDenied,
    Busy,
    CannotDo,
    FileChanged,
    FileExists,
    InvalidLocation,
    NoRoom,
    NoSuchFile,
    PeerError,
    PeerFailed,
    StorageError,
)

SUCCESS: Final = 0
MORE_FILES_NOT: Final = 0x80000006
NO_SUCH_FILE: Final = 0xC000000F
END_OF_FILE: Final = 0xC0000011
NAME_NOT_FOUND: Final = 0xC0000034
COLLISION: Final = 0xC0000035
PATH_NOT_FOUND: Final = 0xC000003A
DENIED: Final = 0xC0000022
SHARING_VIOLATION: Final = 0xC0000043
NOT_A_FOLDER: Final = 0xC0000103
IS_A_FOLDER: Final = 0xC00000BA
DELETE_PENDING: Final = 0xC0000056

GONE: Final = frozenset({NO_SUCH_FILE, NAME_NOT_FOUND, PATH_NOT_FOUND, DELETE_PENDING})
"""There is nothing of that name."""
LOST: Final = frozenset({0xC00000C9, 0xC0000203, 0xC000035C, 0xC000020C})
"""The server has forgotten the session or the share: begin anew."""

_OPEN: Final = "somebody has it open, and does not share it: try again when it is closed"
_STORAGE: Final[dict[int, tuple[type[StorageError], str]]] = {
    NO_SUCH_FILE: (NoSuchFile, "is not there"),
    NAME_NOT_FOUND: (NoSuchFile, "is not there"),
    PATH_NOT_FOUND: (NoSuchFile, "is not there, nor is the folder that it would be in"),
    0xC0000225: (NoSuchFile, "is not there"),
    DELETE_PENDING: (NoSuchFile, "is being deleted"),
    IS_A_FOLDER: (NoSuchFile, "is a folder, and no file"),
    NOT_A_FOLDER: (NoSuchFile, "is a file, and no folder"),
    0xC00000CC: (NoSuchFile, "cannot be reached: the server has no share of that name"),
    COLLISION: (FileExists, "is there already"),
    0xC0000101: (FileExists, "is a folder that is not empty"),
    DENIED: (AccessDenied, "may not be touched in this way by this user"),
    0xC000006D: (AccessDenied, "cannot be reached: wrong user name or password"),
    0xC000006E: (AccessDenied, "cannot be reached: the account has restrictions (an empty password, or times)"),
    0xC0000071: (AccessDenied, "cannot be reached: the password has expired"),
    0xC0000072: (AccessDenied, "cannot be reached: the account is disabled"),
    0xC0000193: (AccessDenied, "cannot be reached: the account has expired"),
    0xC0000224: (AccessDenied, "cannot be reached: the password has to be changed first"),
    0xC0000234: (AccessDenied, "cannot be reached: the account is locked out"),
    0xC000015B: (AccessDenied, "cannot be reached: this kind of logon is not granted to the account"),
    0xC00000CA: (AccessDenied, "cannot be reached: the server does not let us on its network"),
    0xC0000061: (AccessDenied, "needs a privilege that the account does not have"),
    0xC00000A2: (AccessDenied, "is on a medium that is write-protected"),
    0xC0000121: (AccessDenied, "cannot be deleted: it is read-only, or in use"),
    SHARING_VIOLATION: (AccessDenied, f"cannot be opened: {_OPEN}"),
    0xC0000054: (AccessDenied, f"is locked: {_OPEN}"),
    0xC0000033: (InvalidLocation, "has a name that this server cannot hold"),
    0xC0000039: (InvalidLocation, "has a name that this server cannot hold"),
    0xC0000106: (InvalidLocation, "has a name that is too long for this server"),
    0xC000007F: (NoRoom, "cannot be written: the disk is full"),
    0xC0000044: (NoRoom, "cannot be written: the quota is used up"),
    0xC0000904: (NoRoom, "cannot be written: it would be larger than the file system allows"),
    END_OF_FILE: (FileChanged, "has become shorter while it was read"),
    0xC00000BB: (CannotDo, "cannot be treated like that: the server does not support it"),
    0xC0000010: (CannotDo, "cannot be treated like that: the server does not support it"),
    0xC0000257: (CannotDo, "is on another server (DFS), and referrals are not followed: open that share itself"),
    0x8000002D: (CannotDo, "leads through a link, which has to be followed by the client: name what it leads to"),
    0xC00000D4: (CannotDo, "is on another device than that"),
}
_BUSY: Final = frozenset({0xC000009A, 0xC00000D0, 0xC000011F, 0xC0000205, 0xC00000CE, 0x80000011})


def error_of(status: int, *, storage: str, path: str) -> StorageError | PeerError:
    """Return the error that *status* means for *path*."""
    if status in _STORAGE:
        kind, words = _STORAGE[status]
        return kind(f"{storage}: {path or 'the folder itself'} {words}", storage=storage, path=path)
    if status in _BUSY:
        return Busy(f"{storage} has too much to do (status {status:#x}); try again later", peer=storage)
    return PeerFailed(f"{storage} failed at {path or 'its root'} with status {status:#x}", peer=storage)
