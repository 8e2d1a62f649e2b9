"""What failed is tried again a few times, with pauses, and not beyond the deadline of who waits."""

from __future__ import annotations

import pytest
import trio

from sessionctx.errors import Busy, PeerFailed
from sessionctx.storage.patience import Patience

FAILED = PeerFailed("it failed", peer="p")


async def test_the_last_failure_of_a_row_is_raised(autojump_clock):
    patience = Patience(tries=3)
    await patience.pause(FAILED)
    await patience.pause(FAILED)
    with pytest.raises(PeerFailed):
        await patience.pause(FAILED)


async def test_progress_begins_a_new_row(autojump_clock):
    patience = Patience(tries=2)
    for _ in range(10):
        await patience.pause(FAILED)
        patience.renew()


async def test_pauses_grow_and_an_endpoint_may_ask_for_longer(autojump_clock):
    patience = Patience(tries=8)
    for n in range(6):
        began = trio.current_time()
        await patience.pause(FAILED)
        assert trio.current_time() - began <= 0.2 * 2**n + 0.01
    began = trio.current_time()
    await patience.pause(Busy("busy", peer="p", retry_after=30))
    assert trio.current_time() - began >= 29.99


async def test_nobody_waits_longer_than_makes_sense(autojump_clock):
    with pytest.raises(Busy):
        await Patience().pause(Busy("busy", peer="p", retry_after=3600))
    with trio.move_on_after(5) as scope:
        with pytest.raises(Busy):
            await Patience().pause(Busy("busy", peer="p", retry_after=10))
    assert not scope.cancelled_caught
