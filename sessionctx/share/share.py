"""The share of one service: what it gives to others, and what it loads from them. Open for the length of a block."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Generator, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from typing import Final, Protocol

import attrs
import trio

from sessionctx import session
from sessionctx.errors import BlobNotFound
from sessionctx.session import Session
from sessionctx.share.blob import Blob, checked_id, parsed
from sessionctx.share.course import Wish, wished
from sessionctx.share.keeping import Loader, keep_given
from sessionctx.share.metrics import Command, Metrics, ShareStatistics
from sessionctx.share.names import Names
from sessionctx.share.reader import BlobReader
from sessionctx.share.room import Room
from sessionctx.share.running import Running, alongside
from sessionctx.share.service import Service
from sessionctx.share.shelf import Kept, Shelf
from sessionctx.share.sources import Given, opened
from sessionctx.storage import Backend, open_storage
from sessionctx.transports import HTTP

GRACE: Final = 3.0
"""Seconds that what is under way has to finish when a share is left."""
LATE: Final = 1.0
"""Seconds without progress, at least, until another service is asked as well."""


class Listen(Protocol):
    """A server for a share: `sessionctx.serve.listening` makes one.

    It serves until *stop* is set and *grace* seconds have passed after that, or it is cancelled, and reports its URL.
    """

    def __call__(
        self, share: BlobShare, stop: trio.Event, grace: float, *, task_status: trio.TaskStatus[str]
    ) -> Awaitable[None]:
        """Serve *share*."""
        ...


@attrs.define(eq=False)
class BlobShare:
    """Blobs by id: shared with other services, and loaded from them. What an id means does not change.

    ::

        async with BlobShare.open("file:///srv/share", listen=serve.listening("127.0.0.1:8080")) as share:
            await share.share("model-7", Path("model.bin"))
            async with share.load("model-6", services=["http://a.example", "http://b.example"]) as reader:
                async for piece in reader:
                    ...
    """

    _shelf: Shelf
    _http: HTTP
    _late: float
    _home: Session | None
    """The session of calls that have none around them."""
    _metrics: Metrics
    _names: Names
    _loader: Loader
    _running: Running = attrs.field(factory=Running, init=False)
    url: str | None = attrs.field(default=None, init=False)
    """Where it is served; None if it does not listen."""

    @classmethod
    def open(
        cls,
        storage: str | Backend,
        *,
        listen: Listen | None = None,
        max_bytes: int | None = None,
        grace: float = GRACE,
        late: float = LATE,
        http: HTTP | None = None,
    ) -> AbstractAsyncContextManager[BlobShare]:
        """Open a share: ``async with BlobShare.open("file:///srv/share") as share:``.

        Leaving the block takes nothing new, lets what is under way finish for *grace* seconds, cancels the rest, which
        raises :exc:`~sessionctx.errors.StoreClosed`, and returns when nothing of it is left.

        Args:
            storage: the URL of a storage, or one that is open already and stays so. Blobs are at ``blobs/{id}`` in it.
            listen: serves the share over HTTP for the length of the block: ``serve.listening("127.0.0.1:0")``.
            max_bytes: what the blobs may take together; what was loaded and not used for the longest time is evicted
                for others. No bound by default.
            grace: seconds; less if the block is left by an error, which does not wait.
            late: seconds without progress, at least, until a load asks another service as well. It is more for
                services that are usually slower than that, by what the session knows of them.
            http: how to speak with other services, with its limits.

        Raises (on entering):
            StorageError: *storage* cannot be opened.
            OSError: the address cannot be listened on.
        """
        return _open(cls, storage, listen, max_bytes, grace, late, http or HTTP())

    # --- giving

    async def share(self, resource_id: str, blob: Given, *, expect: str | None = None) -> Blob:
        """Share a blob under an id: visible at once and whole, or not at all.

        The same bytes under the same id are fine. Where the storage cannot decide that itself (`Can.if_absent`), two
        processes that share one id at the same moment are not told apart.

        Args:
            resource_id: one name of 1 to 200 bytes, without slashes, that does not begin with a dot.
            blob: bytes, an async iterable of pieces, or the path of a file; read once, and held a piece at a time.
            expect: its digest, if it is known: ``sha256:`` and 64 digits.

        Raises:
            InvalidLocation: *resource_id* can name no blob.
            ValueError: *expect* is no digest.
            FileExists: other bytes are here under this id.
            FileDamaged: it is not what was expected.
            NoRoom: it does not fit into the *max_bytes* of the share, or into the storage.
            StoreClosed: the share is closed.
        """
        session.require_trio("BlobShare.share")
        checked_id(resource_id)
        expected = None if expect is None else parsed(expect)
        with self._called("share") as s, s.want(resource_id):
            async with self._names.only(resource_id), opened(blob) as source:
                return await keep_given(self._shelf, resource_id, source, expected, self._metrics.commands["share"])

    async def remove(self, resource_id: str) -> None:
        """Delete a blob here; what is not here was deleted already. Whoever has loaded it keeps theirs."""
        session.require_trio("BlobShare.remove")
        checked_id(resource_id)
        with self._running.call(), self._session():
            async with self._names.only(resource_id):
                await self._shelf.remove(resource_id)

    # --- what is here

    async def find(self, resource_id: str) -> Blob:
        """Return what is known of a blob that is here; asks no other service. :exc:`BlobNotFound`."""
        session.require_trio("BlobShare.find")
        with self._running.call(), self._session():
            return (await self._here(checked_id(resource_id))).blob

    def read(
        self, resource_id: str, *, offset: int = 0, length: int | None = None
    ) -> AbstractAsyncContextManager[BlobReader]:
        """Read a blob that is here, or *length* bytes of it; asks no other service. :exc:`BlobNotFound` on entering."""
        return self._read(checked_id(resource_id), offset, length)

    @asynccontextmanager
    async def _read(self, resource_id: str, offset: int, length: int | None) -> AsyncGenerator[BlobReader]:
        session.require_trio("BlobShare.read")
        with self._metrics.commands["read"].one(), self._shelf.room.hold(resource_id):
            with self._running.call(), self._session():
                kept = await self._here(resource_id)
            async with self._reader(kept, offset, length) as reader:
                yield reader

    async def _here(self, resource_id: str) -> Kept:
        kept = await self._shelf.find(resource_id)
        if kept is None:
            raise BlobNotFound(f"the blob {resource_id!r} is not here")
        return kept

    # --- loading

    def load(
        self,
        resource_id: str,
        services: Iterable[str] = (),
        *,
        max_tries: int = 3,
        retry_delay: float = 1.0,
        expect: str | Blob | None = None,
        may_come: bool = False,
        offset: int = 0,
        length: int | None = None,
    ) -> AbstractAsyncContextManager[BlobReader]:
        """Load a blob from other services, keep it here, and read it: ``async with share.load(...) as reader:``.

        What is here already is not asked for. A load goes on where it broke off, at whichever service has the same
        blob. Nothing is kept before its size and digest are right: those that are expected or else those that the
        first service told; a service that sent other bytes is not asked again in the session. Several loads of one id
        are one request. It ends with the caller's deadline, at the latest.

        Args:
            resource_id: the id that it was shared under.
            services: their URLs, ``http`` or ``https``; the blob is asked for at ``{url}/blobs/{id}``.
            max_tries: rounds in which all of them are asked that may have it.
            retry_delay: seconds of the first pause between two rounds; it doubles with each, up to a minute, and is
                cut by chance, by half at most. A service that says ``Retry-After`` is not asked before.
            expect: its digest (``sha256:`` and 64 digits), or the `Blob` that `share` returned. Without it, the word
                of a service is all that there is to check its bytes against.
            may_come: whether a blob that no service has may be shared yet: then it is tried again like a failure.
            offset: where the reader begins.
            length: how many bytes it reads; all to the end by default.

        Raises:
            InvalidLocation: *resource_id* can name no blob.
            InvalidPeer: an URL of *services* is none.
            ValueError: *expect* is no digest, or *max_tries* or *retry_delay* make no sense.

        Raises (on entering):
            BlobNotFound: all services say that they do not have it; at once, unless it *may_come*.
            FetchFailed: some could not serve, and none did; its *reasons* say why.
            FileExists: a blob with another digest than expected is here under this id.
            NoRoom: it does not fit into the *max_bytes* of the share, or into the storage.
            LimitReached: a budget of the session is spent.
            StoreClosed: the share is closed.
        """
        checked_id(resource_id)
        asked = [Service.at(url, self._http) for url in services]
        wish = wished(
            resource_id, asked, expect, tries=max_tries, delay=retry_delay, may_come=may_come, late=self._late
        )
        return self._load(wish, offset, length)

    @asynccontextmanager
    async def _load(self, wish: Wish, offset: int, length: int | None) -> AsyncGenerator[BlobReader]:
        session.require_trio("BlobShare.load")
        with self._shelf.room.hold(wish.id):
            with self._called("load") as s:
                kept = await session.share(s, wish.id, partial(self._loader.get, wish), key=(self, wish))
            with self._metrics.commands["read"].one():
                async with self._reader(kept, offset, length) as reader:
                    yield reader

    # --- as a whole

    def statistics(self) -> ShareStatistics:
        """Return what it has done since it was opened, as a frozen record; works after its end, too."""
        return self._metrics.statistics()

    @asynccontextmanager
    async def closing(self, grace: float) -> AsyncGenerator[None]:
        """Close it at the end of the block; `open` does."""
        try:
            yield
        except BaseException:
            grace = 0.0
            raise
        finally:
            await self._running.close(grace)

    @asynccontextmanager
    async def _reader(self, kept: Kept, offset: int, length: int | None) -> AsyncGenerator[BlobReader]:
        with self._running.reader():
            async with self._shelf.read(kept, offset, length) as pieces:
                yield BlobReader(kept.blob, pieces, self._shelf, kept, self._running, self._metrics.commands["read"])

    @contextmanager
    def _called(self, command: Command) -> Generator[Session]:
        with self._metrics.commands[command].one(), self._running.call(), self._session() as s:
            yield s

    def _session(self) -> session.Scope[Session]:
        """The caller's session; where there is none, that of the share, so that what is learnt stays known."""
        if session.current(None) is None and self._home is not None and self._home.ended is None:
            return session.use(self._home)
        return session.begin()


@asynccontextmanager
async def _open(  # noqa: PLR0917
    cls: type[BlobShare],
    storage: str | Backend,
    listen: Listen | None,
    max_bytes: int | None,
    grace: float,
    late: float,
    http: HTTP,
) -> AsyncGenerator[BlobShare]:
    session.require_trio("BlobShare.open")
    async with AsyncExitStack() as stack:
        home = None
        if session.current(None) is None:
            home = stack.enter_context(session.begin(name="share"))
            stack.enter_context(session.leave())
        backend = await stack.enter_async_context(open_storage(storage)) if isinstance(storage, str) else storage
        metrics = Metrics()
        shelf = Shelf(backend, Room(max_bytes), metrics)
        await shelf.count()
        names = Names()
        share = cls(shelf, http, late, home, metrics, names, Loader(shelf, metrics, names))
        if listen is not None:
            share.url = await stack.enter_async_context(alongside(partial(listen, share), grace))
        await stack.enter_async_context(share.closing(grace))
        yield share
