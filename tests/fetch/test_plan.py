"""The plan, by lists of numbers: who is asked for what, whether to wait, when to give up."""

from __future__ import annotations

from functools import cache, partial
from math import inf

import attrs
import pytest
from hypothesis import assume, event, given
from hypothesis import strategies as st

from sessionctx.content import CID
from sessionctx.errors import BadAnswer, Busy, NotHere, PeerFailed, Stalled, Unreachable
from sessionctx.fetch.job import FEW_TRIES, MOST_TRIES, PATIENCE, Job
from sessionctx.fetch.job import look_again as look_again_by
from sessionctx.fetch.needs import Needs
from sessionctx.fetch.plan import FEW
from sessionctx.fetch.plan import assign as assign_by
from sessionctx.fetch.pool import BEAM, Pool
from sessionctx.fetch.window import window
from sessionctx.peers import Health, outlook, typical
from sessionctx.peers.health import LONGEST_REST

NOW = 100.0


@cache
def named(name):
    """The CID of something called *name*."""
    return CID.of(str(name).encode())


def jobs_of(n, size=1000):
    return [Job(named(f"job {i}"), size) for i in range(n)]


def pool_of(records):
    """A pool of the records as they are, ordered for jobs of 1000 bytes."""
    return Pool(records, size=1000)


def assign(jobs, records, **options):
    """One turn of the plan over plain lists."""
    needs, pool = Needs(), pool_of(records)
    for job in jobs:
        needs.add(job)
    try:
        return assign_by(needs, pool, **options)
    finally:
        pool.close()


def look_again(job, records, now):
    pool = pool_of(records)
    pool.update(now)
    try:
        return look_again_by(job, pool, now)
    finally:
        pool.close()


def turn(jobs, records, *, room=inf, now=NOW, hedges=True):
    """The grants as (job's number, record's number, hedge)."""
    records, jobs = list(records), list(jobs)
    grants = assign(jobs, records, room=room, now=now, hedges=hedges)
    return [(jobs.index(grant.job), records.index(grant.record), grant.hedge) for grant in grants]


# --- examples


def test_nobody_to_ask_and_nothing_to_ask_for(good):
    assert turn(jobs_of(3), []) == []
    assert turn([], [good()]) == []
    assert turn(jobs_of(3), [good()], room=0) == []


def test_the_sooner_peer_gets_the_job(good):
    assert turn(jobs_of(1), [good(0, latency=0.3), good(1, latency=0.1)]) == [(0, 1, False)]
    assert turn(jobs_of(1), [good(0, rate=1000), good(1, rate=100)]) == [(0, 0, False)]


def test_work_is_shared_in_proportion_to_the_rates(good):
    pool = [good(0, rate=3000, latency=0.0), good(1, rate=1000, latency=0.0)]
    asked = [record for _, record, _ in turn(jobs_of(8), pool)]
    assert (asked.count(0), asked.count(1)) == (6, 2)


def test_a_slow_peer_waits_while_a_fast_one_with_a_full_window_is_sooner_all_the_same(good):
    """Queue behind the better peer: the slow one is not given what it would finish later."""
    fast, slow = good(0, rate=1000, latency=0.0, window=2), good(1, rate=100, latency=0.0)
    assert turn(jobs_of(5), [fast, slow]) == [(0, 0, False), (1, 0, False)]


def test_but_it_gets_what_it_would_finish_first(good):
    fast, slow = good(0, rate=1000, latency=0.0, window=2), good(1, rate=100, latency=0.0)
    assert turn(jobs_of(12), [fast, slow])[:3] == [(0, 0, False), (1, 0, False), (10, 1, False)]


