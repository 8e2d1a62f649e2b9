"""When to search for more peers: a list of numbers in, a decision out."""

from __future__ import annotations

from contextlib import suppress
from math import inf

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from sessionctx.content import CID
from sessionctx.errors import Busy, PeerError
from sessionctx.fetch.discover import (
    LAST_PAUSE,
    LONGEST,
    MOST,
    MOST_BARREN,
    WINDOW,
    WORTH_SEARCHING,
    Discovery,
    Need,
    Search,
)
from sessionctx.testing.network import lone_peer
from sessionctx.testing.routers import FakeRouter

ALONE = Need(wanted="leaf", root="root", left=0)
SLOW = Need(wanted="leaf", root="root", left=2, finish=inf)


def test_without_seeds_it_begins_at_once_with_the_root():
    assert Discovery().look(ALONE, 5.0) == Search("root", 5.0 + LONGEST)
    assert Discovery().look(Need(wanted="leaf"), 5.0) == Search("leaf", 5.0 + LONGEST)


def test_nothing_is_searched_for_nobody():
    discovery = Discovery()
    assert discovery.look(Need(), 0.0) is None
    assert discovery.due(Need(root="root", left=3), 9.0) is None
    assert not discovery.hopeless(Need(), 0.0)


def test_seeds_have_a_first_chance():
    discovery = Discovery()
    assert discovery.due(SLOW, 10.0) == 10.0 + WINDOW
    assert discovery.look(SLOW, 10.0 + WINDOW - 0.1) is None
    assert discovery.look(SLOW, 10.0 + WINDOW) == Search("root", 10.0 + WINDOW + LONGEST)


def test_seeds_that_have_all_failed_have_had_their_chance():
    discovery = Discovery()
    assert discovery.look(SLOW, 10.0) is None
    assert discovery.look(ALONE, 10.1) is not None


def test_a_pool_that_gets_better_is_left_alone_until_it_does_not():
    discovery = Discovery()
    now, finish = 0.0, 1000.0
    for _ in range(50):
        assert discovery.look(Need("leaf", left=2, finish=finish), now) is None
        now += 0.5
        finish -= 0.03 * (finish - now)
    due = discovery.due(Need("leaf", left=2, finish=finish), now)
    assert now <= due <= now + WINDOW
    still = Need("leaf", left=2, finish=finish)
    while discovery.look(still, due) is None:  # the window that had begun may have seen it get better
        due = discovery.due(still, due)
        assert due <= now + 2 * WINDOW


def test_steady_progress_is_no_improvement():
    """At a constant rate the finish comes nearer and does not move: more peers would help."""
    discovery = Discovery()
    need = Need("leaf", left=3, finish=100.0)
    assert [discovery.look(need, now / 4) is not None for now in range(10)] == [False] * 8 + [True, False]


def test_a_finish_that_can_be_told_at_last_is_better_than_none():
    discovery = Discovery()
    discovery.due(SLOW, 0.0)
    assert discovery.due(Need("leaf", left=1, finish=50.0), WINDOW) == 2 * WINDOW


def test_what_is_nearly_done_is_not_worth_a_search():
    discovery = Discovery()
    assert discovery.due(Need("leaf", left=1, finish=WINDOW + WORTH_SEARCHING - 0.1), 0.0) is None
    assert discovery.look(Need("leaf", left=1, finish=WINDOW + WORTH_SEARCHING - 0.1), WINDOW) is None
    assert discovery.look(Need("leaf", left=0, finish=WINDOW + 0.1), WINDOW) is not None


def test_after_a_lull_seeds_have_a_first_chance_again():
    discovery = Discovery()
    discovery.due(SLOW, 0.0)
    discovery.due(Need(), 1.0)
    discovery.due(Need(), 1.5)
    assert discovery.due(SLOW, 1.9) == WINDOW  # block by block, with moments between them
    discovery.due(Need(), 1.95)
    assert discovery.due(SLOW, 1.95 + WINDOW) == 1.95 + 2 * WINDOW


def test_one_at_a_time():
    discovery = Discovery()
    search = discovery.look(ALONE, 0.0)
    assert discovery.searching is search
    assert discovery.look(ALONE, 99.0) is None
    assert discovery.due(ALONE, 99.0) is None
    assert not discovery.hopeless(ALONE, 99.0)
    discovery.ended(99.0)
    discovery.ended(500.0)  # once is enough
    assert discovery.searching is None
    assert discovery.look(ALONE, 100.0) is not None


def test_pauses_double_and_the_names_take_turns():
    discovery = Discovery()
    discovery.due(SLOW, 0.0)
    now, names, pauses = WINDOW, [], []
    for _ in range(9):
        names.append(discovery.look(SLOW, now).name)
        discovery.ended(now + 3)
        due = discovery.due(SLOW, now + 3)
        assert discovery.look(SLOW, due - 0.01) is None
        pauses.append(due - (now + 3))
        now = due
    assert pauses == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60, 60])
    assert names == ["root", "leaf"] * 4 + ["root"]


