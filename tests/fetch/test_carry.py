"""CARs in the plan: many small blocks come together, and whatever is wrong with a CAR, the right blocks come."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress

import attrs
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from sessionctx import Node, session
from sessionctx.blocks import DiskBlockstore, MemoryBlockstore
from sessionctx.content import CID, DAG_PB, Block, PBNode, dagpb
from sessionctx.errors import SessionEnded, StoreFull
from sessionctx.fetch import FETCHER, STRIPE, Sweep, start_carry
from sessionctx.peers import statistics
from sessionctx.session import events
from sessionctx.session.flights import flights
from sessionctx.testing import fates, samples
from sessionctx.testing.network import Network, SimulatedPeer, simulate
from sessionctx.transports import Can
from tests.profiles import examples

KiB, MiB = 1024, 1024 * 1024
HAMT = samples.folder(400, 3000, sharded=True)
FLAT = samples.folder(220, 3000, sharded=False)
PLAIN = Can(car=False)


def network_of(sample, *peers, seed=1):
    network = Network(sample.blocks, seed=seed)
    for n, options in enumerate(peers):
        network.peer(f"{n}", **{"latency": 0.025, "rate": 4 * MiB} | options)
    return network


def walked(network, sample, *, store=None, peers=None):
    """Walk it; nothing wrong may come, and nothing may be left behind. Returns seconds, rows of the peers, account."""

    async def main():
        node = Node.over(store or MemoryBlockstore())
        began = trio.current_time()
        with session.begin(peers=peers or network.peers) as s:
            async with node.dag.walk(sample.root) as found:
                assert {block.cid async for block in found} == {block.cid for block in sample.blocks}
            took = trio.current_time() - began
            left_nothing(s)
            return took, statistics(s), s.statistics()

    return simulate(main)


def left_nothing(s):
    fetcher = FETCHER.of(s)
    assert (len(flights(s)), len(fetcher.needs), fetcher.covers.held) == (0, 0, {})
    assert not fetcher.covers._cars
    account = s.statistics()
    assert account.in_flight == account.open == 0
    assert s.account.held == 0
    for row in statistics(s):
        assert row.asked == row.found + row.missing + row.failed + row.lied + row.cancelled
        assert row.in_flight == 0


@pytest.mark.parametrize("sample", [HAMT, FLAT])
@pytest.mark.parametrize("count", [1, 3])
def test_a_folder_of_small_files_takes_few_requests(sample, count):
    network = network_of(sample, *[{}] * count)
    seconds, _, account = walked(network, sample)
    assert account.requests < len(sample.blocks) / (16 if count == 1 else 7)
    assert account.duplicate_bytes < 0.03 * sample.size
    assert network.traffic.cars > 0
    plain = network_of(sample, *[{"can": PLAIN}] * count)
    assert seconds < walked(plain, sample)[0] / (2 if count == 1 else 1)


def test_a_car_that_is_cut_keeps_what_came_and_others_finish():
    network = network_of(FLAT, {"faults": [fates.truncating(after=300_000)]}, {"latency": 0.1})
    _, rows, account = walked(network, FLAT)
    assert rows[0].state != "banned"
    assert account.duplicate_bytes < 400_000


def test_a_car_that_lies_bans_its_peer_and_the_right_blocks_come():
    network = network_of(HAMT, {"faults": [fates.lying(0.2)], "latency": 0.001}, {})
    _, rows, _ = walked(network, HAMT)
    assert rows[0].state == "banned"


def test_a_car_that_stalls_is_overtaken():
    network = network_of(FLAT, {"faults": [fates.stalling(after=100_000)], "latency": 0.001}, {})
    assert walked(network, FLAT)[0] < 1.5  # half a second until it is noticed, and the rest from the other


def test_a_slow_car_is_overtaken_from_its_far_end():
    """Alone, the slow one would take 14 seconds; the fast one, which came later, has the rest long before."""
    network = network_of(FLAT, {"rate": 64 * KiB, "latency": 0.001}, {"rate": 8 * MiB, "latency": 0.2})
    seconds, rows, account = walked(network, FLAT)
    assert seconds < 2.5
    assert rows[1].found > 100 or rows[1].bytes > 500_000
    assert account.duplicate_bytes <= 0.3 * FLAT.size


def test_who_sends_no_cars_is_found_out_once_and_serves_blocks():
    network = network_of(HAMT, *[{"faults": [fates.without_cars()]}] * 2)
    _, rows, account = walked(network, HAMT)
    for peer, row in zip(network.peers, rows, strict=True):
        assert peer.traffic.cars == row.failed == 1
        assert row.state == "good"
    assert sum(row.found for row in rows) == len(HAMT.blocks)
    assert account.requests <= len(HAMT.blocks) + 8


@attrs.define(eq=False)
class Odd:
    """A peer that answers with blocks as another one does, and with CARs as a function says: pairs, for ever or not."""

    like: SimulatedPeer
    pairs: Callable[[CID], AsyncIterator[tuple[CID, bytes]]]
    url: str = "sim://odd"
    public: str = "sim://odd"
    endpoint: str = "sim://odd"
    can: Can = attrs.field(factory=lambda: Can(car=True))
    cars: int = 0
    sections: int = 0

    async def block(self, cid, *, progress=None):
        return await self.like.block(cid, progress=progress)

    @asynccontextmanager
    async def car(self, cid, *, path="", scope="all", span=None, progress=None):
        self.cars += 1
        async with aclosing(self.pairs(cid)) as pairs, aclosing(self._told(pairs, progress)) as answer:
            yield answer

    async def _told(self, pairs, progress):
        async for name, data in pairs:
            self.sections += 1
            if progress is not None:
                progress.came(len(data) + 40)
            yield name, data


def walked_with_odd(pairs, sample=HAMT, **options):
    """Walk the sample with an odd peer alone. Returns it, its row and the account."""
    network = network_of(sample, {"can": PLAIN} | options)
    odd = Odd(network.peers[0], pairs)
    _, rows, account = walked(network, sample, peers=[odd])
    return odd, rows[0], account


@pytest.mark.parametrize("size", [0, 1000, 1_000_000])
def test_a_car_of_what_nobody_asked_for_is_left_for_ever(size):
    """A peer that floods is a peer with bad answers: what it sends is bounded, even if that is nothing, endlessly."""
    stray = Block.of(bytes(size))

    async def flood(_):
        while True:
            await trio.sleep(0.001)
            yield stray.cid, stray.data

    odd, row, account = walked_with_odd(flood)
    assert odd.cars <= 8  # those that were asked before the first was known to be of no use
    of_use = sum(len(block.data) + 256 for block in HAMT.blocks)  # which others bring meanwhile
    assert odd.sections <= odd.cars * ((STRIPE + of_use) // (size + 256) + 2)
    assert row.found == len(HAMT.blocks)
    assert account.duplicate_bytes <= odd.cars * (STRIPE + size + 40) * 2


def test_a_car_that_goes_on_for_ever_after_what_was_asked_for_is_left_when_that_has_come():
    """Junk behind the last block is not even read; and it is no peer's fault that others had the rest before."""
    stray = Block.of(bytes(1000))

    async def flood(cid):
        for block in HAMT.below(cid):
            yield block.cid, block.data
        while True:
            await trio.sleep(0.001)
            yield stray.cid, stray.data

    odd, row, account = walked_with_odd(flood)
    assert row.failed == row.lied == 0
    assert account.in_flight == 0
    assert odd.sections <= 2 * len(HAMT.blocks)
    assert account.duplicate_bytes < MiB


