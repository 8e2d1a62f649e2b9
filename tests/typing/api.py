"""Ordinary code of a user, for the type checkers (``mypy`` and ``pyright``, both strict). It is never run.

``assert_type`` says what a user may rely on; code that must be refused carries an ignore, which the checkers would
call unused if it were accepted.
"""

# pyright: strict, reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from typing import assert_type

import attrs
import trio

import sessionctx
from sessionctx import CID, Block, Node, errors, peers, serve, session
from sessionctx.blocks import Blockstore, Cleared, DiskBlockstore, MemoryBlockstore, StorageBlockstore, TieredBlockstore
from sessionctx.dag import CarSummary, Fetched, FileReader, Kind, Opened, Source, Walk
from sessionctx.session import Limits, Session, Slot, Statistics, events
from sessionctx.share import Blob, BlobShare
from sessionctx.storage import open_storage
from sessionctx.testing.routers import FakeRouter
from sessionctx.transports import Provider, Router, Routing, Transport


def sessions() -> None:
    with session.begin(peers=["https://a.example"], limits=Limits(seconds=30, bytes=10**9), name="mine") as s:
        assert_type(s, Session)
        assert_type(s.statistics(), Statistics)
        assert_type(s.parent, Session | None)
    with session.fork(limits=Limits(requests=5)) as forked:
        assert_type(forked, Session)
    with session.leave() as nothing:
        assert_type(nothing, None)
    with session.use(s) as same:
        assert_type(same, Session)
    assert_type(session.current(), Session)
    assert_type(session.current(None), Session | None)
    assert_type(session.current(default=1), Session | int)
    session.begin("https://a.example", timeout=30)  # type: ignore[call-arg]
    Limits(10)  # type: ignore[call-arg]


async def child(number: int, text: str) -> None:
    await trio.sleep(number * len(text))


async def nurseries() -> None:
    async with session.begin() as s:
        s.start_soon(child, 1, "a")
        s.start_soon(child, "a", 1)  # type: ignore[arg-type]


@attrs.define
class Counter:
    count: int = 0


COUNTERS = Slot("counters", make=lambda _: Counter(), fork=lambda parent: Counter(parent.count))


def slots(s: Session) -> None:
    assert_type(COUNTERS.here(), Counter)
    assert_type(COUNTERS.of(s).count, int)


def hook(event: events.Event) -> None:
    match event:
        case events.Answered(peer=peer, bytes=size):
            assert_type(peer, str)
            assert_type(size, int)
        case _:
            pass


@session.operation
async def my_own_layer(node: Node, cid: CID, *, times: int = 1) -> list[Block]:
    return [await node.blocks.get(cid) for _ in range(times)]


async def operations(node: Node, cid: CID) -> None:
    assert_type(await my_own_layer(node, cid, times=2), list[Block])
    await my_own_layer(node, times=2)  # type: ignore[call-arg]


def content() -> None:
    cid = CID.parse("bafkqaaa")
    assert_type(cid, CID)
    assert_type(cid.version, int)
    assert_type(cid.digest, bytes)
    assert_type(bytes(cid), bytes)
    assert_type({cid: 1}[cid], int)
    assert_type(sorted([cid, cid]), list[CID])
    block = Block.of(b"hello")
    assert_type(block.cid, CID)
    assert_type(block.data, bytes)
    assert_type(block.links(), list[CID])


class Mine:
    """A store of one's own, without inheriting from anything."""

    async def get(self, cid: CID) -> Block:
        raise errors.BlockNotFound(f"{cid} is not here")

    async def has(self, cid: CID) -> bool:
        return cid.is_identity

    async def put(self, block: Block) -> None: ...

    async def put_many(self, blocks: object) -> None: ...

    async def sync(self) -> None: ...

    async def delete(self, cid: CID) -> None: ...


