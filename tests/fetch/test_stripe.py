"""Sweeps: what a CAR is to bring, against the dullest model, a DAG as a dict."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionctx.content import DAG_PB, Block, PBLink, PBNode, dagpb
from sessionctx.errors import DecodeError
from sessionctx.fetch import Sweep, is_flat, is_stripe, stripe
from sessionctx.fetch.stripe import SMALL, STRIPE, small_block


def leaf(n):
    return Block.of(b"leaf %d" % n)


def node(children):
    links = tuple(PBLink(child.cid, f"{n:03}", 1) for n, child in enumerate(children))
    return Block.of(dagpb.encode(PBNode(links=links)), codec=DAG_PB)


def plant(shape, blocks):
    """Build the DAG that nested lists of numbers say; all its blocks in depth-first order go into *blocks*."""
    if isinstance(shape, int):
        blocks.append(leaf(shape))
        return blocks[-1]
    at = len(blocks)
    children = [plant(each, blocks) for each in shape]
    blocks.insert(at, node(children))
    return blocks[at]


shapes = st.lists(st.recursive(st.integers(0, 30), lambda inner: st.lists(inner, min_size=1, max_size=4)), max_size=6)


def in_order(blocks):
    """Each once, where it comes first."""
    return list({block.cid: block for block in blocks}.values())


@given(shape=shapes)
def test_depth_first_each_block_is_the_next_one_and_then_it_is_done(shape):
    """A CAR that is depth first brings what is expected next, until nothing is missing."""
    blocks = []
    root = plant(shape, blocks)
    sweep = Sweep(root.cid)
    for block in in_order(blocks):
        assert not sweep.done
        assert sweep.expects(block.cid.multihash)
        sweep.arrived(block)
        assert not sweep.expects(block.cid.multihash)
    assert sweep.done
    assert len(sweep) == 0
    assert sweep.came == sum(len(block.data) for block in in_order(blocks))


@given(shape=st.lists(st.lists(st.integers(0, 10**6), min_size=1, max_size=4, unique=True), min_size=1, max_size=6))
def test_what_comes_next_is_known(shape):
    blocks = []
    root = plant(shape, blocks)
    sweep, order = Sweep(root.cid), in_order(blocks)
    for block in order:
        if len({each.cid for each in blocks}) == len(blocks):  # what is linked twice may come at either place
            assert sweep.next() == block.cid
        sweep.arrived(block)


@given(shape=shapes, data=st.data())
def test_in_any_order_what_is_expected_is_what_is_linked_and_has_not_come(shape, data):
    """Whatever comes when, of this DAG or not, and however often: expected are the links of what counted so far."""
    blocks = []
    root = plant(shape, blocks)
    strangers = [leaf(n) for n in range(100, 103)]
    sweep = Sweep(root.cid)
    expected, counted = {root.cid}, set()
    for block in data.draw(st.lists(st.sampled_from([*blocks, *strangers]), max_size=40)):
        sweep.arrived(block)
        if block.cid in expected:
            counted.add(block.cid)
            expected = (expected | set(block.links())) - counted
        assert {block.cid for block in [*blocks, *strangers] if sweep.expects(block.cid.multihash)} == expected
        assert set(sweep.from_the_end()) == expected
        assert sweep.done == (not expected)


def test_others_begin_at_the_far_end():
    blocks = []
    root = plant([[1, 2], [3, 4], 5], blocks)
    sweep = Sweep(root.cid)
    for block in in_order(blocks)[:2]:  # the root and its first child
        sweep.arrived(block)
    assert next(iter(sweep.from_the_end())) == leaf(5).cid
    assert sweep.next() == leaf(1).cid
    sweep.arrived(leaf(5))
    assert next(iter(sweep.from_the_end())) == node([leaf(3), leaf(4)]).cid


def test_a_block_that_cannot_be_read_leads_nowhere():
    broken = Block.of(b"\xff\xff", codec=DAG_PB)
    sweep = Sweep(broken.cid)
    sweep.arrived(broken)
    assert sweep.done


def test_links_before_one_that_cannot_be_read_count():
    """What is followed may break off: what it gave until then is expected, and can be found from both ends."""

    def follow(block):
        if block.cid == root.cid:
            yield leaf(1).cid
            raise DecodeError("broken")

    root = node([leaf(1), leaf(2)])
    sweep = Sweep(root.cid, follow=follow)
    sweep.arrived(root)
    assert sweep.next() == leaf(1).cid == next(iter(sweep.from_the_end()))
    assert not sweep.done
    sweep.arrived(leaf(1))
    assert sweep.done


def test_only_what_is_followed_is_expected():
    root = node([leaf(1), leaf(2)])
    sweep = Sweep(root.cid, follow=lambda block: [cid for cid in block.links() if cid == leaf(2).cid])
    sweep.arrived(root)
    assert list(sweep.from_the_end()) == [leaf(2).cid]


def test_no_more_than_so_many_names_are_kept_track_of(monkeypatch):
    """What goes beyond them is not expected, and then nobody may say that all is here."""
    monkeypatch.setattr(stripe, "MOST_EXPECTED", 5)
    blocks = []
    root = plant(list(range(9)), blocks)
    sweep = Sweep(root.cid)
    for block in blocks:
        sweep.arrived(block)
        assert len(sweep) <= 5
    assert sweep.blocks == 6
    assert not sweep.done
    assert sweep.next() is None
    assert not sweep.includes(root.cid.multihash)


def test_what_hangs_below_a_block_that_has_come_is_part_of_it_as_well():
    """Unless not all of its links are followed: then nobody knows."""
    twig = node([leaf(1)])
    root = node([twig, leaf(2)])
    whole, part = Sweep(root.cid), Sweep(root.cid, follow=lambda block: block.links())
    for sweep in (whole, part):
        sweep.arrived(root)
        assert sweep.includes(twig.cid.multihash)
        sweep.arrived(twig)
        assert not sweep.includes(leaf(9).cid.multihash)
    assert whole.includes(twig.cid.multihash)
    assert not part.includes(twig.cid.multihash)


def test_a_sweep_that_is_not_exact_is_never_done():
    sweep = Sweep(leaf(1).cid, exact=False)
    sweep.arrived(leaf(1))
    assert not sweep.done


def test_how_much_is_left_is_what_was_said_or_what_is_known():
    blocks = []
    root = plant([1, 2, 3], blocks)
    assert Sweep(root.cid, size=10**6).left() == 10**6
    sweep = Sweep(root.cid)
    sweep.arrived(root)
    assert sweep.left() == 3 * len(root.data)


def test_what_is_worth_a_car():
    assert [is_stripe(size) for size in (None, 0, 1, STRIPE, STRIPE + 1)] == [False, False, True, True, False]
    assert is_flat(8, 8 * SMALL)
    assert not is_flat(7, 7)
    assert not is_flat(100, 101 * SMALL)
    assert small_block(0.0, 1e6, 8) == SMALL
    assert small_block(0.1, 10 * 2**20, 8) == pytest.approx(2**17)
