"""What a CAR brings before the block that links to it is kept for that, within bounds, and nobody is blamed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionctx.content import Block
from sessionctx.fetch.early import EACH, EARLY, Early
from sessionctx.testing import fates, samples
from tests.fetch.test_carry import HAMT, network_of, walked, walked_with_odd
from tests.profiles import examples

SMALL = samples.folder(60, 2000, sharded=True)
BLOCKS = [Block.of(n.to_bytes(2, "big") * (EARLY // 16)) for n in range(20)]  # some seven of them fit


class Expecting:
    """A sweep that expects what it is told to."""

    def __init__(self, numbers):
        self._names = {BLOCKS[n].cid.multihash for n in numbers}

    def expects(self, name):
        return name in self._names


numbers = st.integers(0, len(BLOCKS) - 1)


@given(st.lists(st.one_of(numbers, st.frozensets(numbers))))
def test_what_is_kept_is_given_away_once_and_only_when_it_is_expected(steps):
    """Against a list: a number comes early, a set is what is expected from then on."""
    early, model, gave_way = Early(), [], False
    for step in steps:
        if isinstance(step, int):
            early.keep(BLOCKS[step].cid, BLOCKS[step].data)
            if step not in model:
                model.append(step)
            while sum(EACH + len(BLOCKS[n]) for n in model) > EARLY:
                model.pop(0)
                gave_way = True
        else:
            named = early.named(Expecting(step))
            first = next((n for n in model if n in step), None)
            assert named == (None if first is None else (BLOCKS[first].cid, BLOCKS[first].data))
            model = [n for n in model if n != first]
        assert early.gave_way == gave_way


def test_empty_blocks_are_not_kept_without_number():
    early = Early()
    for n in range(2 * EARLY // EACH):
        early.keep(Block.of(n.to_bytes(4, "big")).cid, b"")
    assert early.gave_way


@examples(25)
@given(order=st.randoms(use_true_random=False))
def test_a_car_in_whatever_order_brings_it_all_in_one_request(order):
    """As long as what is early fits: no block is asked for by itself, and none comes twice but those above the CAR."""

    async def shuffled(cid):
        blocks = list(SMALL.below(cid))
        order.shuffle(blocks)
        for block in blocks:
            yield block.cid, block.data

    odd, row, account = walked_with_odd(shuffled, SMALL)
    assert (odd.cars, account.requests, row.failed, row.missing) == (1, 2, 0, 0)
    assert account.duplicate_bytes < 0.05 * SMALL.size + 60 * len(SMALL.blocks)


@pytest.mark.parametrize("seed", range(5))
def test_a_car_out_of_order_that_is_too_large_to_be_kept_harms_nobody(seed):
    """What gave way is asked for by itself: who sent it does not lack it. The peer is the only one."""
    network = network_of(HAMT, {"order": "unk"}, seed=seed)
    _, (row,), account = walked(network, HAMT)
    assert (row.state, row.failed, row.missing) == ("good", 0, 0)
    assert account.requests < len(HAMT.blocks) / 8


def test_an_early_block_that_lies_bans_its_peer_and_the_right_blocks_come():
    network = network_of(HAMT, {"faults": [fates.lying(0.2)], "latency": 0.001, "order": "unk"}, {})
    _, rows, _ = walked(network, HAMT)
    assert [row.state for row in rows] == ["banned", "good"]
