"""Whether a server heeds conditions on writes: tried out once, on a file of our own, before somebody relies on it.

A server that knows none takes the file all the same, and says nothing: then "only where nothing is" would be a lie.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from secrets import token_hex

import attrs
import trio

from sessionctx.errors import BadRequest, CannotDo, FileChanged, NotOffered
from sessionctx.storage.s3.client import Ask, Client
from sessionctx.storage.s3.gathering import Part
from sessionctx.storage.s3.multipart import BUDGET, begin
from sessionctx.storage.s3.objects import quoted, version_of
from sessionctx.transports import Body


@attrs.define(eq=False)
class Conditions:
    """What the server of *client* heeds; its profile keeps that."""

    client: Client
    root: str
    """What stands before the keys of this storage."""
    _turn: trio.Lock = attrs.field(factory=trio.Lock)

    async def check_put(self) -> None:
        """See that it heeds conditions on a file that is sent whole. :exc:`CannotDo`."""
        if await self.heeded_by_put():
            return
        public = self.client.public
        raise CannotDo(f"{public}: this server heeds no conditions on writes (If-None-Match, If-Match)", storage=public)

    async def heeded_by_put(self) -> bool:
        """Whether it heeds conditions on a file that is sent whole ..."""
        profile = self.client.profile
        async with self._turn:
            if profile.conditional_put is None:
                profile.conditional_put = await self._tried(self._put_guarded)
            return profile.conditional_put

    async def heeded_by_complete(self) -> bool:
        """... and on one that is sent in parts."""
        profile = self.client.profile
        async with self._turn:
            if profile.conditional_complete is None:
                profile.conditional_complete = await self._tried(self._complete_guarded)
            return profile.conditional_complete

    async def _tried(self, attempt: Callable[[str, str], Awaitable[bool]]) -> bool:
        """Write a file, try what happens to it, and delete it."""
        key = f"{self.root}.sessionctx-{token_hex(8)}"
        try:
            version = await self._put(key, {})
            return await attempt(key, version)
        except (NotOffered, BadRequest):
            return False
        finally:
            with trio.move_on_after(BUDGET, shield=True):
                await self.client.call(Ask(method="DELETE", key=key, unseen=True))

    async def _put_guarded(self, key: str, version: str) -> bool:
        if await self._happens(self._put(key, {"If-None-Match": "*"})):
            return False
        if await self._happens(self._put(key, {"If-Match": quoted(version)})):
            return not await self._happens(self._put(key, {"If-Match": quoted("0" * 32)}))
        self.client.profile.bare_etags = True
        return await self._happens(self._put(key, {"If-Match": version}))

    async def _complete_guarded(self, key: str, version: str) -> bool:  # noqa: ARG002
        return not await self._happens(self._put_in_parts(key))

    @staticmethod
    async def _happens(write: Coroutine[object, object, object]) -> bool:
        try:
            await write
        except FileChanged:
            return False
        return True

    async def _put(self, key: str, guards: dict[str, str]) -> str:
        ask = Ask(method="PUT", key=key, headers=guards, body=Body.of(b"x"), part=True)
        return version_of((await self.client.call(ask)).headers.get("etag")) or ""

    async def _put_in_parts(self, key: str) -> None:
        upload = await begin(self.client, key, "", {}, checksums=False, part=True)
        part = Part()
        part.add(memoryview(b"x"))
        try:
            await upload.send(1, part)
            await upload.complete({"If-None-Match": "*"})
        finally:
            await upload.abort()
