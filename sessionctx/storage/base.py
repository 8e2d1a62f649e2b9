"""What every storage backend promises: files by path, streamed in and out, whole or not at all.

A backend is rooted at a folder, a bucket or a share, and takes paths relative to that: see `sessionctx.storage.paths`.
The tests of `sessionctx.testing.storage.BackendContract` hold a backend to all this.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from types import MappingProxyType
from typing import Final, Literal, Protocol, Self, TypeAlias

import attrs

from sessionctx.errors import SessionctxError

Kind: TypeAlias = Literal["file", "folder", "link", "other"]
"""What is at a path; a device or a pipe, say, is something other."""

Source: TypeAlias = bytes | bytearray | memoryview | AsyncIterable[bytes | bytearray | memoryview]
"""What is written: bytes in one piece, or pieces of any size as they come, each left alone until the next is asked for.

A backend holds no more of it in memory than a few parts. An error that the source raises leaves nothing behind.
"""


@attrs.frozen(kw_only=True)
class Can:
    """What a backend can do; nobody finds out by catching exceptions. What it cannot, it refuses: :exc:`CannotDo`."""

    write: bool = True
    """Write, and delete."""
    folders: bool = True
    """Folders are things of their own, which may be empty. Where not (S3), they are but the prefixes of what is there,
    and `Backend.mkdir` does nothing."""
    rename: bool = False
    """Give a file another name, at once and whole."""
    copy: bool = False
    """Copy a file without its bytes coming to us."""
    if_absent: bool = False
    """Write only where nothing is, decided by the server: no race."""
    if_version: bool = False
    """Write only over a version that is known, and read only that."""
    times: bool = False
    """Keep the time of modification that it is given."""
    modes: bool = False
    """Keep permissions."""
    metadata: bool = False
    """Keep a content type and metadata."""
    links: bool = False
    """May hold symbolic links: they are listed as such, and followed only by name and only to files within the root."""
    batch_delete: int = 1
    """The most paths that one request deletes."""
    sorted: bool = False
    """Whether recursive listings come in the order of the paths' UTF-8 bytes, and can start after any of them."""
    best_in_flight: int = 4
    """Requests at once that serve this kind of endpoint well."""
    best_part: int = 8 * 1024 * 1024
    """Bytes of one part, where a large file is moved in parts."""
    pipelined: bool = False
    """One read of a large file fills the line by itself, and is checked as a whole where the server tells a checksum of
    it: it need not be read in parts to be fast."""
    local: bool = False
    """On this machine's own file system: nothing travels."""


@attrs.frozen(kw_only=True)
class Entry:
    """What is known of one path. The root itself has the path ``""``."""

    path: str
    kind: Kind = "file"
    size: int | None = None
    """Bytes; None where nobody knows, or it is no file."""
    modified: float | None = None
    """Seconds since 1970."""
    version: str | None = None
    """Opaque: another one means that the content is, or may be, another. Two equal ones mean the same bytes, as far as
    the storage can tell. None where there is no telling."""
    mode: int | None = None
    """Permission bits (``0o777``)."""
    content_type: str | None = None
    metadata: Mapping[str, str] = MappingProxyType({})
    problem: SessionctxError | None = attrs.field(default=None, eq=False)
    """Of a listing: why nothing more is known of this one, or what lies below it is missing; the rest goes on."""


@attrs.frozen(kw_only=True)
class WriteOptions:
    """How to write. What `Can` does not promise is refused where it guards (*if_...*), and otherwise left out."""

    if_absent: bool = False
    """Only where there is nothing: :exc:`FileExists`."""
    if_version: str | None = None
    """Only over this version: :exc:`FileChanged`."""
    modified: float | None = None
    mode: int | None = None
    content_type: str | None = None
    metadata: Mapping[str, str] = MappingProxyType({})


PLAIN: Final = WriteOptions()