def test_nobody_waits_for_a_busy_peer_that_has_fallen_silent(good, flying):
    """A peer that owes an answer and says nothing is expected ever later, so that others get its work."""
    fast, slow = good(0, rate=1e6, latency=0.0, window=1), good(1, rate=1000, latency=0.0)
    flying(Job(named("elsewhere"), 1000), fast, began=NOW)
    jobs = jobs_of(1)
    assert turn(jobs, [fast, slow], now=NOW + 0.5) == []
    assert turn(jobs, [fast, slow], now=NOW + 1.5) == [(0, 1, False)]


def test_jobs_are_served_in_the_order_of_need(good):
    assert turn(jobs_of(5), [good(window=3)]) == [(0, 0, False), (1, 0, False), (2, 0, False)]
    assert turn(jobs_of(5), [good()], room=2) == [(0, 0, False), (1, 0, False)]


def test_a_peer_that_lacks_one_thing_gets_another(good):
    only, other = good(0, window=1), good(1, window=1, latency=5.0)
    only.forget_me_not(named("job 0").multihash)
    assert turn(jobs_of(3), [only]) == [(1, 0, False)]
    assert turn(jobs_of(3), [only, other]) == [(0, 1, False), (1, 0, False)]


def test_peers_that_are_unknown_share_the_first_work_one_request_each(fresh):
    assert turn(jobs_of(5), [fresh(0), fresh(1), fresh(2)]) == [(0, 0, False), (1, 1, False), (2, 2, False)]


def test_one_unknown_peer_at_a_time_is_tried_with_the_last_job(good, fresh, flying):
    known, unknown, other = good(0, window=3), fresh(1), fresh(2)
    jobs = jobs_of(4, size=0)
    assert turn(jobs, [known, unknown, other]) == [(3, 1, False), (0, 0, False), (1, 0, False), (2, 0, False)]
    flying(Job(named("elsewhere"), 0), unknown, began=NOW)
    assert turn(jobs, [known, unknown, other]) == [(n, 0, False) for n in range(3)]


def test_whoever_waits_does_not_pay_for_exploring(good, fresh, flying):
    """A known peer that has nothing else to do is asked, too, for what an unknown one is tried with."""
    known, unknown = good(0, window=2), fresh(1)
    assert turn(jobs_of(1), [known, unknown]) == [(0, 1, False), (0, 0, False)]
    assert turn(jobs_of(1), [known, unknown], room=2) == [(0, 1, False), (0, 0, False)]
    assert turn(jobs_of(1), [known, unknown], room=1) == [(0, 0, False)]
    (job,) = jobs_of(1)
    flying(job, unknown, began=NOW, late_at=NOW + 9)
    assert turn([*jobs_of(2), job], [known, unknown]) == [(0, 0, False), (1, 0, False)]
    assert turn([*jobs_of(1), job], [known, unknown]) == [(0, 0, False)]  # nobody waits for that yet
    assert turn([job], [known, unknown]) == [(0, 0, False)]


def test_an_unknown_peer_that_has_lost_is_not_tried_again_at_once(good, fresh, flying):
    known, unknown, (job,) = good(0), fresh(1), jobs_of(1, size=0)
    for seconds in (0.25, 0.5, 1.0):
        flying(job, unknown, began=NOW, predicted=9.0).dropped(NOW)
        job.asks.clear()
        assert turn([job], [known, unknown], now=NOW + seconds * 0.99) == [(0, 0, False)]
        assert turn([job], [known, unknown], now=NOW + seconds) == [(0, 1, False), (0, 0, False)]
    flying(job, unknown, began=NOW).found(NOW)
    job.asks.clear()
    assert unknown.health is Health.GOOD


def test_nor_does_it_get_what_a_known_peer_will_do_in_the_end(good, fresh, flying):
    known, unknown, (job,) = good(0), fresh(1), jobs_of(1)
    for n in range(8):
        flying(Job(named(f"elsewhere {n}"), 1000), known, began=NOW)
    assert turn([job], [known, unknown]) == [(0, 1, False)]
    flying(Job(named("elsewhere"), 0), unknown, began=NOW, predicted=9.0).dropped(NOW)
    assert turn([job], [known, unknown]) == []


