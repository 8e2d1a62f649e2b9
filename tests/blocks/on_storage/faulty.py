"""A storage that fails at a moment of one's choice, and counts what is asked of it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import trio

from sessionctx.errors import PeerFailed


class Faulty:
    """Another storage, as one client sees it: the *fails_in*-th change from now fails, done or not; then it is well.

    ``asked`` counts the calls, by name.
    """

    def __init__(self, storage: Any) -> None:
        self._storage = storage
        self.fails_in: int | None = None
        self.done = False
        self.asked: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def read(self, *args: Any, **kwargs: Any) -> Any:
        self.asked["read"] += 1
        return self._storage.read(*args, **kwargs)

    def list(self, *args: Any, **kwargs: Any) -> Any:
        self.asked["list"] += 1
        return self._storage.list(*args, **kwargs)

    async def write(self, *args: Any, **kwargs: Any) -> Any:
        return await self._change("write", *args, **kwargs)

    async def delete_many(self, *args: Any, **kwargs: Any) -> Any:
        return await self._change("delete_many", *args, **kwargs)

    async def _change(self, name: str, *args: Any, **kwargs: Any) -> Any:
        self.asked[name] += 1
        if self.fails_in is not None:
            self.fails_in -= 1
            if self.fails_in < 0:
                self.fails_in = None
                await trio.lowlevel.checkpoint()
                if self.done:
                    await getattr(self._storage, name)(*args, **kwargs)
                raise PeerFailed("the line broke", peer="memory")
        return await getattr(self._storage, name)(*args, **kwargs)
