"""The needs, against the dullest model: look at every job anew, each time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sessionctx.content import CID
from sessionctx.errors import PeerFailed
from sessionctx.fetch.job import CarJob, Job
from sessionctx.fetch.needs import Needs
from sessionctx.fetch.stripe import Sweep
from sessionctx.peers import Ask, Health, Ledger, Peer

NAMES = range(4)
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["add", "drop", "over", "fail", "cover", "uncover"]), st.sampled_from(NAMES)),
        st.tuples(st.just("ask"), st.sampled_from(NAMES), st.booleans(), st.integers(0, 6)),
        st.tuples(st.just("wait"), st.integers(1, 3)),
    ),
    max_size=40,
)


def records():
    good, fresh = (Ledger().add(Peer(f"fake://{n}", f"fake://{n}")) for n in range(2))
    good.health = Health.GOOD
    return good, fresh


def change(needs, job, event, now, peers):
    """Let one thing happen to a job, as the shell does it."""
    match event:
        case ("add", _) if job not in needs:
            needs.add(job)
        case ("drop", _):
            needs.drop(job)
        case ("ask", _, trial, late_at):
            job.asks.append(Ask(peers[trial], job.name, job.size, now, predicted=1.0, late_at=float(late_at)))
        case ("over", _) if job.asks:
            job.asks.pop(0)
        case ("fail", _):
            job.note(peers[0], PeerFailed("failed", peer="fake://0"))
        case (("cover" | "uncover") as what, _):
            job.covered = what == "cover"
    needs.changed(job)


def job_of(cid, *, car):
    return CarJob(cid, 100, sweep=Sweep(cid)) if car else Job(cid, 100)


@given(kinds=st.lists(st.booleans(), min_size=4, max_size=4), events=EVENTS)
def test_the_needs_are_sorted_as_if_anew(kinds, events):
    """Whatever happens to jobs in whatever order: those that wait, the odd ones, the trials and the late ones are those
    that a look at all of them finds; and all are in the order in which they came."""
    needs, peers, now = Needs(), records(), 0.0
    jobs = [job_of(CID.of(b"%d" % n), car=car) for n, car in enumerate(kinds)]
    order = []
    for event in events:
        if event[0] == "wait":
            now += event[1]
        else:
            job = jobs[event[1]]
            change(needs, job, event, now, peers)
            order = [each for each in order if each in needs]
            order += [job] * (job in needs and job not in order)
        needs.update(now)
        assert (list(needs), len(needs), needs.first) == (order, len(order), next(iter(order), None))
        as_if_anew(needs, order, now)


def as_if_anew(needs, order, now):
    waiting = [job for job in order if not job.asks and not job.covered]
    plain = [job for job in order if job.asks and not job.car]
    late = {job for job in plain if max(ask.late_at for ask in job.asks) <= now}
    assert [job for _, job in needs.waiting] == waiting
    assert [number for number, _ in needs.waiting] == sorted(job.number for job in waiting)
    assert set(needs.odd) == {job for job in waiting if job.near or job.errors or job.car}
    assert set(needs.overdue) == late
    assert set(needs.trials) == {job for job in plain if all(ask.trial for ask in job.asks)} - late


def test_a_request_whose_lateness_moves_is_late_when_it_says():
    """One that had to wait for our own connections counts from when it went out."""
    needs, (good, _) = Needs(), records()
    job = Job(CID.of(b""), 100)
    needs.add(job)
    job.asks.append(Ask(good, 1, 100, 0.0, predicted=1.0, late_at=2.0))
    needs.changed(job)
    job.asks[0].sent(1.5)
    needs.update(2.0)
    assert not needs.overdue
    needs.update(3.5)
    assert list(needs.overdue) == [job]