def test_an_unknown_peer_that_has_lost_narrowly_counts_for_what_it_is_known_to_do(good, fresh, flying):
    known, unknown, (job,) = good(0, latency=3.0), fresh(1), jobs_of(1)
    trial = flying(Job(named("elsewhere"), 0), unknown, began=NOW, predicted=9.0, late_at=NOW + 9)
    trial.arrived(1000, NOW)
    trial.arrived(100, NOW + 0.1)
    trial.dropped(NOW + 0.1)
    assert turn([job], [known, unknown], now=NOW + 0.1) == [(0, 1, False)]


def test_an_unknown_peer_that_has_lost_still_gets_what_nobody_else_has(good, fresh, flying):
    known, unknown, jobs = good(0), fresh(1), jobs_of(2)
    flying(Job(named("elsewhere"), 0), unknown, began=NOW, predicted=9.0).dropped(NOW)
    known.forget_me_not(named("job 1").multihash)
    assert turn(jobs, [known, unknown]) == [(0, 0, False), (1, 1, False)]


def test_beyond_that_an_unknown_peer_counts_as_the_middle_of_the_known(good, fresh, flying):
    """Where the known peers have enough to do, the unknown ones get work in the order of need."""
    known, unknown, other = good(0), fresh(1), fresh(2)
    for n in range(5):
        flying(Job(named(f"elsewhere {n}"), 1000), known, began=NOW)
    flying(Job(named("elsewhere"), 1000), unknown, began=NOW)
    assert turn(jobs_of(1), [known, unknown, other]) == [(0, 2, False)]


def test_exploring_takes_nobodys_place_where_places_are_scarce(good, fresh):
    known, unknown, jobs = good(0), fresh(1), jobs_of(4, size=0)
    assert turn(jobs, [known, unknown], room=1) == [(0, 0, False)]
    assert turn(jobs, [known, unknown], room=2) == [(3, 1, False), (0, 0, False)]


def test_a_peer_back_from_its_rest_is_explored_like_a_new_one(good):
    known, back = good(0, window=2), good(1, latency=50.0, health=Health.RESTING, rest_until=NOW)
    jobs = jobs_of(3)
    assert turn(jobs, [known, back], now=NOW - 0.1) == [(0, 0, False), (1, 0, False)]
    assert turn(jobs, [known, back], now=NOW) == [(2, 1, False), (0, 0, False), (1, 0, False)]


def test_what_an_unknown_peer_lacks_is_not_tried_with_it(good, fresh):
    known, unknown = good(0), fresh(1)
    unknown.forget_me_not(named("job 1").multihash)
    assert turn(jobs_of(2, size=0), [known, unknown]) == [(0, 0, False), (1, 0, False)]


# --- hedges, and the dead


@pytest.fixture
def late(good, flying):
    """A job asked of peer 0 at NOW, late after 2 seconds; peer 1 is there, too."""
    pool = [good(0), good(1, latency=1.0)]
    (job,) = jobs_of(1)
    flying(job, pool[0], began=NOW, predicted=1.0, late_at=NOW + 2)
    return job, pool


def test_a_late_request_is_doubled_at_another_peer_if_that_is_allowed(late):
    job, pool = late
    assert turn([job], pool, now=NOW + 1.9) == []
    assert turn([job], pool, now=NOW + 2) == [(0, 1, True)]
    assert turn([job], pool, now=NOW + 2, hedges=False) == []
    assert turn([job], pool[:1], now=NOW + 2) == []
    assert turn([job], pool, now=NOW + 2, room=0) == []


def test_a_hedge_is_doubled_again_only_when_it_is_late_itself(late, good, flying):
    job, pool = late
    flying(job, pool[1], began=NOW + 2, predicted=1.0, late_at=NOW + 4)
    pool.append(good(2))
    assert turn([job], pool, now=NOW + 3.9) == []
    assert turn([job], pool, now=NOW + 4) == [(0, 2, True)]


