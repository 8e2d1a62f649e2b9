"""Priors: what is remembered fades, and never becomes more certain than it was."""

from __future__ import annotations

import json
from math import isfinite

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionctx.peers import Health, Ledger, Peer, Prior, Typical, from_json, learnt, merged, outlook, recall, to_json
from sessionctx.peers.priors import FORGOTTEN, HALF_LIFE, MOST

NOW = 1e9
shares = st.floats(0, 1)
priors = st.builds(
    Prior,
    seen=st.floats(NOW - 2 * FORGOTTEN, NOW),
    latency=st.one_of(st.none(), st.floats(1e-4, 100)),
    rate=st.one_of(st.none(), st.floats(1, 1e10)),
    success=shares,
    hits=shares,
    cars=st.sampled_from([None, True, False]),
)


def record_of(public="https://a.example"):
    return Ledger().add(Peer(public.replace("//", "//user:secret@"), public))


@given(prior=priors, ages=st.lists(st.floats(0, 2 * FORGOTTEN), min_size=2, max_size=2).map(sorted))
def test_it_fades(prior, ages):
    """The older a prior is, the slower its peer is taken to be, and the less its failures count; in the end nothing."""
    young, old = record_of(), record_of()
    recall(young, prior, prior.seen + ages[0])
    recall(old, prior, prior.seen + ages[1])
    assert young.health is old.health is Health.FRESH
    assert young.success <= old.success + 1e-12
    assert young.hits <= old.hits + 1e-12
    if old.latency is not None:
        assert young.latency <= old.latency * (1 + 1e-9)
        assert young.rate >= old.rate * (1 - 1e-9)
    if ages[1] >= FORGOTTEN:
        assert (old.latency, old.rate, old.success, old.hits, old.cars) == (None, None, 1.0, 1.0, None)


def test_after_a_day_it_counts_half():
    record = record_of()
    recall(record, Prior(NOW, latency=0.1, rate=1000.0, success=0.5), NOW + HALF_LIFE)
    assert (record.latency, record.rate, record.success) == (0.2, 500.0, 0.75)


@given(known=st.dictionaries(st.text(min_size=1, max_size=5), priors, max_size=5))
def test_what_is_written_is_read_again(known):
    assert from_json(json.loads(json.dumps(to_json(known)))) == known


@pytest.mark.parametrize("foreign", [None, [], 7, {}, {"version": 2, "peers": {}}, {"version": 1, "peers": []}])
def test_what_is_foreign_is_refused(foreign):
    with pytest.raises(ValueError, match="no priors"):
        from_json(foreign)


@pytest.mark.parametrize("fields", [None, {}, {"seen": "x"}, {"seen": 1.0, "success": 2, "hits": 1}, {"seen": True}])
def test_a_peer_that_is_broken_is_left_out(fields):
    assert from_json({"version": 1, "peers": {"a": fields}}) == {}


@given(old=st.dictionaries(st.sampled_from("abc"), priors), new=st.dictionaries(st.sampled_from("abc"), priors))
def test_of_two_memories_the_later_one_counts(old, new):
    both = merged(old, new, NOW)
    for public, prior in both.items():
        assert prior.seen == max(each[public].seen for each in (old, new) if public in each)
        assert prior.weight(NOW) > 0


def test_it_is_bounded_and_keeps_the_latest():
    many = {f"{n}": Prior(NOW - n) for n in range(MOST + 50)}
    assert set(merged({}, many, NOW)) == {f"{n}" for n in range(MOST)}


@given(number=st.one_of(st.floats(), st.integers(), st.just(10**400)), age=st.floats(0, FORGOTTEN))
def test_whatever_a_file_says_arithmetic_stays_finite(number, age):
    fields = {"seen": NOW, "latency": number, "rate": number, "success": 1, "hits": 1}
    (prior,) = from_json({"version": 1, "peers": {"a": fields}}).values()
    record = record_of()
    recall(record, prior, NOW + age)
    assert isfinite(outlook(record, Typical(), 0.0).expected(1e6))


@pytest.mark.parametrize("seen", [10**400, float("nan"), float("inf"), -1])
def test_a_time_that_is_none_leaves_the_peer_out(seen):
    assert from_json({"version": 1, "peers": {"a": {"seen": seen, "success": 1, "hits": 1}}}) == {}


def test_what_claims_to_be_from_the_future_gives_way():
    many = {f"{n}": Prior(NOW + 1 + n) for n in range(MOST)}
    kept = merged(many, {"0": Prior(NOW), "new": Prior(NOW)}, NOW)
    assert (kept["0"], kept["new"]) == (Prior(NOW), Prior(NOW))


def test_a_peer_that_never_answered_keeps_the_age_of_what_was_known():
    record, old = record_of("https://a"), Prior(NOW, 0.1, 1e6)
    recall(record, old, NOW + HALF_LIFE)
    record.asked, record.success = 1, 0.75
    assert learnt([record], NOW + HALF_LIFE, {"https://a": old}) == {"https://a": Prior(NOW, 0.1, 1e6, 0.75)}
    assert learnt([record], NOW + HALF_LIFE) == {}


def test_a_liar_is_not_recommended():
    record = record_of()
    record.asked = 1
    record.heard(latency=0.1, rate=5.0)
    record.ban("it lied")
    assert learnt([record], NOW) == {}


def test_only_who_was_asked_is_remembered_and_without_secrets():
    ledger = Ledger()
    record, silent = (ledger.add(Peer(f"https://u:secret@{n}", f"https://{n}")) for n in "ab")
    record.asked = 3
    record.heard(latency=0.1, rate=5.0)
    found = learnt([record, silent], NOW)
    assert found == {"https://a": Prior(NOW, 0.1, 5.0)}
    assert "secret" not in json.dumps(to_json(found))
