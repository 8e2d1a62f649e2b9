"""Every error that sessionctx raises, in one tree.

::

    SessionctxError
    ├── ContentError              names or bytes that are wrong in themselves
    │   ├── InvalidCID            a text or byte string that is no CID                    (ValueError)
    │   ├── Unsupported           a codec, hash or base this installation does not know
    │   ├── DecodeError           bytes that break the rules of their codec               (ValueError)
    │   │   └── CarError          ... of the CAR container
    │   │       └── CarTruncated  the CAR ended before it was whole
    │   ├── BlockTooLarge         a block over the size limit
    │   └── HashMismatch          bytes that do not match their name
    ├── SessionError              a session used against its laws
    │   ├── NoSession             none is bound here
    │   ├── SessionEnded          used after the block that began it was left
    │   ├── SessionConflict       joining, and asking for something else than what runs
    │   └── LimitReached          a budget of the session is spent
    ├── PeerError                 one peer, and why it did not serve
    │   ├── InvalidPeer           an address that is none                                 (ValueError)
    │   ├── NotHere               it says it does not have it (no blame)
    │   ├── Denied                it has been told never to serve it
    │   ├── Busy                  it asks to be left alone for a while
    │   ├── Unreachable           no connection to it
    │   ├── Stalled               connected, then silent
    │   ├── PeerFailed            it failed: a 5xx, a closed connection
    │   ├── BadAnswer             its answer breaks the protocol
    │   ├── BadRequest            it says that the question is wrong
    │   ├── NotOffered            it does not do what it was asked for
    │   └── Lied                  its bytes did not match their name
    ├── NotFound                  nobody who was asked has it                             (LookupError)
    │   ├── BlockNotFound         ... a block
    │   │   └── NoPeers           ... and there is nobody to ask
    │   ├── BlobNotFound          ... a blob
    │   └── PathNotFound          ... a name on a path
    ├── FetchFailed               peers were asked, and could not serve; trying later may help
    ├── StoreError                where blocks are kept
    │   ├── NotAStore             the file is something else
    │   ├── StoreCorrupt          the file is damaged
    │   ├── StoreFull             the disk is full, or all that it may hold is there
    │   ├── NothingPinned         all of the store would be collected
    │   └── StoreClosed           used after it was closed
    ├── StorageError              files kept by path: in a folder, a bucket, a share
    │   ├── InvalidLocation       a URL or a path that cannot be one                      (ValueError)
    │   ├── NoSuchFile            nothing is there, or something else than was wanted     (NotFound)
    │   ├── FileExists            something is there already
    │   ├── FileChanged           it is not the version any more that was wanted
    │   ├── FileDamaged           what came, or was kept, does not match its checksum
    │   ├── AccessDenied          the credentials, or their lack, do not allow it
    │   ├── NoRoom                the disk is full, or the quota used up
    │   └── CannotDo              this kind of storage does not do it
    ├── ObjectError               objects by key, in a service
    │   ├── InvalidObject         a key, metadata or an operation that cannot be sent     (ValueError)
    │   ├── TokenRefused          a token or a signature that does not allow this
    │   └── OutcomeUnknown        a write that was sent, and no answer came
    ├── DagError                  blocks that do not link up
    │   ├── InvalidDag            sizes, types or links that contradict each other
    │   ├── DagTooDeep            deeper than the limit
    │   ├── NotAFile              a file was wanted
    │   └── NotADirectory         a directory was wanted
    ├── AddError                  reading what is to be added
    │   ├── SourceUnreadable      it is absent, or cannot be read
    │   ├── SourceChanged         it changed while it was read
    │   └── Unaddable             a name, or a kind of file, that cannot be kept
    ├── ExportError               writing to the file system
    │   ├── UnsafePath            it would leave the target
    │   ├── TargetExists          something is there already
    │   └── TargetUnwritable      it cannot be written
    ├── NotInTrio                 called outside a trio run                               (RuntimeError)
    └── MissingExtra              an optional dependency is not installed                 (ImportError)

    SessionLeakWarning            a task outlived its session                             (ResourceWarning)

A message names the culprit and says what to do next. No message carries a secret: peers appear in their public form.
"""

from __future__ import annotations

from collections.abc import Mapping


class SessionctxError(Exception):
    """The root of the tree: ``except SessionctxError`` catches all that sessionctx raises on purpose."""

    personal: bool = False
    """Whether it is about the caller alone (its session, its deadline): others who wait for the same thing go on."""


# --- content


class ContentError(SessionctxError):
    """A name or a byte string is wrong in itself; asking again changes nothing."""


class InvalidCID(ContentError, ValueError):
    """A text or byte string is no CID. Check what was pasted; the message says where it stops being one."""


class Unsupported(ContentError):
    """A codec, hash function or multibase which this installation does not know."""


class DecodeError(ContentError, ValueError):
    """Bytes break the rules of the codec that their CID names. Whoever encoded them is at fault."""


class CarError(DecodeError):
    """A stream is no CAR, or breaks its rules."""