def test_one_hedge_is_sent_at_a_time_and_for_the_first_that_can_be_hedged(good, flying):
    """A late job that nobody else can serve keeps no other from its hedge."""
    pool = [good(0), good(1)]
    pool[1].forget_me_not(named("job 0").multihash)
    jobs = jobs_of(3)
    for job in jobs:
        flying(job, pool[0], began=NOW, late_at=NOW + 2)
    assert turn(jobs, pool, now=NOW + 3) == [(1, 1, True)]


def test_one_of_the_last_jobs_is_doubled_by_who_has_nothing_to_do_and_will_have_it_long_before(good, flying):
    slow, idle = good(0, latency=0.0, rate=100), good(1, latency=0.0, rate=1000, window=1)
    jobs = jobs_of(2)
    for job in jobs:
        flying(job, slow, began=NOW, predicted=10.0, late_at=NOW + 20)
    assert turn(jobs, [slow, idle], hedges=False) == []
    assert turn(jobs, [slow, idle]) == [(0, 1, True)]


@pytest.mark.parametrize(("seconds", "grants"), [(0.09, []), (0.12, []), (0.2, [(0, 1, True)]), (10.0, [(0, 1, True)])])
def test_but_not_for_what_saves_little(good, flying, seconds, grants):
    """At least a tenth of a second, however much quicker the other one is."""
    asked, idle = good(0, latency=0.0, rate=1000 / seconds), good(1, latency=0.0, rate=1000 / 0.05)
    (job,) = jobs_of(1)
    flying(job, asked, began=NOW, predicted=seconds, late_at=NOW + 20)
    assert turn([job], [asked, idle]) == grants


def test_what_is_doubled_because_it_is_late_is_not_doubled_again_as_one_of_the_last(good, flying):
    pool, (job,) = [good(0, latency=0.0), good(1, latency=0.0), good(2, latency=0.0)], jobs_of(1)
    flying(job, pool[0], began=NOW, predicted=100.0, late_at=NOW)
    assert turn([job], pool) == [(0, 1, True)]


def test_who_had_what_links_to_it_is_expected_to_have_it(good):
    """However little it has of everything else: then it is asked, as it is the quicker one."""
    giver, other = good(0, latency=0.1, hits=0.4), good(1, latency=0.3)
    (job,) = jobs_of(1)
    assert turn([job], [giver, other]) == [(0, 1, False)]
    job.near = (giver,)
    assert turn([job], [giver, other]) == [(0, 0, False)]


def test_a_silent_request_is_dead_in_the_end_and_replaced_whatever_it_costs(late):
    job, pool = late
    assert turn([job], pool, now=NOW + 9.9, hedges=False) == []
    assert turn([job], pool, now=NOW + 10, hedges=False) == [(0, 1, False)]


def test_bytes_keep_a_request_alive(late):
    job, pool = late
    job.asks[0].arrived(900, NOW + 5)
    assert turn([job], pool, now=NOW + 7.9, hedges=False) == []
    assert turn([job], pool, now=NOW + 8, hedges=False) == [(0, 1, False)]


def test_but_one_that_stops_midway_is_given_up_sooner_than_one_that_never_began(good, flying):
    pool, (begun, silent) = [good(0), good(1)], jobs_of(2)
    for job in (begun, silent):
        flying(job, pool[0], began=NOW, predicted=0.1, late_at=NOW + 0.2)
    begun.asks[0].arrived(10, NOW + 0.1)
    assert turn([begun, silent], pool, now=NOW + 0.5, hedges=False) == []
    assert turn([begun, silent], pool, now=NOW + 0.6, hedges=False) == [(0, 1, False)]
    assert turn([begun, silent], pool, now=NOW + 2.0, hedges=False) == [(0, 1, False), (1, 1, False)]