def test_a_search_that_bore_fruit_shortens_the_next_pause_once():
    discovery = Discovery()
    discovery.due(SLOW, 0.0)
    now = WINDOW
    for n in range(5):
        assert discovery.look(SLOW, now)
        assert discovery.take(f"peer {n}")
        discovery.ended(now)
        now = discovery.due(SLOW, now)
    assert discovery.pause == 16
    discovery.served("a seed")
    assert discovery.pause == 16
    discovery.served("peer 2")
    assert discovery.pause == 1
    for pause in (1, 2, 4):
        now = discovery.due(SLOW, now)
        assert discovery.look(SLOW, now)
        discovery.ended(now)
        discovery.served("peer 2")
        assert discovery.pause == pause


def test_routers_that_ask_for_rest_get_it():
    discovery = Discovery()
    discovery.look(ALONE, 0.0)
    discovery.ended(1.0, rest=25.0)
    assert discovery.due(ALONE, 1.0) == 26.0


def test_each_router_brings_a_few_and_none_twice():
    discovery = Discovery()
    assert not discovery.take("too early")
    discovery.look(ALONE, 0.0)
    assert [discovery.take(f"peer {n}", "a") for n in range(MOST + 2)] == [True] * MOST + [False] * 2
    assert discovery.enough("a")
    assert not discovery.enough("b")
    assert not discovery.take("peer 0", "b")
    assert discovery.take("peer b", "b")
    discovery.ended(1.0)
    assert not discovery.take("too late", "b")
    discovery.look(ALONE, 2.0)
    assert not discovery.take("peer 0", "a")
    assert discovery.take("peer more", "a")


def test_with_nobody_left_it_ends_once_both_names_brought_nobody():
    discovery = Discovery()
    names, now = [], 0.0
    while (due := discovery.due(ALONE, now)) is not None:
        assert not discovery.hopeless(ALONE, now)
        names.append(discovery.look(ALONE, due).name)
        now = due + 1
        discovery.ended(now)
    assert names == ["root", "leaf"]
    assert discovery.hopeless(ALONE, now)
    assert not discovery.hopeless(SLOW, now)
    assert not discovery.hopeless(Need(wanted="other", root="root"), now)
    assert not discovery.hopeless(ALONE, now + LAST_PAUSE)
    assert discovery.look(ALONE, now + LAST_PAUSE) is not None


def test_while_it_brings_somebody_there_is_hope():
    discovery = Discovery()
    need = Need(wanted="leaf")
    for n in range(3):
        discovery.look(need, n * 100.0)
        discovery.take(f"peer {n}")
        discovery.ended(n * 100.0)
        assert not discovery.hopeless(need, n * 100.0)
    discovery.look(need, 300.0)
    discovery.ended(300.0)
    assert discovery.hopeless(need, 300.0)


def test_a_name_that_brought_somebody_at_last_is_searched_for_again():
    discovery, need = Discovery(), Need(wanted="leaf")
    discovery.look(need, 0.0)
    discovery.ended(0.0)
    assert discovery.hopeless(need, 1.0)
    some = Need(wanted="leaf", left=1)
    discovery.due(some, 1.0)
    assert discovery.look(some, 5.0)
    assert discovery.take("peer")
    discovery.ended(5.0)
    assert not discovery.hopeless(need, 5.0)
    assert discovery.due(need, 5.0) == 7.0


def test_what_is_remembered_is_bounded():
    discovery = Discovery()
    for n in range(3 * MOST_BARREN):
        discovery.look(Need(wanted=n), n * 100.0)
        discovery.ended(n * 100.0)
    assert len(discovery._barren) == MOST_BARREN
    assert len(discovery._brought) <= 1


needs = st.builds(
    Need,
    wanted=st.sampled_from([None, "a", "b"]),
    root=st.sampled_from([None, "r", "a"]),
    left=st.integers(0, 2),
    finish=st.sampled_from([1.0, 3.0, 8.0, 20.0, 40.0, inf]),
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.sampled_from([0.5, 1.0, 2.0, 7.0])),
        st.tuples(st.just("need"), needs),
        st.tuples(st.just("take"), st.tuples(st.sampled_from("pqrst"), st.integers(0, 1))),
        st.tuples(st.just("serve"), st.sampled_from("pqrst")),
        st.tuples(st.just("end"), st.sampled_from([0.0, 0.0, 3.0])),
    ),
    max_size=60,
)


