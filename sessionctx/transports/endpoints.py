"""What belongs to an endpoint (scheme, host, port) for the length of a trio run: its connections, and who may use them.

Connections outlive the session that opened them and end with the run: a `RunVar` holds them, a system task closes them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from contextlib import AbstractAsyncContextManager, suppress
from typing import Final, Generic, Protocol, TypeVar

import attrs
import trio

MAX_ENDPOINTS: Final = 64
"""Endpoints kept open when nobody uses them. Some gateways redirect each CID to a host of its own."""
CLOSING: Final = 2.0
"""Seconds that closing may take, in the worst case."""


class Closable(Protocol):
    """Something with connections in it."""

    async def aclose(self) -> None:
        """Close them all."""
        ...


T = TypeVar("T", bound=Closable)


@attrs.define(eq=False)
class _Endpoint(Generic[T]):
    pool: T
    free: trio.Semaphore
    users: int = 0


class Endpoints(Generic[T]):
    """The endpoints of the current trio run, the least recently used one first."""

    def __init__(self, name: str) -> None:
        self._run_var = trio.lowlevel.RunVar[dict[Hashable, _Endpoint[T]]](name)

    def use(self, key: Hashable, make: Callable[[], T], *, at_once: int) -> AbstractAsyncContextManager[T]:
        """Lend what *make* made for *key*, to at most *at_once* tasks; the others wait here for their turn."""
        return _Turn(self._here(), key, make, at_once)

    def _here(self) -> dict[Hashable, _Endpoint[T]]:
        try:
            return self._run_var.get()
        except LookupError:
            endpoints: dict[Hashable, _Endpoint[T]] = {}
            self._run_var.set(endpoints)
            trio.lowlevel.spawn_system_task(_close_with_the_run, endpoints)
            return endpoints


@attrs.define(eq=False)
class _Turn(AbstractAsyncContextManager[T]):
    """One use of an endpoint. It is on the path of each request: a generator would cost three times as much."""

    _endpoints: dict[Hashable, _Endpoint[T]]
    _key: Hashable
    _make: Callable[[], T]
    _at_once: int
    _endpoint: _Endpoint[T] = attrs.field(init=False)

    async def __aenter__(self) -> T:
        endpoint = self._endpoints.pop(self._key, None) or _Endpoint(self._make(), trio.Semaphore(self._at_once))
        self._endpoints[self._key] = self._endpoint = endpoint  # the dict's order is that of last use
        endpoint.users += 1
        try:
            await _close_unused(self._endpoints)
            await endpoint.free.acquire()
        except BaseException:
            endpoint.users -= 1
            raise
        return endpoint.pool

    async def __aexit__(self, *exc_info: object) -> None:
        self._endpoint.free.release()
        self._endpoint.users -= 1


async def _close_unused(endpoints: dict[Hashable, _Endpoint[T]]) -> None:
    surplus = len(endpoints) - MAX_ENDPOINTS
    if surplus > 0:
        unused = [key for key, endpoint in endpoints.items() if not endpoint.users]
        await _close([endpoints.pop(key) for key in unused[:surplus]])


async def _close_with_the_run(endpoints: dict[Hashable, _Endpoint[T]]) -> None:
    """Wait for the end of the run (trio cancels system tasks after the main task), then close everything."""
    try:
        await trio.sleep_forever()
    finally:
        await _close(list(endpoints.values()))


async def _close(endpoints: list[_Endpoint[T]]) -> None:
    with trio.move_on_after(CLOSING, shield=True):
        async with trio.open_nursery() as nursery:
            for endpoint in endpoints:
                nursery.start_soon(_close_quietly, endpoint.pool)


async def _close_quietly(pool: Closable) -> None:
    # Nobody waits for an answer any more; and in a system task, an error would end the run.
    with suppress(Exception):
        await pool.aclose()