def test_but_not_one_that_crawls_while_another_peer_would_be_done_in_no_time(late):
    """Of 1000 bytes, 10 have come in 10 seconds; the other peer needs 2."""
    job, pool = late
    for n in range(10):
        job.asks[0].arrived(1, NOW + n)
    assert turn([job], pool, now=NOW + 9.9, hedges=False) == []
    assert turn([job], pool, now=NOW + 10, hedges=False) == [(0, 1, False)]


def test_nothing_is_asked_twice_because_everything_has_become_slow(good, flying):
    """If all peers crawl, the fault is nearer home, and asking twice would make it worse."""
    pool, jobs = [good(0, rate=1e6), good(1, rate=1e6)], jobs_of(2)
    for job, record in zip(jobs, pool, strict=True):
        flying(job, record, began=NOW, predicted=0.1, late_at=NOW + 0.2)
    for n in range(1, 60):
        for job in jobs:
            job.asks[0].arrived(10, NOW + n)
        assert turn(jobs, pool, now=NOW + n, hedges=False) == []


def test_a_short_request_is_not_dead_before_two_seconds(good, flying):
    (job,), pool = jobs_of(1), [good(0), good(1)]
    flying(job, pool[0], began=NOW, predicted=0.001, late_at=NOW + 0.05)
    assert turn([job], pool, now=NOW + 1.9, hedges=False) == []
    assert turn([job], pool, now=NOW + 2.0, hedges=False) == [(0, 1, False)]


def test_a_trial_that_is_late_is_given_up_without_a_budget(fresh, flying):
    """Even when nobody is known yet, what an unknown peer is late with is asked of another one."""
    (job,), pool = jobs_of(1), [fresh(0), fresh(1)]
    flying(job, pool[0], began=NOW, predicted=9.0, late_at=NOW + 0.5)
    assert turn([job], pool, now=NOW + 0.4, hedges=False) == []
    assert turn([job], pool, now=NOW + 0.5, hedges=False) == [(0, 1, False)]


# --- whether there is hope


def test_our_patience_lasts_for_any_rest_that_no_peer_has_asked_for():
    assert PATIENCE >= LONGEST_REST


@pytest.mark.parametrize("error", [PeerFailed, Busy])
def test_a_peer_that_may_recover_is_tried_several_times(error, good):
    (job,), peer = jobs_of(1), good()
    for _ in range(MOST_TRIES):
        assert job.may(peer)
        job.note(peer, error("no"))
    assert not job.may(peer)
    assert look_again(job, [peer], NOW) is None


@pytest.mark.parametrize("error", [Unreachable, Stalled, BadAnswer])
def test_a_peer_that_hardly_will_recover_is_tried_less_often(error, good):
    (job,), peer = jobs_of(1), good()
    for _ in range(FEW_TRIES):
        assert job.may(peer)
        job.note(peer, error("no"))
    assert not job.may(peer)


def test_tries_count_for_one_want_and_one_peer(good):
    (job, other), (peer, another) = jobs_of(2), (good(0), good(1))
    for _ in range(MOST_TRIES):
        job.note(peer, PeerFailed("no"))
    assert not job.may(peer)
    assert job.may(another)
    assert other.may(peer)


def test_a_rest_is_waited_for_up_to_our_patience_and_the_callers(good):
    def again(seconds, deadline=inf):
        resting = good(health=Health.RESTING, rest_until=NOW + seconds)
        return look_again(Job(named("a"), 1, deadline), [resting], NOW)

    assert again(5) == NOW + 5
    assert again(PATIENCE) == NOW + PATIENCE
    assert again(PATIENCE + 0.1) is None
    assert again(5, deadline=NOW + 4.9) is None
    assert again(5, deadline=NOW + 5) == NOW + 5