class CarTruncated(CarError):
    """A CAR ended before it was whole. Blocks read so far are good; fetch the rest again."""


class BlockTooLarge(ContentError):
    """A block exceeds the size that sessionctx handles (2 MiB). Chunk the data when importing it."""


class HashMismatch(ContentError):
    """Bytes do not match their CID: they were damaged or forged. They were not used and not stored."""


# --- session


class SessionError(SessionctxError):
    """A session was used against its laws; the message says which and how to do it right."""

    personal = True


class NoSession(SessionError):
    """No session is bound here. Open one with ``with session.begin():``, or ask with ``session.current(None)``."""


class SessionEnded(SessionError):
    """A session was used after the block that began it was left, or after it was cancelled.

    You see this when a task outlives the session which it inherited. Open the nursery *inside* the session, or start
    the task under ``session.leave()``.
    """


class SessionConflict(SessionError):
    """``begin()`` would join a running session, but asks for limits or a name other than that session has.

    Use ``session.fork(...)`` for a session with its own limits, or begin before the other one does.
    """


class LimitReached(SessionError):
    """A budget given in ``Limits(...)`` is spent. What was fetched and stored stays good."""

    def __init__(self, message: str, *, limit: str = "") -> None:
        super().__init__(message)
        self.limit = limit
        """Which budget: ``"seconds"``, ``"bytes"`` or ``"requests"``."""


# --- peers


class PeerError(SessionctxError):
    """One peer did not serve; *peer* is its public address. Usually handled by asking another one."""

    def __init__(self, message: str, *, peer: str = "") -> None:
        super().__init__(message)
        self.peer = peer
        """The peer's address without credentials."""


class InvalidPeer(PeerError, ValueError):
    """An address cannot be a peer: no URL, or a scheme that no transport serves."""


class NotHere(PeerError):
    """The peer says that it does not have the block. No blame: it is not asked again for this one."""


class Denied(PeerError):
    """The peer refuses this content for good (410, 451). It is not asked again for it."""


class Busy(PeerError):
    """The peer asks to be left alone (429, 502, 503, 504)."""

    def __init__(self, message: str, *, peer: str = "", retry_after: float | None = None) -> None:
        super().__init__(message, peer=peer)
        self.retry_after = retry_after
        """Seconds which the peer asked us to wait, if it said."""


class Unreachable(PeerError):
    """No connection could be made: refused, unknown host, no route, TLS failure."""


class Stalled(PeerError):
    """The peer accepted the request and then sent nothing, or almost nothing, for too long."""


class PeerFailed(PeerError):
    """The peer failed while answering: an internal error, a connection closed too early."""


class BadAnswer(PeerError):
    """The peer's answer breaks the protocol: wrong type, wrong length, endless headers or redirects, too large."""


class BadRequest(PeerError):
    """The peer says that what we asked is wrong (422). The fault is on our side: asking again changes nothing."""


class NotOffered(PeerError):
    """The peer does not do what it was asked for (501), and never will: ask another one."""


class Lied(PeerError):
    """The peer sent bytes that do not match their name. It is banned for the rest of the trio run.

    Remove it from your peers; or have it mended, and call `sessionctx.fetch.unban`.
    """


# --- not found, fetch


class NotFound(SessionctxError, LookupError):
    """Nobody who was asked has it."""


class BlockNotFound(NotFound):
    """A block is in no place that was looked at; *reasons* tells what each asked peer said."""

    def __init__(self, message: str, *, reasons: Mapping[str, Exception] | None = None) -> None:
        super().__init__(message)
        self.reasons: dict[str, Exception] = dict(reasons or {})
        """Per peer (public address), the last thing it answered."""


class NoPeers(BlockNotFound):
    """A block is not in the store, and there is nobody to ask: give ``Node.open(peers=[...])`` an address.

    Or ``session.begin(peers=[...])``; or ``Node.open(routers=[...])`` that of somebody who knows some: if you did,
    nobody was named who may be asked.
    """


class BlobNotFound(NotFound):
    """A blob is not in the own storage, and each service that was asked says that it does not have it: never there.

    If somebody may share it yet, ask later, or load it with ``may_come=True``.
    """

    def __init__(self, message: str, *, reasons: Mapping[str, Exception] | None = None) -> None:
        super().__init__(message)
        self.reasons: dict[str, Exception] = dict(reasons or {})
        """Per service (public address), what it answered."""


class PathNotFound(NotFound):
    """A name on a path does not exist; the message names it and its directory."""


class FetchFailed(SessionctxError):
    """Peers were asked and none could serve, for reasons that may pass; *reasons* lists each peer and why."""

    def __init__(self, message: str, *, reasons: Mapping[str, Exception] | None = None) -> None:
        super().__init__(message)
        self.reasons: dict[str, Exception] = dict(reasons or {})
        """Per peer (public address), why it did not serve."""

    @property
    def lied(self) -> bool:
        """Whether some peer sent bytes that did not match their name."""
        return any(isinstance(reason, Lied) for reason in self.reasons.values())


# --- stores