def test_what_is_larger_than_it_was_said_to_be_is_bounded_and_comes_all_the_same():
    """A folder whose links say that next to nothing is below them: the CAR is left in time, blocks bring the rest."""
    big = samples.file(12 * MiB, chunk=16 * KiB, width=64)
    top = next(block for block in big.blocks if block.cid == big.root)
    small = [attrs.evolve(link, tsize=1) for link in dagpb.decode(top.data).links]
    liar = Block.of(dagpb.encode(PBNode(links=tuple(small))), codec=DAG_PB)
    sample = samples.Sample(liar.cid, (liar, *(block for block in big.blocks if block is not top)), {})
    network = network_of(sample, {"rate": 16 * MiB}, {"rate": 16 * MiB})
    _, rows, account = walked(network, sample)
    assert all(row.state == "good" for row in rows)
    assert account.duplicate_bytes < 0.3 * sample.size


class Full(MemoryBlockstore):
    """A store with room for so many blocks."""

    def __init__(self, room):
        super().__init__()
        self.room = room
        self.kept = set()

    def _take(self, blocks):
        self.kept |= {block.cid.multihash for block in blocks}
        if len(self.kept) > self.room:
            raise StoreFull("no room")

    async def put(self, block):
        self._take([block])
        await super().put(block)

    async def put_many(self, blocks):
        blocks = list(blocks)
        self._take(blocks)
        await super().put_many(blocks)