def test_the_end_of_the_first_rest_is_waited_for_even_while_others_are_busy(good, flying):
    """A job that waits for a busy peer looks when another comes back."""
    busy = good(0, window=1)
    flying(Job(named("elsewhere"), 1), busy)
    resting = [good(n, health=Health.RESTING, rest_until=NOW + n) for n in (3, 2)]
    assert look_again(Job(named("a"), 1), [busy, *resting], NOW) == NOW + 2
    assert look_again(Job(named("a"), 1), [busy], NOW) == inf


def test_a_request_under_way_is_looked_at_when_late_and_then_ever_less_often(late):
    job, pool = late
    looks = [NOW]
    while looks[-1] < NOW + 3600:
        looks.append(look_again(job, pool, looks[-1]))
    assert looks[1] == NOW + 2
    assert NOW + 10 in looks  # when it is dead
    assert len(looks) < 25


def test_a_request_under_way_is_hope_enough(good, flying):
    (job,), banned = jobs_of(1), good(health=Health.BANNED)
    flying(job, banned, began=NOW, late_at=NOW + 1)
    assert look_again(job, [banned], NOW) == NOW + 1
    job.asks.clear()
    assert look_again(job, [banned], NOW) is None
    assert look_again(job, [], NOW) is None


# --- properties


@attrs.frozen
class About:
    """How a peer stands."""

    health: Health
    rests: int
    window: int
    latency: float | None
    rate: float | None
    success: float
    elsewhere: int  # requests of other jobs
    lacks: frozenset[int]


PEERS = st.lists(
    st.builds(
        About,
        health=st.sampled_from([Health.GOOD, Health.GOOD, *Health]),
        rests=st.integers(-1, 100),
        window=st.integers(1, 8),
        latency=st.sampled_from([None, 0.0, 0.1, 2.0]),
        rate=st.sampled_from([None, 100.0, 1e4, 1e6]),
        success=st.sampled_from([1.0, 0.5, 0.01]),
        elsewhere=st.integers(0, 3),
        lacks=st.frozensets(st.integers(0, 5), max_size=2),
    ),
    max_size=4,
)
ERRORS = st.sampled_from([PeerFailed, Busy, Stalled, Unreachable, BadAnswer, NotHere])
JOBS = st.lists(
    st.tuples(
        st.sampled_from([0, 10, 1000]),  # size
        st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12), st.booleans()), max_size=2),  # asks: peer, age, trial
        st.lists(st.tuples(st.integers(0, 3), ERRORS), max_size=6),  # what it came to before
        st.sampled_from([inf, inf, NOW + 10]),  # deadline
    ),
    max_size=6,
)


@pytest.fixture(scope="session")
def scene(good, flying):
    """``scene(peers, jobs)``: the records and jobs that the strategies describe."""

    def scene(peers, described):
        records = []
        for n, about in enumerate(peers):
            record = good(
                n, about.latency, about.rate, about.window, health=about.health, rest_until=NOW + about.rests,
                success=about.success,
            )  # fmt: skip
            for name in about.lacks:
                record.forget_me_not(named(name).multihash)
            for other in range(about.elsewhere):
                flying(Job(named(f"elsewhere {other}"), 500), record, began=NOW - 1)
            records.append(record)
        jobs = [Job(named(n), size, deadline) for n, (size, _, _, deadline) in enumerate(described)]
        for job, (_, asks, errors, _) in zip(jobs, described, strict=True):
            for n, age, trial in asks:
                if n < len(records) and all(ask.record is not records[n] for ask in job.asks):
                    ask = flying(job, records[n], began=NOW - age, predicted=1.0, late_at=NOW - age + 2)
                    ask.trial = trial
            for n, error in errors:
                if n < len(records):
                    job.note(records[n], error("no"))
        return records, jobs

    return scene


ROOMS = st.sampled_from([inf, 0, 1, 2, 5])


