"""The storage behind ``http://`` and ``https://`` URLs: a web server's files, read-only."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, NoReturn

import attrs
import trio

from sessionctx.errors import CannotDo, InvalidLocation, InvalidPeer, SessionctxError
from sessionctx.storage.base import PLAIN, Can, Entry, Listing, Reader, Source, WriteOptions
from sessionctx.storage.endpoint import Endpoint
from sessionctx.storage.http.asking import Asker
from sessionctx.storage.http.listing import Folders
from sessionctx.storage.http.reading import Download
from sessionctx.storage.paths import checked
from sessionctx.storage.relay import relayed
from sessionctx.transports import HTTP, Address

CAN: Final = Can(write=False, folders=False, if_version=True)


@attrs.define(eq=False)
class HTTPStorage:
    """What a web server offers below a URL. Its listings are read where they come as JSON (nginx can do that)."""

    address: Address
    http: HTTP = attrs.field(factory=HTTP)
    can: Can = CAN
    """A server that has no ranges is found out when it is asked for one: then one request at a time has to do."""
    _asker: Asker = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        most = min(self.http.connections, self.can.best_in_flight)
        self._asker = Asker(self.address, self.http, Endpoint.at(self.url, self.public, most=most))

    @property
    def url(self) -> str:
        """The root with its credentials: never show it."""
        return self.address.url

    @property
    def public(self) -> str:
        """The root without credentials."""
        return self.address.public

    @property
    def endpoint(self) -> str:
        """Its scheme, host and port."""
        host, port = self.address.endpoint
        return f"{self.address.scheme}://{host}:{port}"

    async def stat(self, path: str = "") -> Entry:
        """Return what the server says of *path*. The root is a folder: a server has no say in that."""
        if checked(path):
            return await self._asker.stat(path)
        await trio.lowlevel.checkpoint()
        return Entry(path="", kind="folder")

    def read(
        self, path: str, *, offset: int = 0, length: int | None = None, version: str | None = None
    ) -> AbstractAsyncContextManager[Reader]:
        """Read a file; what breaks off is resumed at the byte where the server tells versions apart."""
        end = None if length is None else offset + length
        return relayed(Download(self._asker, checked(path), offset, end, version, self._no_ranges).run)

    @asynccontextmanager
    async def list(
        self,
        prefix: str = "",
        *,
        recursive: bool = False,
        after: str | None = None,  # noqa: ARG002
    ) -> AsyncGenerator[Listing]:
        """List a folder, if the server does that as JSON; :exc:`CannotDo` if not."""
        folders = Folders(self._asker, checked(prefix), recursive=recursive)
        await folders.begin()
        yield folders

    async def write(
        self, path: str, source: Source, *, size_hint: int | None = None, options: WriteOptions = PLAIN
    ) -> Entry:
        """Refused."""
        del source, size_hint, options
        await self._refuse(checked(path))

    async def delete(self, path: str) -> None:
        """Refused."""
        await self._refuse(path)

    async def delete_many(self, paths: Iterable[str]) -> dict[str, SessionctxError]:
        """Refused, all of them."""
        await self._refuse(", ".join(paths))

    async def mkdir(self, path: str) -> None:
        """Refused."""
        await self._refuse(path)

    async def rename(self, source: str, target: str) -> None:
        """Refused."""
        del target
        await self._refuse(source)

    async def copy(self, source: str, target: str) -> Entry:
        """Refused."""
        del target
        await self._refuse(source)

    # ---

    def _no_ranges(self) -> None:
        self.can = attrs.evolve(self.can, best_in_flight=1, best_part=sys.maxsize)

    async def _refuse(self, path: str) -> NoReturn:
        await trio.lowlevel.checkpoint()
        raise CannotDo(f"{self.public} is read-only: {path} stays as it is", storage=self.public, path=path)


@asynccontextmanager
async def open_http(url: str, *, http: HTTP | None = None) -> AsyncGenerator[HTTPStorage]:
    """Open the folder that *url* names on a web server; *http* says how to speak with it."""
    await trio.lowlevel.checkpoint()
    try:
        address = Address.parse(url)
    except InvalidPeer as error:
        raise InvalidLocation(str(error), storage=error.peer) from None
    yield HTTPStorage(address, http or HTTP())