@given(steps)
def test_whatever_happens_the_rules_are_kept(script):
    """Against a log of everything: one at a time, only for wants, after the pauses, none taken twice."""
    discovery, now, need = Discovery(), 0.0, Need()
    wanted_since = None
    running: Search | None = None
    earliest, fruitless, last = 0.0, 0, -inf
    rest = 0.0
    taken: list[str] = []
    unserved: set[str] = set()
    for verb, what in script:
        match verb:
            case "wait":
                now += what
            case "need":
                need = what
            case "take":
                took = discovery.take(*what)
                assert took is (running is not None and what[0] not in taken)
                if took:
                    taken.append(what[0])
                    unserved.add(what[0])
            case "serve":
                discovery.served(what)
                if what in unserved:
                    unserved.remove(what)
                    fruitless = 0
            case "end":
                discovery.ended(now, rest=what)
                if running is not None:
                    running, fruitless, last, rest = None, fruitless + 1, now, what
        earliest = max(last + min(2.0 ** max(fruitless - 1, 0), LAST_PAUSE), last + rest)
        if need.wanted is not None and wanted_since is None:
            wanted_since = now
        due = discovery.due(need, now)
        assert due is None or due >= max(now, earliest)
        assert discovery.due(need, now) == due
        began = discovery.look(need, now)
        assert (began is not None) is (due == now)
        if began is not None:
            assert running is None
            assert need.wanted is not None
            assert began.name in (need.wanted, need.root)
            assert now >= earliest
            assert not need.left or (now >= wanted_since + WINDOW and need.finish - now >= WORTH_SEARCHING)
            running = began


@given(steps, needs.filter(lambda need: need.wanted is not None))
def test_when_it_is_due_it_happens(script, need):
    """Whatever went before: if nothing changes, a search begins at the moment that was told, and not before."""
    discovery, now = Discovery(), 0.0
    for verb, what in script:
        if verb == "wait":
            now += what
        elif verb == "end":
            discovery.ended(now)
        elif verb == "need":
            discovery.look(what, now)
    discovery.ended(now)
    due = discovery.due(need, now)
    if due is None:
        assert discovery.hopeless(need, now) or (need.left and need.finish - now < LAST_PAUSE + WORTH_SEARCHING)
        return
    if due > now:
        assert discovery.look(need, (now + due) / 2) is None
    again = due
    while discovery.look(need, again) is None:  # a window that ends on the way may still have seen it get better
        assert again - due <= 2 * WINDOW
        again = discovery.due(need, again)
        if again is None:
            assert need.finish - due < 2 * WINDOW + WORTH_SEARCHING
            return


@given(needs.filter(lambda need: need.wanted is not None and not need.left), st.integers(0, 5))
def test_nobody_waits_for_ever(need, fruit):
    """With nobody left to ask, searches that bring nobody end in hopelessness; and there are few of them."""
    discovery, now, searches = Discovery(), 0.0, 0
    while not discovery.hopeless(need, now):
        now = discovery.due(need, now)
        assert discovery.look(need, now) is not None
        if searches < fruit:
            assert discovery.take(f"peer {searches}")
        searches += 1
        now += 1
        discovery.ended(now)
    assert searches <= fruit + len(need.names)


# --- with a shell around it


async def carry_out(search, routers, discovery, peers):
    """Ask all routers at once, and take what they name as it comes."""

    async def ask(router):
        with suppress(PeerError):
            async with router.providers(search.name) as found:
                async for provider in found:
                    for gateway in provider.gateways:
                        if discovery.take(gateway, router.public):
                            peers.append(router.transport(gateway))
                    if discovery.enough(router.public):
                        return

    with trio.move_on_at(search.until):
        async with trio.open_nursery() as nursery:
            for router in routers:
                nursery.start_soon(ask, router)
    discovery.ended(trio.current_time())


async def until_somebody_turns_up(need, routers, discovery):
    """Return the peers that were found, or none once it is hopeless."""
    peers = []
    while not peers and not discovery.hopeless(need, trio.current_time()):
        await trio.sleep_until(discovery.due(need, trio.current_time()))
        search = discovery.look(need, trio.current_time())
        await carry_out(search, routers, discovery, peers)
    return peers


def router_with(cid, count, name="a", **options):
    peers = [lone_peer(f"https://{name}{n}.example") for n in range(count)]
    return FakeRouter.naming({cid: peers}, public=f"https://{name}.example", **options)


async def test_a_shell_finds_what_the_routers_know(autojump_clock):
    root, leaf = CID.of(b"root"), CID.of(b"leaf")
    routers = [router_with(root, 50, "a"), router_with(root, 3, "b", latency=2.0), FakeRouter(latency=inf)]
    began = trio.current_time()
    found = await until_somebody_turns_up(Need(wanted=leaf, root=root), routers, Discovery())
    assert [len([peer for peer in found if f"//{name}" in peer.url]) for name in "ab"] == [MOST, 3]
    assert trio.current_time() - began == LONGEST  # one of them never answers
    assert [router.asked for router in routers] == [[root]] * 3
    assert [router.in_flight for router in routers] == [0] * 3


async def test_a_shell_gives_up_where_nobody_knows_anything(autojump_clock):
    root, leaf = CID.of(b"root"), CID.of(b"leaf")
    failing = FakeRouter(faults=lambda _: Busy("later"))
    routers = [FakeRouter(), failing]
    began = trio.current_time()
    assert await until_somebody_turns_up(Need(wanted=leaf, root=root), routers, Discovery()) == []
    assert trio.current_time() - began < 2
    assert [router.asked for router in routers] == [[root, leaf]] * 2
    assert [router.worst for router in routers] == [1, 1]
