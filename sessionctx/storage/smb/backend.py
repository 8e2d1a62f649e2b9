"""A share of a Windows or Samba server, as a storage."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import attrs
import trio

from sessionctx.errors import CannotDo, InvalidLocation, NoSuchFile, SessionctxError
from sessionctx.storage.base import PLAIN, Can, Entry, Listing, Reader, Source, WriteOptions
from sessionctx.storage.endpoint import Endpoint
from sessionctx.storage.paths import checked, parent
from sessionctx.storage.smb import messages
from sessionctx.storage.smb.address import Address
from sessionctx.storage.smb.entries import entry_of
from sessionctx.storage.smb.line import Line
from sessionctx.storage.smb.listing import listing
from sessionctx.storage.smb.login import Wanted
from sessionctx.storage.smb.messages import Access, Options
from sessionctx.storage.smb.reading import reading
from sessionctx.storage.smb.share import Share
from sessionctx.storage.smb.writing import copied, put_in_place, upload
from sessionctx.storage.source import length_of

CAN: Final = Can(rename=True, copy=True, if_absent=True, times=True, links=True, best_in_flight=4, pipelined=True)


@attrs.define(eq=False)
class SmbStorage:
    """Files of a share, over one connection, which is made when it is first needed."""

    can: Can = attrs.field(default=CAN, init=False)
    _share: Share
    _endpoint: Endpoint

    @property
    def url(self) -> str:
        """The root, with the credentials."""
        return self._share.address.url

    @property
    def public(self) -> str:
        """The root without credentials."""
        return self._share.public

    @property
    def endpoint(self) -> str:
        """The server."""
        return f"smb://{self._share.address.server}"

    async def stat(self, path: str = "") -> Entry:
        """Return what *path* is."""
        async with self._endpoint.request(self._at(path)):
            return entry_of(path, await self._share.repeated(partial(self._share.looked_at, path)))

    @asynccontextmanager
    async def read(
        self, path: str, *, offset: int = 0, length: int | None = None, version: str | None = None
    ) -> AsyncGenerator[Reader]:
        """Read a file. If the line breaks it goes on on a new one, where it stopped, if the file is still the same."""
        async with (
            self._endpoint.request(self._at(path), length or 0) as request,
            reading(self._share, request, path, offset=offset, length=length, wanted=version) as reader,
        ):
            yield reader

    async def write(
        self, path: str, source: Source, *, size_hint: int | None = None, options: WriteOptions = PLAIN
    ) -> Entry:
        """Write a file under a temporary name in the same folder, and rename it when it is there."""
        if options.if_version is not None:
            raise CannotDo(f"{self.public} cannot write over a known version only", storage=self.public, path=path)
        async with self._endpoint.request(self._at(path, file=True), length_of(source) or size_hint or 0) as request:
            go = partial(upload, self._share, request, path, source, options)
            if isinstance(source, AsyncIterable) or options.if_absent:
                return await go()
            return await self._share.repeated(lambda _: go())

    @asynccontextmanager
    async def list(
        self, prefix: str = "", *, recursive: bool = False, after: str | None = None
    ) -> AsyncGenerator[Listing]:
        """List a folder, page by page."""
        if after is not None:
            raise CannotDo(f"{self.public} lists in no order: there is no after", storage=self.public, path=prefix)
        async with (
            self._endpoint.request(self._at(prefix)),
            listing(self._share, prefix, recursive=recursive) as entries,
        ):
            yield entries

    async def delete(self, path: str) -> None:
        """Delete a file, a link, or an empty folder."""
        async with self._endpoint.request(self._at(path, file=True)):
            await self._share.repeated(partial(self._delete, path))

    async def delete_many(self, paths: Iterable[str]) -> dict[str, SessionctxError]:
        """Delete each, some at a time."""
        failed, left = dict[str, SessionctxError](), iter(paths)

        async def some() -> None:
            for path in left:
                try:
                    await self.delete(path)
                except SessionctxError as error:
                    failed[path] = error

        async with trio.open_nursery() as nursery:
            for _ in range(self.can.best_in_flight):
                nursery.start_soon(some)
        return failed

    async def mkdir(self, path: str) -> None:
        """Make a folder, and those on the way."""
        async with self._endpoint.request(self._at(path)):
            await self._share.repeated(partial(self._share.make_folders, path))

    async def rename(self, source: str, target: str) -> None:
        """Give a file another name, in place of what is there."""
        self._at(target, file=True)
        async with self._endpoint.request(self._at(source, file=True)):
            line = await self._share.line()
            handle = await self._share.opened(source, Access.DELETE, Options.FILE, line=line)
            try:
                await self._share.make_folders(parent(target), line)
                await put_in_place(handle, target, replace=True)
            finally:
                handle.drop()

    async def copy(self, source: str, target: str) -> Entry:
        """Let the server copy a file."""
        self._at(target, file=True)
        async with self._endpoint.request(self._at(source, file=True)):
            return await self._share.repeated(partial(copied, self._share, source, target))

    # ---

    def _at(self, path: str, *, file: bool = False) -> str:
        """Return *path*, if it can be one here."""
        self._share.wire(checked(path))
        if file and not path:
            raise InvalidLocation(f"{self.public} is the storage itself, and nothing in it", storage=self.public)
        return path

    async def _delete(self, path: str, line: Line) -> None:
        try:
            handle = await self._share.opened(path, Access.DELETE, Options.THE_LINK_ITSELF, line=line)
        except NoSuchFile:
            return
        try:
            await handle.do(messages.set_delete(handle.id, delete=True))
            await handle.close()
        finally:
            handle.drop()


@asynccontextmanager
async def opened(address: Address, wanted: Wanted) -> AsyncGenerator[SmbStorage]:
    """Have a share as a storage for the length of a block, which ends its line."""
    raised: BaseException | None = None
    async with trio.open_nursery() as nursery:
        share = Share(address, wanted, nursery)
        try:
            yield SmbStorage(share, Endpoint.at(address.url, address.public))
        except BaseException as error:  # noqa: BLE001 - raised below, where the nursery does not wrap it
            raised = error
        await share.close()
        nursery.cancel_scope.cancel()
    if raised is not None:
        raise raised