class Reader(Protocol):
    """One file, or a range of one, as it comes: an async iterator of non-empty pieces, each the reader's to keep."""

    @property
    def entry(self) -> Entry:
        """The whole file: its size and its version are those of what is being read."""
        ...

    def __aiter__(self) -> Self: ...

    async def __anext__(self) -> bytes | bytearray | memoryview: ...


class Listing(Protocol):
    """Entries as they come: an async iterator, which asks for no more than it must when it is left early."""

    def __aiter__(self) -> Self: ...

    async def __anext__(self) -> Entry: ...


class Backend(Protocol):
    """Files by path in one place. Used by any number of tasks at once, within the block that opened it.

    Every operation joins the session that is bound where it is called, if one is: its requests are counted there, and
    what they tell about the endpoint is learnt. It raises `StorageError` for what is wrong with a path or a file, and
    `PeerError` with ``peer=public`` for an endpoint that does not serve: :exc:`Unreachable`, :exc:`Stalled`,
    :exc:`Busy`, :exc:`PeerFailed`, :exc:`BadAnswer`. What is safe to repeat has been repeated by then.
    """

    @property
    def url(self) -> str:
        """The root, normalised, with the credentials if some were given: never show it."""
        ...

    @property
    def public(self) -> str:
        """The root without credentials, for logs and errors."""
        ...

    @property
    def endpoint(self) -> str:
        """What it shares with other backends: windows and rests belong to it. Without credentials."""
        ...

    @property
    def can(self) -> Can:
        """What it can do."""
        ...

    async def stat(self, path: str = "") -> Entry:
        """Return what *path* is. :exc:`NoSuchFile`, :exc:`AccessDenied`."""
        ...

    def read(
        self, path: str, *, offset: int = 0, length: int | None = None, version: str | None = None
    ) -> AbstractAsyncContextManager[Reader]:
        """Read a file from *offset*, *length* bytes of it or all to its end; what lies behind the end is not there.

        With *version* only that one, as it was told by `stat` or another reader: :exc:`FileChanged`. If the file is
        replaced meanwhile, what comes is all of one version, or the iteration raises :exc:`FileChanged`. If the server
        tells a checksum of what was asked for, it is checked: :exc:`FileDamaged`.
        """
        ...

    async def write(
        self, path: str, source: Source, *, size_hint: int | None = None, options: WriteOptions = PLAIN
    ) -> Entry:
        """Write a file: it appears whole at the end, in place of what was there, or nothing changes.

        That holds for errors, cancellation and interrupts; what was begun is removed. Folders on the way are made.
        *size_hint* is how many bytes are expected; a source that brings others is no error.
        :exc:`FileExists`, :exc:`FileChanged`, :exc:`AccessDenied`, :exc:`NoRoom`.
        """
        ...

    def list(
        self, prefix: str = "", *, recursive: bool = False, after: str | None = None
    ) -> AbstractAsyncContextManager[Listing]:
        """List what is in the folder *prefix*; *recursive*: all files below it, and folders where these are things.

        *after* leaves out paths up to that one, where `Can.sorted` promises an order. A folder that is absent is empty
        where folders are no things, otherwise :exc:`NoSuchFile`. What cannot be looked at comes as an entry with a
        *problem*.
        """
        ...

    async def delete(self, path: str) -> None:
        """Delete a file, a link, or an empty folder. What is not there was deleted already. :exc:`AccessDenied`."""
        ...

    async def delete_many(self, paths: Iterable[str]) -> dict[str, SessionctxError]:
        """Delete each as `delete` does, many to a request where that can be; return those that failed, and why."""
        ...

    async def mkdir(self, path: str) -> None:
        """Make a folder, and those on the way; they may be there already. :exc:`FileExists` if one is no folder."""
        ...

    async def rename(self, source: str, target: str) -> None:
        """Give the file *source* the name *target*, in place of what is there. :exc:`NoSuchFile`, :exc:`CannotDo`."""
        ...

    async def copy(self, source: str, target: str) -> Entry:
        """Copy the file *source* to *target* on the server, in place of what is there. As `rename`."""
        ...