class StoreError(SessionctxError):
    """The place where blocks are kept cannot do what was asked."""


class NotAStore(StoreError):
    """A file or folder was opened as a block store and is something else. It was not changed."""


class StoreCorrupt(StoreError):
    """A store file is damaged. Nothing was changed; the message says what can still be done."""


class StoreFull(StoreError):
    """The disk below a store is full; or it holds its *max_bytes*, of what may not be evicted.

    Nothing of what was put is kept, and blocks stored before are safe. Make room on the disk; or unpin what can go
    (``sessionctx pin ls``, ``pin rm``), or let the store hold more.
    """

    def __init__(self, message: str, *, max_bytes: int | None = None) -> None:
        super().__init__(message)
        self.max_bytes = max_bytes
        """The bytes that the store may hold; None where it is the disk that is full."""


class NothingPinned(StoreError):
    """Garbage was to be collected in a store where nothing is pinned: all of it would go. Nothing was deleted.

    It may be a store from before there were pins, or one whose owner forgot to pin. Pin what to keep; or say that
    everything may go (``everything=True``, ``sessionctx gc --everything``).
    """


class StoreClosed(StoreError):
    """A store was used after it had been closed."""


# --- storage


class StorageError(SessionctxError):
    """A storage cannot do with a file what was asked; *storage* is its public address, *path* the file's path in it."""

    def __init__(self, message: str, *, storage: str = "", path: str = "") -> None:
        super().__init__(message)
        self.storage = storage
        """The storage's address without credentials."""
        self.path = path


class InvalidLocation(StorageError, ValueError):
    """A URL names no storage, or a path cannot be in one. Check how it is written."""


class NoSuchFile(StorageError, NotFound):
    """There is nothing at this path, or it is a folder where a file was wanted, or the other way round."""


class FileExists(StorageError):
    """There is something at this path, and it was not to be replaced."""


class FileChanged(StorageError):
    """The file is not, or while it was read no longer was, the version that was wanted. Look again, and start over."""


class FileDamaged(StorageError):
    """Bytes do not match the checksum that they came with: damaged on the way or where they are kept. Not used."""


class AccessDenied(StorageError):
    """The storage does not let us: wrong or missing credentials, or they do not reach so far."""


class NoRoom(StorageError):
    """The storage is full, or the quota used up. Nothing of what was written is kept."""


class CannotDo(StorageError):
    """What was asked for, this kind of storage does not do, as its `Can` says: ask it something else."""


# --- objects


class ObjectError(SessionctxError):
    """An object service did not do what was asked with an object, or cannot be asked for it."""


class InvalidObject(ObjectError, ValueError):
    """A place, a key, metadata or an operation cannot be sent as it is, and was not; the message says what to mend."""


class TokenRefused(ObjectError):
    """A token or a presigned URL is missing, broken, too old, or does not reach so far; the message says which."""

    def __init__(self, message: str, *, status: int = 403) -> None:
        super().__init__(message)
        self.status = status
        """As HTTP says it: 400 if it cannot be read, 401 if it is not valid, 403 if it does not allow this."""


class OutcomeUnknown(ObjectError):
    """A write was sent, and its answer did not come: it may have happened or not. Look, or write again."""


# --- dag


class DagError(SessionctxError):
    """Blocks are good one by one but do not form what was wanted."""


class InvalidDag(DagError):
    """Sizes, types or links of a DAG contradict each other."""


class DagTooDeep(DagError):
    """A DAG or a path is deeper than the limit that keeps work bounded."""


class NotAFile(DagError):
    """A file was wanted, and the CID or path names something else."""


class NotADirectory(DagError):
    """A directory was wanted, and the CID or path names something else."""


# --- add


class AddError(SessionctxError):
    """Something could not be read from the file system to add it. No root was made of it."""


class SourceUnreadable(AddError):
    """A file or folder to add is absent, or may not be read."""


class SourceChanged(AddError):
    """A file changed while it was being read: what was read is neither its old nor its new state. Add it again."""


class Unaddable(AddError):
    """A file has a name that is not UTF-8, or is of a kind which UnixFS cannot hold: a socket, a device, a pipe."""


# --- export


class ExportError(SessionctxError):
    """Something could not be written to the file system. Nothing half-written is left."""


class UnsafePath(ExportError):
    """A name in a DAG would lead outside the target, or through a symlink."""


class TargetExists(ExportError):
    """The target exists already. Choose another, or remove it first."""


class TargetUnwritable(ExportError):
    """The target cannot be written: no permission, no such folder, no room."""


# --- environment


class NotInTrio(SessionctxError, RuntimeError):
    """An async function of sessionctx was awaited outside a trio run, for example under asyncio.

    Start the program with ``trio.run(main)``.
    """


class MissingExtra(SessionctxError, ImportError):
    """A feature needs an optional dependency; the message says what to install."""


class SessionLeakWarning(ResourceWarning):
    """A task went on after the session it inherited had ended, and began a new one.

    Open the nursery inside the session, or start the task under ``session.leave()``.
    """
