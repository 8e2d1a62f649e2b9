"""Bytes to a client that reads: as they are, without copies of large ones, and not for ever."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Final

import trio

_JOINED: Final = 64 * 1024  # what is smaller is copied together: cheaper than to be sent in two
_SLICE: Final = 256 * 1024
_GATHERS: Final = hasattr(socket.socket, "sendmsg")  # not on Windows


async def send_all(to: socket.socket, parts: Sequence[bytes], *, stalled: float) -> None:
    """Send the *parts*, if the client takes a quarter of a MiB in *stalled* seconds.

    Lets others have their turn only if the socket is full: then the client is slow, and we wait for it.

    Raises:
        OSError: the client is gone, or does not read.
    """
    size = sum(map(len, parts))
    if size <= _JOINED or not _GATHERS:
        parts = [b"".join(parts)]
    views = [memoryview(part) for part in parts if part]
    if (sent := _send(to, views)) == size:
        return
    with trio.move_on_after(stalled) as patience:
        read = 0
        while _drop(views, sent):
            await trio.lowlevel.wait_writable(to)
            sent = _send(to, views)
            read += sent
            if read >= _SLICE:
                patience.deadline, read = trio.current_time() + stalled, 0
        return
    raise ConnectionAbortedError(f"the client did not read for {stalled} seconds")


def _send(to: socket.socket, views: list[memoryview]) -> int:
    """Hand the system what it takes at once; return how much that was."""
    try:
        return to.sendmsg(views) if len(views) > 1 else to.send(views[0]) if views else 0
    except BlockingIOError:
        return 0


def _drop(views: list[memoryview], sent: int) -> bool:
    """Take *sent* bytes off the front of *views*; true if something is left."""
    while views and sent >= len(views[0]):
        sent -= len(views.pop(0))
    if views:
        views[0] = views[0][sent:]
    return bool(views)
