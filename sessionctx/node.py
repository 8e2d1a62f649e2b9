"""A node: the floors wired together, one object to work with."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from os import PathLike
from pathlib import Path
from typing import Final

import attrs

from sessionctx import session
from sessionctx.blocks import (
    GRACE,
    Audit,
    Blockstore,
    Collected,
    DiskBlockstore,
    MemoryBlockstore,
    NetworkBlocks,
    Pins,
    StorageBlockstore,
    TieredBlockstore,
)
from sessionctx.dag import Dag, Files
from sessionctx.errors import StoreError
from sessionctx.fetch import Priors
from sessionctx.session import Limits, PeerLike, by_address
from sessionctx.storage import open_storage
from sessionctx.transports import Router, Routing

STORE_NAME = "blocks.sqlite3"
"""What the store file in a node's folder is called."""
PRIORS_NAME = "peers.json"
"""What the file there is called that keeps what was learnt of peers, by their addresses without credentials."""
_CACHE: Final = 64 * 1024 * 1024
"""Bytes of blocks that are held in memory of those in a storage, where there is no folder for them."""


@attrs.frozen(eq=False)
class Node:
    """Where blocks are kept, who is asked for those that are not, and what can be done with them.

    ::

        async with Node.open("./data") as node:
            with session.begin(peers=["https://a.example", "https://b.example"]):
                await node.files.export(cid, "./out")
    """

    store: Blockstore
    """Where blocks are kept; asks nobody."""
    blocks: NetworkBlocks
    """The store, and the peers of the session behind it."""
    dag: Dag
    """DAGs: get, walk, resolve paths, CAR files."""
    files: Files
    """Files and folders: add, export, open, cat, ls, stat."""

    @classmethod
    def over(
        cls,
        store: Blockstore,
        *,
        peers: Iterable[PeerLike] = (),
        routers: Iterable[str | Routing] = (),
        priors: Priors | None = None,
        limits: Limits | None = None,
    ) -> Node:
        """Wire a node over a *store* that is open already; closing it remains the caller's, and saving its *priors*."""
        asked = [Router(router) if isinstance(router, str) else router for router in routers]
        blocks = NetworkBlocks(store, peers, routers=asked, priors=priors, default_limits=limits)
        return cls(store, blocks, Dag(blocks), Files(blocks))

    @classmethod
    def open(
        cls,
        path: str | PathLike[str] | None = None,
        *,
        peers: Iterable[PeerLike] = (),
        routers: Iterable[str | Routing] = (),
        limits: Limits | None = None,
        max_bytes: int | None = None,
        store: str | None = None,
    ) -> AbstractAsyncContextManager[Node]:
        """Open a node: ``async with Node.open("./data") as node:``.

        Args:
            path: the folder for its blocks, made if need be; None keeps them in memory.
            peers: who is asked by default, in every session in which the node is used.
            routers: who is asked for more peers, when that is worth it: addresses of delegated routers (HTTP), or
                `Router` objects.
            limits: what a call on the node may use that has no session of the caller's around it. Where there is one,
                its limits count.
            max_bytes: of blocks that the folder may hold; no bound by default. What would carry it above has the least
                recently used blocks evicted that no pin leads to. If that is not enough, what is fetched is not kept,
                and what is added or put raises :exc:`~sessionctx.errors.StoreFull`.
            store: the URL of a storage that keeps the blocks, for many nodes: ``s3://bucket/blocks``, for one. See
                `StorageBlockstore`. Then the folder is a cache of it, or else up to 64 MiB of memory.

        Raises:
            InvalidLocation: *store* is no URL of a storage.
            InvalidPeer: the address of a router is none.
            ValueError: *max_bytes* is negative, or there is no folder.

        Raises (on entering):
            NotInTrio: outside a trio run.
            StoreError: the folder holds something else than a store, or cannot be written.
        """
        if path is None and max_bytes is not None:
            raise ValueError("max_bytes= is for blocks on the disk; name a folder, too")
        asked = tuple(by_address(peers).values())
        over = functools.partial(cls.over, peers=asked, routers=tuple(routers), limits=limits)
        return _open(path, store, over, max_bytes)

    @property
    def pins(self) -> Pins:
        """The roots whose blocks `gc` keeps; :exc:`~sessionctx.errors.StoreError` if the store is not on the disk."""
        return self._disk().pins

    async def gc(
        self, *, grace: float = GRACE, max_bytes: int | None = None, everything: bool = False, dry_run: bool = False
    ) -> Collected:
        """Delete what no pin leads to and nobody has put within the last *grace* seconds; see `DiskBlockstore.gc`.

        With *max_bytes*, only until the store holds no more than so many bytes of blocks, the least recently used
        first. What `Files.add` adds is pinned, unless it is told otherwise; what `Dag.put` puts, or is fetched, is not.
        :exc:`~sessionctx.errors.NothingPinned` where nothing is, unless *everything* or *max_bytes* is given.
        """
        session.require_trio("Node.gc")
        return await self._disk().gc(grace=grace, max_bytes=max_bytes, everything=everything, dry_run=dry_run)

    def verify(self) -> Audit:
        """Return an async iterator that hashes the whole store again, and yields what is bad; `DiskBlockstore.verify`.

        :exc:`~sessionctx.errors.StoreError` if the store is not on the disk.
        """
        return self._disk().verify()

    def _disk(self) -> DiskBlockstore:
        if isinstance(self.store, DiskBlockstore):
            return self.store
        raise StoreError("only a store on the disk has pins and garbage; open the node with a folder")


@asynccontextmanager
async def _open(
    path: str | PathLike[str] | None, url: str | None, over: Callable[..., Node], max_bytes: int | None
) -> AsyncGenerator[Node, None]:
    session.require_trio("Node.open")
    if path is None:
        async with _behind(MemoryBlockstore(max_bytes=None if url is None else _CACHE), url) as store:
            yield over(store)
        return
    async with (
        DiskBlockstore.open(Path(path) / STORE_NAME, max_bytes=max_bytes) as kept,
        _behind(kept, url) as store,
    ):
        priors = Priors(Path(path) / PRIORS_NAME)
        await priors.load()
        try:
            yield over(store, priors=priors)
        finally:
            await priors.save()


@asynccontextmanager
async def _behind(store: Blockstore, url: str | None) -> AsyncGenerator[Blockstore]:
    """Give *store*; or, as one, it as the cache and the blocks in the storage at *url*."""
    if url is None:
        yield store
        return
    async with open_storage(url) as storage, StorageBlockstore.open(storage) as home:
        yield TieredBlockstore([store, home])
