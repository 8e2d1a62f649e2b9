"""The lookout, by lists of numbers: when a CAR stalls, when it is outrun, and who helps with which blocks."""

from __future__ import annotations

import pytest

from sessionctx.content import DAG_PB, Block, PBLink, PBNode, dagpb
from sessionctx.fetch.job import CarJob, Job
from sessionctx.fetch.lookout import MOST_HELP, STALL, far_end, outrun, stalls
from sessionctx.fetch.pool import Pool
from sessionctx.fetch.stripe import MANY, Sweep

SIZE = 1000


@pytest.fixture
def coming(block, good, flying):
    """``coming(count, others)``: a CAR of so many blocks of 1000 bytes, whose root has come, from a peer of its own;
    and the pool of that and the *others*."""
    pools = []

    def coming(count, *others, slow=None):
        leaves = [block(n, SIZE) for n in range(count)]
        root = Block.of(dagpb.encode(PBNode([PBLink(leaf.cid, f"{n:03}", SIZE) for n, leaf in enumerate(leaves)])),
                        codec=DAG_PB)  # fmt: skip
        sweep = Sweep(root.cid, (count + 1) * SIZE)
        job = CarJob(root.cid, SIZE, sweep=sweep)
        sweep.arrived(root)
        ask = flying(job, slow or good(99), predicted=100.0, late_at=1e9)
        ask.arrived(SIZE, 0.1)
        pool = Pool([ask.record, *others], size=SIZE)
        pools.append(pool)
        pool.update(1.0)
        return job, ask, pool, leaves

    yield coming
    for pool in pools:
        pool.close()


def test_a_car_stalls_when_nothing_has_come_for_a_while(coming):
    _, ask, _, _ = coming(10)
    assert not stalls(ask, 0.1 + STALL * 0.99)
    assert stalls(ask, 0.1 + STALL)


def test_from_far_away_it_may_be_silent_for_longer(coming, good):
    _, ask, _, _ = coming(10, slow=good(99, latency=1.0))
    longest = 4 * ask.record.latency
    assert longest > 4 * STALL
    assert not stalls(ask, 0.1 + longest * 0.99)
    assert stalls(ask, 0.1 + longest)


def test_a_car_that_takes_turns_with_another_answer_of_its_peer_may_be_silent_for_twice_as_long(coming, flying, block):
    _, ask, _, _ = coming(10)
    other = flying(Job(block(1).cid, SIZE), ask.record, began=0.1)
    for tenth in range(2, 21):
        other.arrived(10, tenth / 10)
    assert 4 * ask.record.latency <= STALL
    assert not stalls(ask, 0.1 + 2 * STALL * 0.99)
    assert stalls(ask, 0.1 + 2 * STALL)


@pytest.mark.parametrize(("rate", "faster"), [(10.0, False), (1e3, False), (1e4, True), (1e6, True)])
def test_it_is_outrun_by_who_would_bring_all_of_it_in_a_quarter_of_what_it_still_needs(coming, good, rate, faster):
    """A hundred blocks of 1000 bytes of which one came in a second, need about a hundred of them."""
    job, ask, pool, _ = coming(100, good(0, rate=rate))
    assert outrun(job, ask, pool, 1.0) == faster


def test_it_is_not_outrun_before_it_could_show_how_fast_it_is(coming, good, flying):
    job, ask, pool, _ = coming(100, good(0, rate=1e9))
    assert not outrun(job, ask, pool, STALL * 0.99)
    silent = flying(Job(job.cid, SIZE), good(1))
    assert not outrun(job, silent, pool, 9.0)


def test_nor_by_who_lacks_it_or_sends_no_cars(coming, good):
    for fast in (good(0, rate=1e6, cars=False), good(0, rate=1e6)):
        job, ask, pool, _ = coming(100, fast)
        if fast.cars is None:
            fast.forget_me_not(job.name)
        assert not outrun(job, ask, pool, 1.0)


def test_idle_peers_bring_what_comes_last(coming, good):
    """As much as they have room for, from the end; never what is being brought already."""
    job, ask, pool, leaves = coming(100, good(0, rate=1e5, window=2), good(1, rate=1e5, window=1))
    last = [leaf.cid for leaf in reversed(leaves)]
    room = sum(standing.room for _, _, standing in pool.ready if standing.record is not ask.record)
    assert room > 0
    assert far_end(job, ask, pool, set(), 1.0) == last[:room]
    helping = {cid.multihash for cid in last[:5]}
    assert far_end(job, ask, pool, helping, 1.0) == last[5 : 5 + room]


def test_they_bring_no_more_than_half_of_it_and_no_more_than_so_many_at_a_time(coming, good):
    crowd = [good(n, rate=1e5) for n in range(20)]
    job, ask, pool, _ = coming(200, *crowd)
    assert len(far_end(job, ask, pool, set(), 1.0)) == MOST_HELP
    for count, most in ((MANY - 1, 0), (MANY, 1), (MANY + 1, 1), (MANY + 6, 4)):
        job, ask, pool, _ = coming(count, *crowd)
        assert len(far_end(job, ask, pool, set(), 1.0)) == most
        assert far_end(job, ask, pool, {b"another"} if most == 1 else set(range(most)), 1.0) == []


def test_nobody_helps_who_would_hardly_be_sooner_or_lacks_the_root(coming, good):
    late, lacking = good(0, rate=1e6, latency=600.0), good(1, rate=1e6)
    job, ask, pool, _ = coming(100, late, lacking)
    lacking.forget_me_not(job.name)
    assert far_end(job, ask, pool, set(), 1.0) == []


def test_nobody_helps_with_what_may_not_be_missing(coming, good):
    job, ask, pool, _ = coming(100, good(0, rate=1e5))
    job.sweep.exact = False
    assert far_end(job, ask, pool, set(), 1.0) == []
