"""One peer's record: rests and the way back, the window, what it lacks, and estimates that can be relied upon."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionctx.peers import Ask, Health, Ledger
from sessionctx.peers import record as record_module


@pytest.fixture
def record(peer):
    return Ledger().add(peer(0))


def state(record, now):
    return record.wake(now).value


# --- rests, and the way back


def test_a_failing_peer_rests_longer_each_time_and_comes_back_as_if_new(record, ask):
    now = 0.0
    for seconds in (0.25, 0.5, 1, 2, 4, 8, 16, 32, 60, 60):
        assert ask(record, now).failed("no", now) == seconds
        assert state(record, now + seconds * 0.999) == "resting"
        assert record.room(now + seconds * 0.999) == 0
        now += seconds
        assert state(record, now) == "fresh"
        assert record.reason == "no"


def test_one_answer_makes_a_peer_good_again_and_its_next_rest_short(record, ask):
    ask(record).failed("no", 0.0)
    ask(record, 1.0).failed("no", 1.0)
    ask(record, 2.0).found(2.0)
    assert state(record, 2.0) == "good"
    assert ask(record, 3.0).failed("no", 3.0) == 0.25


def test_a_plain_no_is_an_answer_and_no_blame(record, ask):
    ask(record).missing(0.1)
    assert state(record, 0.1) == "good"
    assert record.success == 1.0
    assert record.latency == 0.1


def test_after_a_rest_one_request_at_a_time_goes_to_it(record, ask):
    for _ in range(5):
        ask(record).found(0.0)
    assert record.room(0.0) > 1
    ask(record).failed("no", 0.0)
    probe_at = 0.25
    assert record.room(probe_at) == 1
    probe = ask(record, probe_at)
    assert record.room(probe_at) == 0
    probe.found(probe_at)
    assert record.room(probe_at) > 1


def test_retry_after_is_honoured_and_never_shortens_a_rest(record, ask):
    assert ask(record).failed("busy", 0.0, asked_for=7.0) == 7.0
    assert state(record, 6.9) == "resting"
    assert state(record, 7.0) == "fresh"
    assert ask(record, 7.0).failed("busy", 7.0, asked_for=0.1) == 0.5
    assert state(record, 7.4) == "resting"


def test_a_request_that_was_under_way_may_lengthen_a_rest_but_not_shorten_it(record, ask):
    first, second, third = ask(record), ask(record), ask(record)
    first.failed("no", 0.0)
    second.failed("busy", 0.1, asked_for=5.0)
    assert state(record, 5.0) == "resting"
    third.failed("busy", 0.2, asked_for=1.0)
    assert state(record, 5.0) == "resting"
    assert state(record, 5.1) == "fresh"


def test_an_outage_counts_once_however_many_requests_it_breaks(peer, ask):
    """Eight requests broken by one outage: one rest, of the length for a first failure, and the window halved once."""
    record = Ledger().add(peer(0, most=8))
    for _ in range(10):
        ask(record).found(0.0)
    assert record.window == 8
    flying = [ask(record) for _ in range(8)]
    assert [each.failed("reset", 1.0) for each in flying] == [0.25] + [0.0] * 7
    assert record.window == 4
    assert state(record, 1.25) == "fresh"
    assert ask(record, 1.25).failed("reset", 1.25) == 0.5


def test_an_answer_that_was_under_way_ends_no_rest_and_makes_the_next_no_shorter(record, ask):
    first, second, third = ask(record), ask(record), ask(record)
    first.failed("no", 0.0)
    window = record.window
    second.found(0.1)
    third.missing(0.1)
    assert state(record, 0.2) == "resting"
    assert record.window == window
    assert state(record, 0.25) == "fresh"
    assert ask(record, 0.25).failed("no", 0.25) == 0.5


def test_there_is_no_way_back_from_a_lie(record, ask):
    flying = [ask(record) for _ in range(5)]
    flying[0].lied("it lied")
    flying[1].found(1.0)
    flying[2].missing(1.0)
    flying[3].failed("no", 1.0, asked_for=1.0)
    flying[4].dropped(1e6)
    for now in (0.0, 1.0, 1e6, 1e300):
        assert state(record, now) == "banned"
        assert record.room(now) == 0
    assert record.reason == "it lied"


# --- the window


def test_the_window_opens_with_answers_up_to_what_the_peer_takes_gladly(peer, ask):
    record = Ledger().add(peer(0, most=5))
    assert record.room(0.0) == 1  # unknown: one at a time
    rooms = []
    for _ in range(8):
        ask(record).found(0.0)
        rooms.append(record.room(0.0))
    assert rooms == sorted(rooms)
    assert rooms[-1] == 5


def test_the_window_closes_by_half_when_it_fails(peer, ask):
    record = Ledger().add(peer(0, most=8))
    for _ in range(10):
        ask(record).found(0.0)
    ask(record).failed("no", 0.0)
    assert record.window == 4


def test_however_often_it_failed_one_answer_opens_the_window_again(peer, ask):
    record, now = Ledger().add(peer(0, most=8)), 0.0
    for _ in range(6):
        assert ask(record, now).failed("no", now) > 0
        now = record.rest_until
        assert record.window == 1
    ask(record, now).found(now)
    assert record.window == 2


def test_what_is_in_flight_takes_room(peer, ask):
    record = Ledger().add(peer(0, most=4))
    for _ in range(10):
        ask(record).found(0.0)
    for left in (3, 2, 1, 0):
        ask(record)
        assert record.room(0.0) == left


def test_a_peer_that_says_it_takes_none_gladly_still_gets_one_at_a_time(peer, ask):
    record = Ledger().add(peer(0, most=0))
    ask(record).found(0.0)
    assert record.room(0.0) == 1


# --- estimates


def test_latency_follows_a_rise_at_once_and_a_fall_slowly(record, ask):
    for seconds in (0.1, 2.0, 0.1):
        each = ask(record)
        each.arrived(1, seconds)
        each.found(seconds + 9)
    assert 0.1 < record.latency < 2.0
    rise = ask(record)
    rise.arrived(1, 3.0)
    rise.found(3.0)
    assert record.latency == 3.0


def test_the_first_byte_counts_for_latency_even_at_time_zero(record, ask):
    each = ask(record, 0.0)
    each.arrived(1000, 0.0)
    each.found(5.0)
    assert record.latency == 0.0


def test_the_rate_is_that_of_all_answers_together(record, ask):
    """Two answers that share a line of 1000 bytes per second: each comes at half of it, the peer sends all of it."""
    one, two = ask(record), ask(record)
    for tick in range(21):
        (one, two)[tick % 2].arrived(100, tick * 0.1)
    one.found(2.0)
    two.found(2.0)
    assert record.rate == pytest.approx(1000, rel=0.05)


@pytest.mark.parametrize("chunks", [2, 3, 16])
def test_the_rate_is_right_however_few_pieces_an_answer_comes_in(record, ask, chunks):
    """The first piece tells when it came, not how long it took."""
    each = ask(record)
    for n in range(chunks):
        each.arrived(500, 1.0 + n * 0.5)
    each.found(1.0 + (chunks - 1) * 0.5)
    assert record.rate == pytest.approx(1000)


def test_checking_the_bytes_takes_nothing_from_the_rate(record, ask):
    """What passes between the last byte and the verdict is our time, not the peer's."""
    each = ask(record)
    each.arrived(500, 1.0)
    each.arrived(500, 1.5)
    each.found(9.0)
    assert record.rate == pytest.approx(1000)


