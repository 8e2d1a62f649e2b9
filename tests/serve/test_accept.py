"""Which representation a client gets: what ``?format=`` and ``Accept`` say, and what they may say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionctx.serve.accept import NotOffered, Wanted, negotiate

RAW = "application/vnd.ipld.raw"
CAR = "application/vnd.ipld.car"


@pytest.mark.parametrize(
    ("query", "accept", "wanted"),
    [
        ({"format": "raw"}, "", Wanted("raw")),
        ({"format": "car"}, "", Wanted("car")),
        ({}, RAW, Wanted("raw")),
        ({}, CAR, Wanted("car")),
        ({}, f"text/html, {CAR.upper()} ; version=1;order=DFS".replace("DFS", "dfs"), Wanted("car")),
        ({}, f"{CAR}; dups=y", Wanted("car", dups=True)),
        ({}, f'{CAR}; dups="y"; order=unk', Wanted("car", dups=True)),
        ({}, f"{CAR};q=0.5, {RAW};q=0.9", Wanted("raw")),
        ({}, f"{CAR};q=0.9, {RAW};q=0.5", Wanted("car")),
        ({}, f"{CAR}, {RAW}", Wanted("car")),
        ({}, f"{CAR};q=0, {RAW};q=0.1", Wanted("raw")),
        ({}, f"{CAR};order=new, {CAR};order=dfs;dups=y;q=0.5", Wanted("car", dups=True)),
        ({}, f"{CAR};version=2, {RAW};q=0.1", Wanted("raw")),
        ({"format": "raw"}, CAR, Wanted("raw")),
        ({"format": "car"}, RAW, Wanted("car")),
        ({"format": "car"}, f"text/html, {CAR};dups=y, */*", Wanted("car", dups=True)),
        ({"format": "car", "car-dups": "n"}, f"{CAR};dups=y", Wanted("car")),
        ({"format": "car", "car-dups": "y", "car-order": "unk", "car-version": "1"}, "", Wanted("car", dups=True)),
        ({"format": "car", "car-order": "dfs"}, f"{CAR};order=new", Wanted("car")),
        ({"car-dups": "y"}, CAR, Wanted("car", dups=True)),
        ({"format": "raw", "car-dups": "nonsense"}, "", Wanted("raw")),
    ],
)
def test_a_client_gets_what_it_asks_for(query, accept, wanted):
    assert negotiate(query, accept) == wanted


@pytest.mark.parametrize(
    ("query", "accept", "why"),
    [
        ({}, "", "Ask for a verifiable format"),
        ({}, "*/*", "Ask for a verifiable format"),
        ({}, "application/*, text/html", "Ask for a verifiable format"),
        ({}, f"{RAW};q=0", "Ask for a verifiable format"),
        ({}, f"{RAW};q=nan", "Ask for a verifiable format"),
        ({}, f"{RAW};q=7", "Ask for a verifiable format"),
        ({}, f"{RAW};q=much", "Ask for a verifiable format"),
        ({"format": "tar"}, CAR, "'tar' is not served"),
        ({"format": ""}, CAR, "'' is not served"),
        ({"format": "ipns-record"}, "", "'ipns-record' is not served"),
        ({"format": "car", "car-version": "2"}, "", "Only CAR version 1"),
        ({"format": "car", "car-order": "bfs"}, "", "Only the CAR orders dfs and unk"),
        ({"format": "car", "car-dups": "maybe"}, "", "car-dups is y or n"),
        ({}, f"{CAR};version=2", "Only CAR version 1"),
    ],
)
def test_what_is_not_served_is_refused_with_a_reason(query, accept, why):
    with pytest.raises(NotOffered, match=why):
        negotiate(query, accept)


@given(st.text(max_size=60), st.sampled_from([None, "raw", "car"]))
def test_any_accept_header_is_understood_or_refused(accept, wanted):
    """No header, however odd, does anything else than choose or be refused; with ``format=raw`` it does nothing."""
    query = {} if wanted is None else {"format": wanted}
    try:
        found = negotiate(query, accept)
    except NotOffered:
        assert wanted != "raw"
    else:
        assert wanted in (None, found.format)