@pytest.mark.parametrize("room", [0, 1, 50, 200])
@pytest.mark.parametrize("slow", [False, True])
def test_a_store_that_is_full_says_so_and_no_peer_is_blamed(room, slow):
    """Also where somebody helps from the far end: the error comes as it is, out of the walk."""
    others = [{"rate": 64 * KiB, "latency": 0.001}, {"rate": 256 * KiB, "latency": 0.1}] if slow else [{}]
    network = network_of(FLAT, *others)

    async def main():
        node = Node.over(Full(room))
        with session.begin(peers=network.peers) as s:
            with pytest.raises(StoreFull), trio.fail_after(60):
                async with node.dag.walk(FLAT.root) as found:
                    async for _ in found:
                        pass
            left_nothing(s)
            return statistics(s)

    for row in simulate(main):
        assert (row.failed, row.lied, row.reason) == (0, 0, None)


def test_a_store_that_fails_once_harms_nobody():
    class Hiccup(MemoryBlockstore):
        failed = False

        async def put_many(self, blocks):
            if not self.failed:
                self.failed = True
                raise StoreFull("for a moment")
            await super().put_many(blocks)

    store = Hiccup()
    _, rows, _ = walked(network_of(HAMT, {}), HAMT, store=store)
    assert store.failed
    assert (rows[0].failed, rows[0].reason) == (0, None)


@pytest.mark.parametrize("odd", [{"order": "unk"}, {"repeats": True}, {"strays": 5}])
def test_cars_that_are_out_of_order_or_hold_more_are_fine(odd):
    network = network_of(HAMT, odd, {})
    walked(network, HAMT)


@examples(10)
@given(share=st.floats(0.01, 1.1), disk=st.booleans(), cars=st.booleans())
def test_a_walk_that_is_left_leaves_nothing_and_the_next_one_fetches_none_of_what_is_kept(
    tmp_path_factory, share, disk, cars
):
    """Stopped at any moment and continued from another peer: what was stored is not asked for again, nor sent but for
    what came with a CAR of its surroundings. The moment is a share of the time that all of it takes."""
    at = share * (0.4 if cars else 0.85)
    options = {"rate": 2 * MiB} if cars else {"rate": 2 * MiB, "can": PLAIN}
    first, second = network_of(FLAT, options), network_of(FLAT, options)

    async def main(store):
        node = Node.over(store)
        with session.begin(peers=first.peers) as s:
            with trio.move_on_after(at):
                async with node.dag.walk(FLAT.root) as found:
                    async for _ in found:
                        pass
            left_nothing(s)
        kept = [block.cid for block in FLAT.blocks if await store.has(block.cid)]
        with session.begin(peers=second.peers):
            async with node.dag.walk(FLAT.root) as found:
                assert {block.cid async for block in found} == {block.cid for block in FLAT.blocks}
        return len(kept)

    async def on_disk():
        async with DiskBlockstore.open(tmp_path_factory.mktemp("store") / "blocks.sqlite3") as store:
            return await main(store)

    kept = trio.run(on_disk) if disk and at < 0.1 else simulate(main, MemoryBlockstore())
    missing = len(FLAT.blocks) - kept
    assert second.traffic.blocks <= missing
    assert second.traffic.bytes <= (missing + 1) * 3200 + 20_000 if kept else True


@pytest.mark.parametrize("sample", [HAMT, FLAT])
@examples(8)
@given(at=st.floats(0.001, 0.6), store=st.sampled_from([MemoryBlockstore, lambda: Slow(0.02)]))
def test_a_session_that_is_cancelled_in_the_middle_of_cars_leaves_nothing(sample, at, store):
    """What has been verified by then is kept, even by a slow store: but for a few that were being handed over."""
    network = network_of(sample, {"rate": 2 * MiB}, {"rate": 2 * MiB})

    async def main():
        blocks = store()
        before = trio.lowlevel.current_statistics().tasks_living
        with session.begin(peers=network.peers) as s:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(cancelling, s)
                with suppress(SessionEnded), trio.fail_after(10):
                    async with Node.over(blocks).dag.walk(sample.root) as found:
                        assert {block.cid async for block in found} == {block.cid for block in sample.blocks}
            left_nothing(s)
        assert trio.lowlevel.current_statistics().tasks_living == before
        return {block.cid for block in sample.blocks if await blocks.has(block.cid)}

    async def cancelling(s):
        await trio.sleep(at)
        s.cancel()

    kept = simulate(main)
    sent = {block.cid for block in sample.blocks if network._sent.get(block.cid.multihash, 0) >= len(block.data)}
    assert len(sent - kept) <= 32 + 2 * 64 * KiB // 3000 + 16


