"""The client of an object service: objects by key, one by one or many at a time, from one service or several alike."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Final, TypeVar

import attrs
import trio

from sessionctx import session
from sessionctx.errors import NotFound, PeerError
from sessionctx.objects import many, sending, single
from sessionctx.objects.authority import Authority
from sessionctx.objects.duration import written
from sessionctx.objects.metadata import DEFAULT_TYPE, MANUAL, Encoding, Expiration, Metadata
from sessionctx.objects.operations import Body as Content
from sessionctx.objects.outcome import Object, Result
from sessionctx.objects.paths import Place, Scopes, checked_key
from sessionctx.objects.service import Operations
from sessionctx.objects.several import Several
from sessionctx.objects.single import Reading
from sessionctx.objects.tokens import SigningKey
from sessionctx.objects.wire import Wire
from sessionctx.peers import LEDGER, outlook, typical
from sessionctx.storage import Endpoint
from sessionctx.transports import HTTP, Address, Body

T = TypeVar("T")

MOST_WHOLE: Final = 8 * 1024 * 1024
"""Bytes of an object that is handed out whole."""


@attrs.define(eq=False)
class Objects:
    """Objects of one place in a service. `connect` opens it; used by any number of tasks at once.

    Every operation joins the session that is bound where it is called: the service is a peer of it. A service that
    does not serve raises a `PeerError`; what is wrong with an object an `ObjectError`; what is not allowed
    :exc:`AccessDenied`.
    """

    place: Place
    _wires: tuple[Wire, ...]
    """The first is written to; any is read from, in the order of what the session knows of them."""

    @classmethod
    @asynccontextmanager
    async def connect(
        cls,
        url: str | Sequence[str],
        *,
        usecase: str,
        scope: Scopes = (),
        token: str | None = None,
        key: SigningKey | None = None,
        http: HTTP | None = None,
    ) -> AsyncGenerator[Objects]:
        """Connect to the service at *url*, for the length of a block; nothing is sent yet::

            async with Objects.connect("http://localhost:8888", usecase="attachments", scope={"org": 42}) as objects:
                key = await objects.put(b"hello", content_type="text/plain")

        Args:
            url: where the service is; of several with the same objects, the first is written to, and reads go to
                whichever is expected to answer soonest, then to the next.
            usecase: 3 to 64 letters, digits, ``-`` and ``_``.
            scope: names and values, outermost first; each combination has objects of its own.
            token: goes along with each request.
            key: makes tokens, each when the one before runs out, and presigned URLs.
            http: limits and TLS.

        Raises:
            InvalidObject: *usecase* or *scope* cannot be.
            InvalidPeer: *url* is no HTTP address.
        """
        session.require_trio("Objects.connect")
        place = Place.of(usecase, scope)
        authority = Authority(place, token, key)
        urls = [url] if isinstance(url, str) else list(url)
        if not urls:
            raise ValueError("give the address of a service")
        await trio.lowlevel.checkpoint()
        yield cls(place, tuple(_wire(each, place, authority, HTTP() if http is None else http) for each in urls))

    # --- one by one

    @session.operation
    async def put(
        self,
        content: Content,
        key: str = "",
        *,
        content_type: str = DEFAULT_TYPE,
        encoding: Encoding | None = None,
        expiration: Expiration = MANUAL,
        origin: str | None = None,
        filename: str | None = None,
        custom: Mapping[str, str] = MappingProxyType({}),
    ) -> str:
        """Keep *content* (bytes, a path, or an async iterable of bytes) under *key*, and return the key.

        Without a *key* the service chooses one. With *encoding* ``"zstd"`` it is compressed on the way. Content that
        is large, or of unknown length, goes in several requests, and goes on where a connection broke.
        :exc:`OutcomeUnknown` if it is not known whether it arrived, which only happens without a *key*.
        """
        metadata = Metadata(
            content_type=content_type,
            encoding=encoding,
            expiration=expiration,
            origin=origin,
            filename=filename,
            custom=custom,
        )
        return await sending.put(self._wires[0], checked_key(key), metadata, content)

    @session.operation
    async def get(self, key: str, *, decompress: bool = True, most: int = MOST_WHOLE) -> Object | None:
        """Return an object, or None if there is none; its body is None if it has more than *most* bytes: `open` it."""
        return await self._read(lambda wire: single.get(wire, checked_key(key), most=most, decompress=decompress))

    @session.operation
    async def head(self, key: str) -> Metadata | None:
        """Return what is known of an object, or None if there is none."""
        return await self._read(lambda wire: single.head(wire, checked_key(key)))

    @asynccontextmanager
    async def open(
        self, key: str, *, offset: int = 0, length: int | None = None, decompress: bool = True
    ) -> AsyncGenerator[Reading]:
        """Lend an object as it comes. *offset* and *length* are of the bytes as they are stored, and come as these.

        :exc:`NotFound` if there is no such object.
        """
        async with AsyncExitStack() as stack:
            reading = await self._read(
                lambda wire: stack.enter_async_context(
                    single.reading(wire, checked_key(key), offset=offset, length=length, decompress=decompress)
                )
            )
            if reading is None:
                raise NotFound(f"there is no object {key!r} in {self.place}")
            yield reading

    @session.operation
    async def delete(self, key: str) -> None:
        """Delete an object; if it is not there, that is done already."""
        await single.delete(self._wires[0], checked_key(key))

    @session.operation
    async def extend_expiry(
        self,
        key: str,
        *,
        at: datetime | None = None,
        from_now: timedelta | None = None,
        from_creation: timedelta | None = None,
    ) -> None:
        """Let an object live until *at*, or so long *from_now* or *from_creation*; but never less long than before.

        :exc:`NotFound`; `ObjectError` if it does not expire.
        """
        body = Body.of(json.dumps({"extend_expiry": _extension(at, from_now, from_creation)}).encode())
        headers = {"Content-Type": "application/json"}
        async with self._wires[0].ask("PATCH", "objects", key, headers=headers, body=body, also=(404,)) as answer:
            if answer.status == 404:
                raise NotFound(f"there is no object {key!r} in {self.place}")

    # --- many at a time

    def many(
        self, operations: Operations, *, concurrency: int = 3, ordered: bool = False, most: int = MOST_WHOLE
    ) -> AbstractAsyncContextManager[AsyncIterator[Result]]:
        """Do *operations*, and lend their results: as they come, or in the order of the input if *ordered*::

            async with objects.many(Put(data, name) for name, data in files) as results:
                async for result in results:
                    print(result.operation.key, result.error or "kept")

        The input (any iterable, or async iterable) is read as it is needed, so it may be endless. Small operations
        share requests; of those on one key each sees what came before it. Each operation has exactly one result,
        whatever happens. At most *concurrency* requests are under way.

        Raises:
            ValueError: *concurrency* is less than one.
        """
        return many.many(Several(self._wires[0], most), operations, concurrency=concurrency, ordered=ordered)

    # --- for others

    def presigned(self, key: str, *, seconds: int = 3600) -> str:
        """Return a URL with which anybody may GET or HEAD an object for so many *seconds*.

        :exc:`ValueError` without a signing key.
        """
        wire = self._wires[0]
        return wire.url + wire.authority.presigned(self.place.path("objects", checked_key(key)), seconds)

    # ---

    async def _read(self, ask: Callable[[Wire], Awaitable[T]]) -> T:
        """Return what the first service that serves says."""
        wires = self._best()
        for wire in wires[:-1]:
            try:
                return await ask(wire)
            except PeerError:
                continue
        return await ask(wires[-1])

    def _best(self) -> list[Wire]:
        """Return the services, the one first that is expected to answer soonest."""
        s = session.current(None)
        if s is None or len(self._wires) == 1:
            return list(self._wires)
        ledger, now = LEDGER.of(s), trio.current_time()
        middle = typical(ledger.records())

        def expected(wire: Wire) -> tuple[bool, float]:
            record = ledger.add(wire.endpoint.peer)
            return not record.room(now), outlook(record, middle, now).expected(0)

        return sorted(self._wires, key=expected)


def _wire(url: str, place: Place, authority: Authority, http: HTTP) -> Wire:
    address = Address.parse(url)
    return Wire(address.public, address.public, place, authority, http, Endpoint.at(address.url, address.public))


def _extension(at: datetime | None, from_now: timedelta | None, from_creation: timedelta | None) -> dict[str, str]:
    if sum(each is not None for each in (at, from_now, from_creation)) != 1:
        raise ValueError("give one of at=, from_now= and from_creation=")
    if at is not None:
        return {"at": at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")}
    if from_now is not None:
        return {"after": written(from_now), "from": "now"}
    return {"after": written(from_creation or timedelta()), "from": "creation"}