@given(peers=PEERS, described=JOBS, room=ROOMS, hedges=st.booleans())
def test_no_bound_is_ever_exceeded(scene, peers, described, room, hedges):
    """Whatever the state, grants stay within the room and each peer's window, and go only to who may be asked."""
    records, jobs = scene(peers, described)
    rooms = {record: record.room(NOW) for record in records}
    grants = assign(jobs, records, room=room, now=NOW, hedges=hedges)
    assert len(grants) <= room
    for record in records:
        assert sum(grant.record is record for grant in grants) <= rooms[record]
    assert len({(grant.job, grant.record) for grant in grants}) == len(grants)
    for grant in grants:
        job, record = grant.job, grant.record
        assert record.health in {Health.GOOD, Health.FRESH}
        assert not record.lacks(job.name)
        assert not job.hopeless(record, NOW)
        assert all(ask.record is not record for ask in job.asks)
        assert 0 <= grant.predicted < inf


@given(peers=PEERS, described=JOBS, room=ROOMS, hedges=st.booleans())
def test_only_what_is_late_is_doubled_and_only_the_dead_for_free(scene, peers, described, room, hedges):
    """A job is asked of two peers only if it is late, or one of them is on trial; one hedge at a time, if allowed.

    Or if it is one of the last, nothing waits, and the other peer is done in half of the time.
    """
    records, jobs = scene(peers, described)
    grants = assign(jobs, records, room=room, now=NOW, hedges=hedges)
    for job in jobs:
        given = [grant for grant in grants if grant.job is job]
        late = job.asks and job.late_at() <= NOW
        asked = [ask.trial for ask in job.asks] + [grant.record.health is Health.FRESH for grant in given]
        assert len(given) <= (1 if job.asks else 2)
        hedged = any(grant.hedge for grant in given)
        if hedged and not late:
            assert all(each.asks or any(grant.job is each for grant in grants) for each in jobs)
            assert given[0].predicted < job.asks[0].to_come(NOW) / 2
            continue
        if given and not late:
            assert asked.count(False) <= 1
        assert hedged == bool(given and late and job.dead_at() > NOW)
    assert sum(grant.hedge for grant in grants) <= hedges


KNOWN = st.lists(
    st.builds(partial(About, Health.GOOD, -1), window=st.integers(1, 4), latency=st.floats(0.01, 2.0),
              rate=st.floats(1e4, 1e6), success=st.sampled_from([1.0, 0.5]), elsewhere=st.integers(0, 3),
              lacks=st.just(frozenset())),
    min_size=1, max_size=BEAM,
)  # fmt: skip


@given(peers=KNOWN, wanted=st.integers(4 * FEW, 60), more=st.integers(1, 20))
def test_what_is_said_to_wait_would_wait_whoever_looks(scene, flying, peers, wanted, more):
    """After a turn and its grants, as many more jobs as it said there is time for are granted nothing by another turn.

    Exactly, where a turn looks at all peers that are known; nearly, where there are more.
    """
    records, _ = scene(peers, [])
    needs, pool = Needs(), pool_of(records)
    for job in jobs_of(wanted):
        needs.add(job)
    grants = assign_by(needs, pool, room=inf, now=NOW, hedges=False)
    spare = needs.spare
    for grant in grants:
        flying(grant.job, grant.record, began=NOW, late_at=NOW + 2)
        needs.changed(grant.job)
    assume(spare and len(needs.waiting) > FEW)
    needs.settle(pool, spare, NOW)
    for job in jobs_of(more):
        needs.add(job)
    event("another turn is saved" if more <= spare else "there are too many")
    if more <= spare:
        assert assign_by(needs, pool, room=inf, now=NOW, hedges=False) == []
        needs.spare = None
        assert assign_by(needs, pool, room=inf, now=NOW, hedges=False) == []
    else:
        assert needs.spare is None
    pool.close()