@pytest.mark.parametrize("pieces", [[], [(0, 1.0)], [(0, 1.0), (0, 2.0)], [(1000, 1.0)], [(1000, 1.0), (0, 2.0)]])
def test_an_answer_in_which_no_bytes_flowed_tells_no_rate(record, ask, pieces):
    each = ask(record)
    for count, at in pieces:
        each.arrived(count, at)
    each.found(3.0)
    assert record.rate is None


def test_losing_a_race_is_no_failure(record, ask):
    ask(record, predicted=1.0).dropped(1.0)
    assert state(record, 1.0) == "fresh"
    assert (record.failed, record.cancelled, record.success) == (0, 1, 1.0)


def test_losing_late_is_not_losing_narrowly(record, peer):
    """Who was so late that somebody else had to be asked is less attractive from then on, until it answers in time."""
    Ask(record, "a", 1000, 0.0, predicted=1.0, late_at=1.5).dropped(1.4)
    assert record.success == 1.0
    Ask(record, "a", 1000, 0.0, predicted=1.0, late_at=1.5).dropped(1.5)
    assert record.success == 0.75
    assert record.health is Health.FRESH
    Ask(record, "a", 1000, 0.0, predicted=1.0, late_at=1.5).found(1.0)
    assert record.success > 0.75


def test_what_an_unknown_peer_sent_before_it_lost_tells_its_speed(record, ask):
    each = ask(record, predicted=9.0)
    each.arrived(500, 1.0)
    each.arrived(25, 1.05)
    each.dropped(1.05)
    assert (record.latency, record.rate) == (1.0, pytest.approx(500))


def test_an_unknown_peer_that_loses_waits_ever_longer_for_its_next_trial(record, ask):
    now = 0.0
    for seconds in (0.25, 0.5, 1.0):
        ask(record, now, predicted=9.0).dropped(now)
        assert state(record, now) == "fresh"
        assert record.try_at == now + seconds
        now += seconds
    ask(record, now).found(now)
    ask(record, now).failed("no", now)
    now += 0.25
    assert state(record, now) == "fresh"
    ask(record, now, predicted=9.0).dropped(now)
    assert record.try_at == now + 0.25


def test_a_race_that_is_lost_still_tells_that_the_first_byte_takes_longer(record, ask):
    """A request that brought nothing in a second says that the latency is a second at least."""
    first = ask(record)
    first.arrived(1, 0.1)
    first.found(0.1)
    ask(record, 1.0, predicted=10.0).dropped(2.0)
    assert record.latency == 1.0
    sending = ask(record, 2.0, predicted=10.0)
    sending.arrived(1, 2.5)
    sending.dropped(9.0)
    assert record.latency < 1.0


