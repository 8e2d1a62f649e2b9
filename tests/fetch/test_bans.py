"""Bans: who lied to one session is asked by no other in the trio run, until the ban is lifted."""

from __future__ import annotations

import logging

import pytest
import trio

from sessionctx import session
from sessionctx.errors import FetchFailed, Lied
from sessionctx.fetch import banned, fetch, unban
from sessionctx.testing import samples
from sessionctx.testing.fates import lying
from sessionctx.testing.network import lone_peer

BLOCKS = samples.blocks(6, 5000)
LIAR = "https://liar.example"


def liar():
    return lone_peer(LIAR, BLOCKS, faults=[lying()])


def honest():
    return lone_peer("fake://honest", BLOCKS, latency=0.05)


async def lie(peer):
    with session.begin(peers=[peer]) as s, pytest.raises(FetchFailed):
        await fetch(s, BLOCKS[0].cid)


async def test_a_later_session_does_not_ask_it_and_names_it(autojump_clock):
    peer = liar()
    await lie(peer)
    with session.begin(peers=[peer]) as s, pytest.raises(FetchFailed) as refused:
        await fetch(s, BLOCKS[1].cid)
    assert len(peer.asked) == 1
    assert LIAR in str(refused.value)


async def test_a_session_that_had_met_it_does_not_ask_it_either(autojump_clock):
    peer, other = liar(), honest()
    with session.begin(peers=[peer, other]) as s:
        peer.faults = ()
        await fetch(s, BLOCKS[1].cid)
        assert peer.asked
        peer.faults = [lying()]
        with session.leave():
            await lie(peer)
        before = len(peer.asked)
        for block in BLOCKS[2:]:
            assert await fetch(s, block.cid) == block.data
    assert len(peer.asked) == before


async def test_who_waits_for_it_alone_is_told(autojump_clock):
    """A request that is under way when the peer lies to somebody else does not keep its session waiting for more."""
    peer = liar()
    ended = []

    async def wait():
        with session.begin(peers=[peer]) as s, pytest.raises(FetchFailed) as refused:
            await fetch(s, BLOCKS[1].cid)
        ended.append(refused.value)

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            nursery.start_soon(wait)
    assert [type(reason) for error in ended for reason in error.reasons.values()] == [Lied, Lied]


@pytest.mark.parametrize("spelling", [LIAR, LIAR.replace("https://l", "HTTPS://L") + ":443/"])
async def test_lifting_a_ban_lets_new_sessions_ask_again(spelling, autojump_clock):
    peer = liar()
    await lie(peer)
    peer.faults = ()
    unban(spelling)
    assert banned() == ()
    with session.begin(peers=[peer]) as s:
        assert await fetch(s, BLOCKS[1].cid) == BLOCKS[1].data


async def test_it_is_named_once_to_the_user(autojump_clock, caplog):
    with caplog.at_level(logging.WARNING, "sessionctx.fetch"):
        await lie(liar())
        await lie(liar())
    (told,) = caplog.records
    assert LIAR in told.getMessage()
    assert "unban" in told.getMessage()
    (kept,) = banned()
    assert kept.url == LIAR
    assert 0 <= trio.current_time() - kept.since < 1
    assert "do not match" in kept.reason


async def test_who_merely_fails_is_not_banned(autojump_clock):
    with session.begin(peers=[lone_peer("fake://lacks", [])]) as s, pytest.raises(LookupError):
        await fetch(s, BLOCKS[0].cid)
    assert banned() == ()


async def test_lifting_no_ban_is_an_error_that_shows_no_secret():
    with pytest.raises(LookupError, match="not banned") as refused:
        unban("https://user:secret@a.example")
    assert "secret" not in str(refused.value)


def test_another_run_knows_nothing_of_it():
    async def first():
        await lie(liar())
        return len(banned())

    async def second():
        return len(banned())

    assert (trio.run(first), trio.run(second)) == (1, 0)
