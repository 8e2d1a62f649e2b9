"""An answer as it arrives: within its limits, never inflated, and a peer that goes silent is noticed."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import Final, Self

import attrs
import trio

from sessionctx.errors import BadAnswer, Busy, PeerError, PeerFailed, Stalled
from sessionctx.transports.headers import asked_to_wait, shown
from sessionctx.transports.http.trouble import Trouble, told

_DRAIN_BYTES: Final = 64 * 1024
_DRAIN_SECONDS: Final = 1.0
_FRAMES: Final = frozenset({"content-length", "transfer-encoding"})
_SMALL: Final = 1024  # bytes


@attrs.frozen
class Answer:
    """The head of an answer, and where its body comes from."""

    status: int
    headers: Iterable[tuple[bytes, bytes]]
    receive: Callable[[], Awaitable[bytes]]
    """Returns the next bytes, ``b""`` at the end; raises `Trouble`."""
    frames: bool = False
    """Whether the protocol tells the end of each body, as HTTP/2 does."""


class Response:
    """An answer whose header has arrived: read it whole, or iterate over its bytes as they come."""

    def __init__(
        self, answer: Answer, peer: str, limit: int | None, *, idle: float, progress: int, plain: bool = True
    ) -> None:
        self.status = answer.status
        self.headers = _joined(answer.headers)
        """Names in lower case; repeated ones joined by a comma."""
        self.framed = answer.frames or not self.headers.keys().isdisjoint(_FRAMES)
        """Whether the end of its body can be told from a cut; a body that ends with its connection cannot."""
        self.complaint = b""
        """If it is no success: the body, as far as it came at once, at most 64 KiB of it."""
        self._plain = plain
        self._receive = answer.receive
        self._peer = peer
        self._limit = limit
        self._idle = idle
        self._enough = progress
        self._received = 0
        self._progress = 0  # bytes since the last time that there were enough of them ...
        self._patience = idle  # ... and the seconds that are left for the rest
        self._buffered = False

    @property
    def ok(self) -> bool:
        """Whether the peer calls it a success (2xx)."""
        return 200 <= self.status <= 299

    @property
    def wait(self) -> float | None:
        """Seconds that the peer asks to wait before the next request; None if it does not."""
        return asked_to_wait(self.headers, now=time.time())

    def unwell(self) -> PeerError | None:
        """Return what its status says of how the peer is, whatever it was asked for; ``None`` if it says nothing."""
        if self.status in (429, 502, 503, 504):
            wait = self.wait
            when = "" if wait is None else f"; it asks to wait {wait:g} s"
            return Busy(f"{self._peer} is busy ({self.status}){when}", peer=self._peer, retry_after=wait)
        return PeerFailed(f"{self._peer} failed ({self.status})", peer=self._peer) if self.status >= 500 else None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """Return the next bytes. :exc:`Stalled`, :exc:`PeerFailed`, :exc:`BadAnswer`."""
        with trio.CancelScope() as patience:
            chunk = await self._next(patience)
            if not chunk:
                raise StopAsyncIteration
            return chunk
        raise self._stalled()

    async def read(self, progress: Callable[[int], None] | None = None) -> bytes:
        """Return the whole body; *progress* is called with each number of fresh bytes. Errors as in iteration."""
        chunks: list[bytes] = []
        with trio.CancelScope() as patience:
            while chunk := await self._next(patience):
                chunks.append(chunk)
                if progress is not None:
                    progress(len(chunk))
            return b"".join(chunks)
        raise self._stalled()

    async def _next(self, patience: trio.CancelScope) -> bytes:
        """Return the next bytes, ``b""`` at the end; the scope is cancelled if they take too long."""
        if self._buffered:
            await trio.lowlevel.checkpoint()
        began = trio.current_time()
        patience.deadline = began + self._patience
        try:
            chunk = await self._receive()
        except Trouble as trouble:
            raise told(self._peer, trouble) from trouble
        if chunk:
            self._account(len(chunk), trio.current_time() - began)
        return chunk

    def _account(self, size: int, seconds: float) -> None:
        self._received += size
        if self._limit is not None and self._received > self._limit:
            raise BadAnswer(
                f"{self._peer} sends more than the {self._limit} bytes that are allowed here", peer=self._peer
            )
        self._buffered = size < _SMALL  # then it may have come without a wait, and a thousand more of them
        self._progress += size
        self._patience -= seconds
        if self._progress >= self._enough:
            self._progress, self._patience = 0, self._idle

    def _stalled(self) -> Stalled:
        return Stalled(
            f"{self._peer} sent fewer than {self._enough} bytes in {self._idle:g} s (after {self._received} bytes)",
            peer=self._peer,
        )

    async def prepare(self) -> None:
        """Refuse a body that must not be read, and take in the complaint that an error brings."""
        if not self.ok:
            said: list[bytes] = []
            with trio.move_on_after(_DRAIN_SECONDS), suppress(PeerError):
                while self._received < _DRAIN_BYTES and (chunk := await anext(self, None)) is not None:
                    said.append(chunk)
            self.complaint = b"".join(said)[:_DRAIN_BYTES]
            return
        if self._plain and (coding := self.headers.get("content-encoding", "identity").strip().lower()) != "identity":
            raise BadAnswer(
                f"{self._peer} sent {shown(coding)} encoded data though plain data was asked for", peer=self._peer
            )
        length = int(self.headers.get("content-length", "0"))
        if self._limit is not None and length > self._limit:
            raise BadAnswer(
                f"{self._peer} announces {length} bytes where at most {self._limit} are allowed", peer=self._peer
            )

    def close(self) -> None:
        """The connection serves others from now on: nothing more can be read."""
        self._receive = _closed


async def _closed() -> bytes:
    raise trio.ClosedResourceError("an answer can be read only inside of the block that asked for it")


def _joined(headers: Iterable[tuple[bytes, bytes]]) -> Mapping[str, str]:
    joined: dict[str, str] = {}
    for name, value in headers:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        joined[key] = f"{joined[key]}, {text}" if key in joined else text
    return joined
