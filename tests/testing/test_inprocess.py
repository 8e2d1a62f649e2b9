"""A gateway in process answers as one behind a socket does, on a clock that jumps."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from sessionctx import Node, serve, session
from sessionctx.blocks import MemoryBlockstore
from sessionctx.errors import Busy, CarTruncated, NotHere, PeerError, PeerFailed, Stalled
from sessionctx.testing import faults, samples
from sessionctx.testing.chance import uniform
from sessionctx.testing.inprocess import serving
from sessionctx.testing.network import Network, simulate
from sessionctx.transports import HTTP
from tests.profiles import examples

KiB = 1024
FILE = samples.file(400 * KiB, chunk=20 * KiB, width=8)


async def gateway_app(sample=FILE):
    store = MemoryBlockstore()
    await store.put_many(sample.blocks)
    return serve.gateway(store)


async def test_blocks_and_cars_come_over_http(autojump_clock):
    async with serving(await gateway_app(), "http://a.test", latency=0.5) as gateway:
        assert gateway.public == "http://a.test"
        assert await gateway.block(FILE.blocks[0].cid) == FILE.blocks[0].data
        assert trio.current_time() == 0.5
        async with gateway.car(FILE.root) as answer:
            found = [pair async for pair in answer]
            assert (answer.order, answer.dups, answer.roots) == ("dfs", False, (FILE.root,))
        assert sorted(cid for cid, _ in found) == sorted(block.cid for block in FILE.blocks)
        with pytest.raises(NotHere, match="404"):
            await gateway.block(samples.blocks(1, 100)[0].cid)


async def test_an_answer_comes_while_it_is_being_made(autojump_clock):
    """Bodies stream: the first blocks of a slow CAR are here long before the last."""
    async with serving(faults.slow(await gateway_app(), rate=10 * KiB)) as gateway, gateway.car(FILE.root) as answer:
        await anext(answer)
        assert trio.current_time() < 4
        async for _ in answer:
            pass
        assert trio.current_time() == pytest.approx(40, abs=1)


async def test_a_latency_may_be_a_distribution(autojump_clock):
    async def times(seed):
        took = []
        async with serving(await gateway_app(), latency=uniform(1.0, 2.0), seed=seed) as gateway:
            for _ in range(5):
                began = trio.current_time()
                await gateway.block(FILE.root)
                took.append(round(trio.current_time() - began, 9))
        return took

    assert await times(1) == await times(1) != await times(2)
    assert all(1.0 <= each <= 2.0 for each in await times(3))


@pytest.mark.parametrize(
    ("wrapper", "error"),
    [
        (lambda app: faults.stalling(app, after=1000), Stalled),
        (lambda app: faults.truncating(app, after=1000), PeerFailed),
        (lambda app: faults.failing(app, every=1), PeerFailed),
        (lambda app: faults.busy(app, retry_after=7), Busy),
    ],
)
async def test_faults_look_as_they_do_behind_a_socket(wrapper, error, autojump_clock):
    limits = HTTP(idle=3.0)
    async with serving(wrapper(await gateway_app()), http=limits) as gateway:
        with pytest.raises(error) as caught:
            await gateway.block(FILE.blocks[0].cid)
        assert caught.value.peer == "http://gateway.test"
        assert trio.current_time() <= 6.0
        with pytest.raises((error, CarTruncated)):
            async with gateway.car(FILE.root) as answer:
                async for _ in answer:
                    pass


async def test_an_app_that_raises_has_failed(autojump_clock):
    async def app(scope, receive, send):
        assert (await receive())["type"] == "http.request"
        if b"raw" in scope["query_string"]:
            raise RuntimeError("out of order")
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/vnd.ipld.car")]}
        )
        raise RuntimeError("out of order")

    async with serving(app) as gateway:
        with pytest.raises(PeerFailed, match="500"):
            await gateway.block(FILE.root)
        with pytest.raises(PeerFailed):
            async with gateway.car(FILE.root) as answer:
                await anext(answer)


async def test_who_goes_away_stops_the_app_and_leaves_its_session_alone(autojump_clock):
    seen = []

    async def app(scope, receive, send):
        seen.append(session.current(None))
        try:
            await trio.sleep_forever()
        finally:
            seen.append(trio.current_time())

    async with serving(app) as gateway:
        with session.begin(), trio.move_on_after(2):
            await gateway.block(FILE.root)
        await trio.testing.wait_all_tasks_blocked()
        assert seen == [None, 2.0]


@examples(15)
@given(
    st.lists(st.sampled_from(["well", "slow", "fail", "busy", "stall", "truncate", "lie"]), max_size=3),
    st.integers(0, 3),
)
def test_a_file_comes_whole_from_any_gateways_with_a_good_one_among_them(bad, at):
    """The whole way, from an export down to parsed HTTP, on a clock that jumps."""
    wrappers = {
        "well": lambda app: app,
        "slow": lambda app: faults.slow(app, rate=100 * KiB),
        "fail": lambda app: faults.failing(app, every=2),
        "busy": lambda app: faults.busy(app, every=3),
        "stall": lambda app: faults.stalling(app, after=10_000),
        "truncate": lambda app: faults.truncating(app, after=10_000),
        "lie": faults.lying,
    }

    async def main():
        app = await gateway_app()
        names = [*bad[:at], "well", *bad[at:]]
        async with trio.open_nursery() as nursery:
            peers = [await nursery.start(stay, wrappers[name](app), f"http://{n}.test") for n, name in enumerate(names)]
            node = Node.over(MemoryBlockstore())
            with session.begin(peers=peers) as s:
                async with node.files.cat(FILE.root) as chunks:
                    assert b"".join([chunk async for chunk in chunks]) == FILE.data
            assert s.statistics().in_flight == 0
            nursery.cancel_scope.cancel()

    simulate(main)


async def stay(app, url, *, task_status):
    async with serving(app, url, latency=0.02) as gateway:
        task_status.started(gateway)
        await trio.sleep_forever()


HAMT = samples.folder(60, 50, sharded=True)
numbers = st.integers(-500_000, 500_000)
spans = st.tuples(numbers, st.just("*") | numbers).filter(
    lambda span: span[1] == "*" or (span[0] < 0) != (span[1] < 0) or span[0] <= span[1]
)


@examples(40)
@given(
    question=st.one_of(
        st.fixed_dictionaries(
            {"path": st.sampled_from(["", "7", "nobody"]), "scope": st.sampled_from(["block", "entity", "all"])}
        ),
        spans.map(lambda span: {"span": f"{span[0]}:{span[1]}"}),
    )
)
def test_a_simulated_peer_sends_the_same_cars_as_a_gateway(question):
    """Whatever part of a DAG is asked for, the simulated network and our gateway agree about what belongs to it."""
    sample = FILE if "span" in question else HAMT

    async def read(peer):
        try:
            async with peer.car(sample.root, **question) as answer:
                return [pair async for pair in answer]
        except PeerError as error:
            return type(error)

    async def main():
        network = Network(sample.blocks)
        async with serving(await gateway_app(sample)) as gateway:
            assert await read(network.peer("a")) == await read(gateway)

    simulate(main)
