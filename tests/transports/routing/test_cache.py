"""How long an answer may be given again, and how much is kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionctx.transports import Provider
from sessionctx.transports.routing.cache import Cache, fresh_for


@pytest.mark.parametrize(
    ("control", "seconds"),
    [
        ("max-age=300", 300),
        ("public, max-age=15, stale-while-revalidate=172800, stale-if-error=172800", 15),
        ("Max-Age=7", 7),
        ('max-age="7"', 7),
        ("max-age = 7", 7),
        ("max-age=7, max-age=9", 7),
        ("private, max-age=7", 7),
        ("max-age=999999999999", 86_400),
        ("max-age=" + "9" * 5000, 0),
        ("s-maxage=7", 0),
        ("max-age=-7", 0),
        ("max-age=7.5", 0),
        ("max-age=\u0667", 0),
        ("max-age", 0),
        ("no-store, max-age=7", 0),
        ("max-age=7, no-cache", 0),
        ('max-age=7, no-cache="x"', 7),
        ("immutable", 0),
        ("", 0),
        (",,=,;", 0),
    ],
)
def test_cache_control(control, seconds):
    assert fresh_for({"cache-control": control}) == seconds


def test_the_age_that_it_has_already_counts():
    assert fresh_for({"cache-control": "max-age=10", "age": "4"}) == 6
    assert fresh_for({"cache-control": "max-age=10", "age": "40"}) == 0
    assert fresh_for({"cache-control": "max-age=10", "age": "old"}) == 10
    assert fresh_for({}) == 0


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abcdef"), st.sampled_from(["put", "get"]), st.integers(0, 3), st.sampled_from([0, 1, 5, 9])
        )
    )
)
def test_it_is_a_dict_that_forgets(steps):
    """What is given is what was put last and is fresh; never more than 4 answers or 12 bytes are kept."""
    cache = Cache(most=4, most_bytes=12)
    model: dict[str, tuple[tuple[Provider, ...], int, int]] = {}
    for now, (question, verb, seconds, size) in enumerate(steps):
        if verb == "put":
            providers = (Provider(f"{now}"),)
            cache.put(question, providers, size=size, until=now + seconds)
            model.pop(question, None)
            model[question] = (providers, now + seconds, size)
            while len(model) > 4 or sum(each[2] for each in model.values()) > 12:
                del model[next(iter(model))]
        else:
            kept = model.pop(question, None)
            fresh = kept is not None and kept[1] > now
            if fresh:
                model[question] = kept
            assert cache.get(question, now) == (kept[0] if fresh else None)
        assert len(cache._kept) == len(model)
        assert cache._bytes == sum(each[2] for each in model.values()) <= 12