def test_how_fast_it_sends_is_learnt_while_it_sends(record, ask):
    """A peer whose answers never come to an end, because others are faster, is known to be slow all the same."""
    for n in range(4):
        each = ask(record, n * 10.0)
        for tick in range(5):
            each.arrived(10, n * 10.0 + tick)
        each.dropped(n * 10.0 + 5)
    assert record.rate == pytest.approx(10)


def test_a_rate_follows_a_fall_sooner_than_a_rise(record, ask):
    each = ask(record)
    now, rates = 0.0, []
    for rate in [1000.0] * 4 + [10.0] * 3 + [1000.0] * 3:
        each.sent(now)
        now += 1.0
        each.arrived(int(rate), now)
        rates.append(record.rate)
    assert rates[3] == pytest.approx(1000)
    assert rates[4] < 50
    assert rates[6] < 20
    assert rates[9] < 50


def test_pauses_between_answers_take_nothing_from_the_rate(record, ask):
    for n in range(4):
        each = ask(record, n * 100.0)
        each.arrived(500, n * 100.0 + 50)
        each.arrived(500, n * 100.0 + 50.5)
        each.found(n * 100.0 + 50.5)
    assert record.rate == pytest.approx(1000)
    assert record.line.receiving == 0


def test_a_peer_that_had_fallen_silent_rests_when_its_request_is_dropped(record, ask):
    each = ask(record, predicted=1.0)
    each.arrived(10, 0.5)
    assert each.dropped(20.0) == 0.25
    assert state(record, 20.0) == "resting"
    assert "silent" in record.reason
    assert (record.failed, record.cancelled) == (0, 1)


# --- what it lacks


def test_no_is_remembered_per_peer_and_name(peer, ask):
    ledger = Ledger()
    one, other = ledger.add(peer(1)), ledger.add(peer(2))
    ask(one, name="a").missing(0.0)
    assert one.lacks("a")
    assert not one.lacks("b")
    assert not other.lacks("a")


@given(names=st.lists(st.integers(0, 12), max_size=60))
def test_the_memory_of_what_a_peer_lacks_is_bounded_and_keeps_the_latest(names, peer, ask):
    """However many names a peer does not have, a bounded number is remembered, and the oldest is forgotten first."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(record_module, "MOST_ABSENT", 5)
        record = Ledger().add(peer(0))
        model: list[int] = []
        for name in names:
            ask(record, name=name).missing(0.0)
            if name not in model:
                model = [*model, name][-5:]
            assert [name for name in range(13) if record.lacks(name)] == sorted(model)


# --- histories


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["send", "send", "arrived", "found", "missing", "failed", "busy", "lied", "dropped", "wait"]),
        st.integers(0, 3),
    ),
    max_size=60,
)


@given(steps=STEPS, most=st.integers(1, 8), lies=st.booleans())
def test_whatever_happens_a_record_stays_sane(steps, most, lies, peer, ask):
    """Through any history, windows and estimates stay in bounds, rests hold, and a ban is for ever."""
    record = Ledger().add(peer(0, most))
    now, flying, banned = 0.0, [], False
    rests_until = 0.0
    for what, n in steps:
        if what == "wait":
            now += (0.0, 0.125, 0.25, 1.0)[n]
        elif what == "send":
            flying.append(ask(record, now, name=n, size=n * 1000, predicted=0.1 * n))
        elif flying:
            each = flying[n % len(flying)]
            if what == "arrived":
                each.arrived(n * 100, now)
                continue
            flying.remove(each)
            if what == "found":
                each.found(now)
            elif what == "missing":
                each.missing(now)
            elif what == "lied" and lies:
                each.lied("lied")
                banned = True
            elif what == "dropped":
                rests_until = max(rests_until, now + each.dropped(now))
            else:
                asked_for = float(n) if what == "busy" else None
                rests_until = max(rests_until, now + each.failed(what, now, asked_for=asked_for))
        check_sane(record, now, flying, banned=banned, rests_until=rests_until)


def check_sane(record, now, flying, *, banned, rests_until):
    assert (record.in_flight, record.line.in_flight_bytes) == (len(flying), sum(each.size for each in flying))
    assert (record.wake(now) is Health.BANNED) == banned
    if not banned:
        assert (record.wake(now) is Health.RESTING) == (now < rests_until)
    assert 1 <= record.window <= max(record.peer.most, 2)
    assert 0 <= record.room(now) <= record.peer.most
    if banned or now < rests_until:
        assert record.room(now) == 0
    for estimate in (record.latency, record.rate):
        assert estimate is None or (math.isfinite(estimate) and estimate >= 0)
    assert record.rate is None or record.rate > 0
    assert 0 <= record.success <= 1
    assert math.isfinite(record.usual)
    assert record.usual >= 1.5