@given(peers=PEERS, described=JOBS, room=ROOMS)
def test_known_peers_get_work_as_the_dullest_model_says(scene, peers, described, room):
    """Without anything late or unknown: each job in its turn goes to the earliest finish, or waits for it."""
    peers = [attrs.evolve(about, health=Health.GOOD) if about.health is Health.FRESH else about for about in peers]
    peers = [attrs.evolve(about, rests=max(about.rests, 1)) for about in peers]
    records, jobs = scene(peers, [(size, [], errors, deadline) for size, _, errors, deadline in described])
    grants = assign(jobs, records, room=room, now=NOW, hedges=True)
    assert [(grant.job, grant.record) for grant in grants] == dull(jobs, records, room)


def dull(jobs, records, room):
    middle = typical(records)
    left = {record: max(min(record.room(NOW), window(record, 1000) - record.line.in_flight), 0) for record in records}
    queues = dict.fromkeys(records, 0.0)
    grants = []

    def finish(record, size):
        prospect = outlook(record, middle, NOW)
        prospect.queue(queues[record])
        return prospect.expected(size)

    for job in jobs:
        able = [record for record in records if record.health is Health.GOOD and not job.hopeless(record, NOW)]
        if not able or len(grants) >= room:
            continue
        best = min(able, key=lambda record: finish(record, job.size))
        queues[best] += job.size
        if left[best]:
            left[best] -= 1
            grants.append((job, best))
    return grants


@given(peers=PEERS, described=JOBS)
def test_nobody_waits_while_an_idle_peer_is_all_there_is(scene, peers, described):
    """If nothing is in flight at anybody, and somebody may be asked for a job, then something is asked."""
    peers = [attrs.evolve(about, elsewhere=0) for about in peers]
    records, jobs = scene(peers, [(size, [], errors, deadline) for size, _, errors, deadline in described])
    possible = any(job.may(record) for job in jobs for record in records if record.room(NOW))
    assert bool(assign(jobs, records, room=inf, now=NOW, hedges=False)) == possible


@given(peers=PEERS, described=JOBS)
def test_a_job_is_given_up_only_when_every_peer_is_hopeless_and_none_is_being_asked(scene, peers, described):
    """There is a time to look again, in the future, unless there is no hope at all."""
    records, jobs = scene(peers, described)
    for job in jobs:
        again = look_again(job, records, NOW)
        if again is None:
            assert not job.asks
            for record in records:
                assert record.health is Health.BANNED or job.spent(record) or (
                    record.health is Health.RESTING and record.rest_until > min(NOW + PATIENCE, job.deadline)
                )  # fmt: skip
        else:
            assert again > NOW
            assert job.asks or any(not job.hopeless(record, NOW) for record in records)


@given(
    lacks=st.lists(
        st.sampled_from([frozenset(range(12)), frozenset({0}), frozenset({0, 5})]) | st.frozensets(st.integers(0, 11)),
        min_size=1,
        max_size=5,
    ),
    latencies=st.lists(st.sampled_from([None, 0.0, 0.1, 2.0]), min_size=5, max_size=5),
    count=st.integers(7, 12),
    size=st.sampled_from([0, 1000]),
)
def test_nor_while_it_has_any_of_many_alike(good, lacks, latencies, count, size):
    """Nor among many jobs, shared out by number: who lacks them all, however near, leaves them to who does not."""
    records = [good(n, latency=latencies[n]) for n in range(len(lacks))]
    for record, names in zip(records, lacks, strict=True):
        for name in names:
            record.forget_me_not(named(name).multihash)
    jobs = [Job(named(n), size) for n in range(count)]
    possible = any(job.may(record) for job in jobs for record in records)
    assert bool(assign(jobs, records, room=inf, now=NOW, hedges=False)) == possible


def test_a_near_peer_that_lacks_all_but_the_first_leaves_the_rest_to_the_others(good):
    near, far = good(0, latency=0.01), good(1, latency=0.2)
    for n in range(8):
        near.forget_me_not(named(f"job {n}").multihash)
    far.forget_me_not(named("job 0").multihash)
    assert {(job, record) for job, record, _ in turn(jobs_of(8), [near, far])} == {(n, 1) for n in range(1, 8)}