async def stores() -> None:
    memory: Blockstore = MemoryBlockstore()
    mine: Blockstore = Mine()
    async with DiskBlockstore.open("somewhere") as disk:
        assert_type(disk, DiskBlockstore)
        tiers: Blockstore = TieredBlockstore([memory, disk, mine])
    async with open_storage("s3://bucket/blocks") as bucket, StorageBlockstore.open(bucket, "mine") as home:
        assert_type(home, StorageBlockstore)
        tiers = TieredBlockstore([memory, home])
        assert_type(await home.has_many([CID.parse("bafkqaaa")]), set[CID])
        assert_type(await home.gc(grace=60.0), Cleared)
    async with Node.open(store="s3://bucket/blocks") as node:
        assert_type(node.store, Blockstore)
        assert_type(await tiers.get(CID.parse("bafkqaaa")), Block)
    wrong: Blockstore = object()  # type: ignore[assignment]
    del wrong


async def nodes(cid: CID) -> None:
    async with Node.open("./data", peers=["https://a.example"]) as node, trio.open_nursery() as nursery:
        assert_type(node, Node)
        url = await nursery.start(serve.run, serve.gateway(node.store))
        with session.begin(peers=[str(url)]) as s:
            assert_type((await node.blocks.get(cid)).data, bytes)
            for peer in peers.statistics(s):
                assert_type(peer.state, str)
                assert_type(peer.latency, float | None)


async def streams(node: Node, cid: CID) -> None:
    async with node.files.open(cid, path="a/b", offset=10, length=100) as f:
        assert_type(f, FileReader)
        assert_type(await f.read(), bytes)
        assert_type(await f.read_at(5, 10), bytes)
        assert_type(f.seek(-1, io.SEEK_END), int)
        assert_type((f.tell(), f.size, f.cid), tuple[int, int, CID])
        async for chunk in f:
            assert_type(chunk, bytes)
        await f.seek(0)  # type: ignore[misc]
    async with node.files.cat(cid) as chunks:
        async for chunk in chunks:
            assert_type(chunk, bytes)
    with node.files.open(cid):  # type: ignore[attr-defined]
        pass
    await node.files.cat(cid)  # type: ignore[misc]


async def files_and_dags(node: Node, cid: CID, source: Source) -> None:
    assert_type((await node.files.add(source)).cid, CID)
    await node.files.export(cid, "out", progress=lambda done: assert_type(done.total, int | None))
    assert_type(await node.files.read_bytes(f"{cid}/a"), bytes)
    async with node.files.ls(cid, detail=True) as entries:
        async for entry in entries:
            assert_type(entry.kind, Kind | None)
    assert_type(await node.dag.fetch(cid, path="a"), Fetched)
    walking: Opened[Walk[None, Block]] = node.dag.walk(f"{cid}/a")
    async with walking as blocks:
        async for block in blocks:
            assert_type(block, Block)
    assert_type(await node.dag.export_car(cid, "x.car"), CarSummary)


def failures(error: Exception) -> None:
    match error:
        case errors.FetchFailed():
            for peer, reason in error.reasons.items():
                assert_type(peer, str)
                assert_type(reason, Exception)
        case errors.Busy():
            assert_type(error.retry_after, float | None)
        case errors.InvalidCID():
            value: ValueError = error
            del value
        case _:
            pass


assert_type(sessionctx.__all__, list[str])
sessionctx.nothing_like_it  # type: ignore[attr-defined]


async def routing(cid: CID) -> None:
    router = Router("https://router.example", allow_private=True)
    async with router.providers(cid, addrs=["https", "!ip6"]) as found:
        async for provider in found:
            assert_type(provider, Provider)
            assert_type(provider.gateways, tuple[str, ...])
    assert_type(router.transport("https://gw.example"), Transport)
    either: list[Routing] = [router, FakeRouter()]
    either.append("https://router.example")  # type: ignore[arg-type]


async def blobs(pieces: AsyncIterator[bytes]) -> None:
    async with BlobShare.open("memory://", listen=serve.listening("127.0.0.1:0"), max_bytes=10) as share:
        assert_type(await share.share("x", pieces, expect="sha256:..."), Blob)
        blob = await share.share("y", b"...")
        async with share.load("y", ["https://a.example"], expect=blob, may_come=True) as reader:
            assert_type(await reader.read_at(0, 5), bytes)
            async for piece in reader:
                assert_type(piece, bytes | bytearray | memoryview)
        assert_type(share.url, str | None)
        for service, counted in share.statistics().sources.items():
            assert_type((service, counted.requests), tuple[str, int])
        await share.share("z", 5)  # type: ignore[arg-type]
        app: serve.App = serve.blobs(share)
        del app