class Slow(MemoryBlockstore):
    """A store that takes its time."""

    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds

    async def put(self, block):
        await trio.sleep(self.seconds)
        await super().put(block)

    async def put_many(self, blocks):
        await trio.sleep(self.seconds)
        await super().put_many(blocks)


async def test_two_walks_of_the_same_fetch_once(autojump_clock):
    network = network_of(HAMT, {})
    node = Node.over(MemoryBlockstore())

    async def one():
        async with node.dag.walk(HAMT.root) as found:
            assert len([block async for block in found]) == len(HAMT.blocks)

    with session.begin(peers=network.peers) as s:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one)
            nursery.start_soon(one)
        assert s.statistics().bytes < 1.2 * sum(len(block.data) + 60 for block in HAMT.blocks)


def test_who_had_the_parent_is_asked_for_the_children():
    """Each of four peers holds one subtree only; most requests for its blocks go there."""
    network = Network(HAMT.blocks, seed=3)
    for n in range(4):
        network.peer(f"{n}", 0.4, latency=0.02, rate=4 * MiB, can=PLAIN)
    network.peer("all", latency=0.3, rate=MiB, can=PLAIN)
    _, rows, account = walked(network, HAMT)
    assert sum(row.missing for row in rows) <= 3 * len(HAMT.blocks)
    assert account.found == account.wants


TALL = samples.file(6 * MiB, chunk=8 * KiB, width=16)


@examples(15)
@given(
    start=st.integers(0, 6 * MiB - 1),
    length=st.integers(1, MiB),
    how=st.sampled_from(["cat", "read_at"]),
    peers=st.integers(1, 3),
)
def test_of_a_range_little_more_is_fetched_than_its_bytes(start, length, how, peers):
    """However small the blocks, and however well one CAR of a whole node would do: what is not wanted does not come."""
    network = network_of(TALL, *[{}] * peers)

    async def main():
        node = Node.over(MemoryBlockstore())
        with session.begin(peers=network.peers) as s:
            if how == "cat":
                async with node.files.cat(TALL.root, offset=start, length=length) as chunks:
                    got = b"".join([chunk async for chunk in chunks])
            else:
                async with node.files.open(TALL.root) as file:
                    got = await file.read_at(start, length)
            assert got == TALL.data[start : start + length]
            return s.statistics()

    account = simulate(main)
    beside = 64 * KiB + 10 * 8 * KiB  # the first CAR, the path down to both ends and what is read ahead of it
    assert account.bytes - account.duplicate_bytes <= length + 2 * 8 * KiB + beside + 0.2 * length


def test_events_tell_a_car_from_a_block():
    """A root is sent twice, once alone and once with all that is below it: both have its name."""
    network, told = network_of(FLAT, {}), []

    async def main():
        with session.begin(peers=network.peers) as s, s.subscribe(told.append):
            await Node.over(MemoryBlockstore()).dag.fetch(FLAT.root)

    simulate(main)
    answered = [event for event in told if isinstance(event, events.Answered) and event.name == FLAT.root]
    assert [event.what for event in answered] == ["block", "car"]
    assert answered[0].bytes < answered[1].bytes
    asked = [event.what for event in told if isinstance(event, events.Asked)]
    ended = [event.what for event in told if isinstance(event, events.Answered | events.Dropped)]
    assert sorted(asked) == sorted(ended)


@examples(10)
@given(at=st.floats(0.1, 0.3))
def test_what_a_car_had_brought_is_stored_when_it_is_cancelled(at):
    """Also the last few, which wait for a batch to be full; nobody else would keep these."""
    network = network_of(FLAT, {"rate": 2 * MiB})

    async def main():
        store = MemoryBlockstore()
        with session.begin(peers=network.peers) as s, trio.move_on_after(at):
            await start_carry(s, Sweep(FLAT.root), store.put_many).run()
        return {block.cid for block in FLAT.blocks if await store.has(block.cid)}

    kept = simulate(main)
    sent = {block.cid for block in FLAT.blocks if network._sent.get(block.cid.multihash, 0) >= len(block.data)}
    assert len(sent - kept) <= 1 + 64 * KiB // 3000  # what is on its way from the line to us
