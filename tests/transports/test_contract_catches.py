"""The contract notices transports that do not keep it."""

from __future__ import annotations

from contextlib import asynccontextmanager

import attrs
import pytest
import trio

from sessionctx.errors import NotHere, PeerError
from sessionctx.testing.fates import stalling, truncating
from sessionctx.testing.network import Network, simulate
from sessionctx.testing.transport import AFTER, TransportContract


class Wrapped:
    """A transport that does as another one does."""

    def __init__(self, like):
        self.like = like

    def __getattr__(self, name):
        return getattr(self.like, name)

    async def block(self, cid, *, progress=None):
        return await self.like.block(cid, progress=progress)


class BlamesNobody(Wrapped):
    async def block(self, cid, *, progress=None):
        try:
            return await super().block(cid, progress=progress)
        except PeerError as error:
            error.peer = None
            raise


class SaysNothingForNotHere(Wrapped):
    async def block(self, cid, *, progress=None):
        try:
            return await super().block(cid, progress=progress)
        except NotHere:
            return b""


class TellsPasswords(Wrapped):
    async def block(self, cid, *, progress=None):
        raise NotHere("sim://a (hunter2) does not have it", peer="sim://a")


class ShowsPasswords(Wrapped):
    public = "sim://user:hunter2@a"


@attrs.frozen
class Twice:
    progress: object

    def came(self, count):
        self.progress.came(0)
        self.progress.came(count)


class TellsOfNothing(Wrapped):
    async def block(self, cid, *, progress=None):
        return await super().block(cid, progress=progress and Twice(progress))


class NoCheckpoint(Wrapped):
    async def block(self, cid, *, progress=None):
        return self.like.network.find(cid)


class KeepsTurns(Wrapped):
    """Whoever is cancelled keeps its turn."""

    def __init__(self, like):
        super().__init__(like)
        self._turns = trio.Semaphore(8)

    async def block(self, cid, *, progress=None):
        await self._turns.acquire()
        data = await super().block(cid, progress=progress)
        self._turns.release()
        return data


class AlwaysAll(Wrapped):
    def car(self, cid, **more):
        return self.like.car(cid, **more | {"scope": "all"})


class SaysThatItCannot(Wrapped):
    def __getattr__(self, name):
        return attrs.evolve(self.like.can, car=False) if name == "can" else super().__getattr__(name)


async def test_of_what_is_not_overridden_it_says_so():
    with pytest.raises(NotImplementedError, match="override the method 'peer'"):
        TransportContract().peer([])


@pytest.mark.parametrize(
    ("spoilt", "test", "options"),
    [
        (BlamesNobody, "test_what_it_does_not_have_is_not_here", {}),
        (BlamesNobody, "test_a_trouble_is_an_error_that_says_whose_it_is", {"trouble": "cut"}),
        (SaysNothingForNotHere, "test_what_it_does_not_have_is_not_here", {}),
        (TellsPasswords, "test_what_it_does_not_have_is_not_here", {}),
        (ShowsPasswords, "test_it_says_who_it_is_and_what_it_can", {}),
        (SaysThatItCannot, "test_it_says_who_it_is_and_what_it_can", {}),
        (TellsOfNothing, "test_progress_is_told_with_the_bytes_that_came", {}),
        (NoCheckpoint, "test_asking_is_a_checkpoint", {}),
        (KeepsTurns, "test_whoever_gives_up_takes_nothing_from_others", {"when": "while it waits"}),
        (AlwaysAll, "test_a_car_of_one_block_is_no_more_than_that", {}),
    ],
)
def test_a_spoilt_transport_fails(spoilt, test, options):
    assert fails(lambda blocks, fault: spoilt(peer_with(blocks, fault)), test, **options)
    assert not fails(peer_with, test, **options)


def test_a_car_that_seems_whole_where_it_was_cut_fails():
    quietly = {"cut": truncating(after=AFTER, quietly=True), "stalling": stalling(after=AFTER)}
    test = "test_what_came_of_a_car_before_its_trouble_is_good"
    assert fails(lambda blocks, trouble: peer_with(blocks, quietly.get(trouble)), test, trouble="cut")


def peer_with(blocks, fault=None):
    fault = truncating(after=AFTER) if fault == "cut" else fault
    return Network(blocks).peer("a", blocks, faults=[fault] if fault else [])


def fails(make, test, **options):
    class Tests(TransportContract):
        run = staticmethod(simulate)
        secret = "hunter2"

        @asynccontextmanager
        async def peer(self, blocks, trouble=None):
            yield make(blocks, trouble)

    try:
        getattr(Tests(), test)(**options)
    except (Exception, pytest.fail.Exception):
        return True
    return False
