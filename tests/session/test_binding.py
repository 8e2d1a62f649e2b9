"""Laws 1 to 5: what begin, fork, leave, use and current bind, and for how long."""

from __future__ import annotations

import contextvars
import gc
import weakref

import attrs
import pytest
import trio

from sessionctx import session
from sessionctx.errors import NoSession, SessionConflict, SessionEnded, SessionError
from sessionctx.session import Limits

SCOPES = {
    "begin": session.begin,
    "fork": session.fork,
    "leave": session.leave,
    "use": lambda: session.use(session.current()),
}


# --- looking


def test_without_a_session_current_says_how_to_get_one():
    with pytest.raises(NoSession, match=r"session\.begin\(\)"):
        session.current()


@pytest.mark.parametrize("default", [None, 0, "nobody", object()])
def test_current_gives_the_default_where_there_is_none(default):
    assert session.current(default) is default
    with session.begin(), session.leave():
        assert session.current(default) is default


def test_current_gives_the_session_and_no_default():
    with session.begin() as s:
        assert session.current() is s
        assert session.current(None) is s


def test_there_is_one_context_variable():
    """Law 1: however deep the scopes, one variable holds it all."""
    before = set(contextvars.copy_context())
    with session.begin(), session.fork(), session.leave(), session.begin() as s, session.use(s):
        assert len(set(contextvars.copy_context()) - before) <= 1


# --- begin


def test_begin_begins_where_there_is_none_and_ends_it():
    with session.begin() as s:
        assert not s.ended
    assert s.ended
    assert session.current(None) is None


def test_begin_joins_and_owns_nothing():
    with session.begin() as outer:
        with session.begin() as inner:
            assert inner is outer
        assert not outer.ended
        assert session.current() is outer


def test_sessions_one_after_the_other_are_not_the_same():
    with session.begin() as one:
        pass
    with session.begin() as two:
        pass
    assert one is not two


@pytest.mark.parametrize("scope", SCOPES)
def test_a_block_left_by_an_error_is_left_all_the_same(scope):
    with session.begin() as s:
        with pytest.raises(KeyError), SCOPES[scope]():
            raise KeyError
        assert session.current() is s
        assert not s.ended


def test_an_error_ends_the_session_and_is_not_swallowed():
    with pytest.raises(KeyError), session.begin() as s:
        raise KeyError
    assert s.ended


@pytest.mark.parametrize("scope", SCOPES)
def test_a_scope_is_usable_once(scope):
    with session.begin() as s:
        used = SCOPES[scope]()
        with used:
            pass
        with pytest.raises(SessionError, match="once"), used:
            pytest.fail("entered twice")
        assert session.current() is s


def test_a_scope_cannot_be_entered_inside_itself():
    scope = session.begin()
    with scope as s:
        with pytest.raises(SessionError, match="once"), scope:
            pytest.fail("entered twice")
        assert session.current() is s
        assert not s.ended


def test_leaving_a_scope_that_was_never_entered_is_an_error():
    with session.begin() as s:
        for make in SCOPES.values():
            with pytest.raises(SessionError, match="never entered"):
                make().__exit__(None, None, None)
        assert session.current() is s
        assert not s.ended


def test_making_a_scope_does_nothing_until_it_is_entered():
    scope = session.begin(name="later")
    assert session.current(None) is None
    with session.begin(name="later") as s, scope as joined:
        assert joined is s, "what it joins is decided on entering"


# --- what a guest may say


def test_a_guests_peers_are_added():
    with session.begin(peers=["https://a.example"]) as s:
        with session.begin(peers=["https://b.example", "https://a.example"]):
            assert list(s.peers) == ["https://a.example", "https://b.example"]
        assert list(s.peers) == ["https://a.example", "https://b.example"], "nothing is removed"


def test_a_peer_may_be_an_object_with_an_address():
    @attrs.frozen
    class Mine:
        url: str

    mine = Mine("https://a.example")
    with session.begin(peers=[mine, "https://a.example"]) as s:
        assert list(s.peers) == [mine], "the same address is the same peer, and the first one stays"


@pytest.mark.parametrize("peers", ["https://a.example", [7], [""], [b"https://a.example"]])
@pytest.mark.parametrize("scope", [session.begin, session.fork])
def test_what_cannot_be_a_peer_is_refused_and_changes_nothing(peers, scope):
    with session.begin(peers=["https://b.example"]) as s:
        with pytest.raises(TypeError, match="peer"), scope(peers=peers):
            pytest.fail("entered")
        assert session.current() is s
        assert list(s.peers) == ["https://b.example"]


async def test_a_fork_that_was_refused_leaves_nothing_in_the_tree():
    told = []
    with session.begin() as s:
        s.subscribe(told.append)
        with pytest.raises(TypeError), session.fork(peers=[7]):
            pytest.fail("entered")
    assert [type(event).__name__ for event in told] == ["Ended"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"limits": Limits(requests=1)}),
        ({"limits": Limits(requests=1)}, {"limits": Limits(requests=2)}),
        ({"limits": Limits(requests=1)}, {"limits": Limits()}),
        ({}, {"name": "other"}),
        ({"name": "mine"}, {"name": "other"}),
    ],
)
def test_a_guest_cannot_change_what_runs(first, second):
    with session.begin(peers=["https://a.example"], **first) as s:
        with pytest.raises(SessionConflict, match="fork"), session.begin(peers=["https://b.example"], **second):
            pytest.fail("entered")
        assert session.current() is s
        assert list(s.peers) == ["https://a.example"], "a refused guest leaves nothing behind"


def test_a_conflict_names_what_differs_and_nothing_else():
    with session.begin(limits=Limits(requests=1, bytes=5, seconds=9)):
        with pytest.raises(SessionConflict) as caught, session.begin(limits=Limits(requests=2, seconds=9)):
            pytest.fail("entered")
        assert "limits=Limits(bytes=None, requests=2)" in str(caught.value)
        assert "limited to Limits(bytes=5, requests=1)" in str(caught.value)
        assert "seconds" not in str(caught.value)


def test_a_guest_may_say_what_is_so_anyway():
    with session.begin(limits=Limits(requests=3), name="mine") as s:
        with session.begin(limits=Limits(requests=3), name="mine") as joined:
            assert joined is s
        with session.begin() as joined:
            assert joined is s


def test_outermost_raises_where_it_would_join_and_nowhere_else():
    with session.begin(outermost=True) as s:
        with pytest.raises(SessionConflict, match="outermost") as caught, session.begin(outermost=True):
            pytest.fail("entered")
        assert "leave" in str(caught.value) or "fork" in str(caught.value)
        assert session.current() is s
        with session.leave(), session.begin(outermost=True) as other:
            assert other is not s


# --- fork


def test_a_fork_of_nothing_is_a_session_of_its_own():
    """Who does not know the caller may fork: there is a session with these limits inside, in any case."""
    with session.fork(["https://a.example"], limits=Limits(requests=5)) as s:
        assert session.current() is s
        assert s.parent is None
        assert (s.name, s.limits, s.peers) == ("session", Limits(requests=5), ("https://a.example",))
    assert s.ended
    assert session.current(None) is None


def test_a_fork_is_a_new_session_with_a_parent():
    with session.begin(name="mine") as parent:
        assert parent.parent is None
        with session.fork() as child:
            assert child is not parent
            assert child.parent is parent
            assert child.name.startswith("mine")
            assert session.current() is child
        assert child.ended
        assert not parent.ended
        assert session.current() is parent


def test_a_fork_knows_its_parents_peers_and_keeps_its_own():
    with session.begin(peers=["https://a.example"]) as parent, session.fork(peers=["https://b.example"]) as child:
        assert list(child.peers) == ["https://a.example", "https://b.example"]
        assert list(parent.peers) == ["https://a.example"]
        parent.add_peers(["https://c.example"])
        assert set(child.peers) == {"https://a.example", "https://b.example", "https://c.example"}


def test_begin_inside_a_fork_joins_the_fork():
    with session.begin(), session.fork() as child, session.begin() as joined:
        assert joined is child


def test_ending_a_parent_ends_its_forks():
    with session.begin() as parent:
        child_scope = session.fork()
        child = child_scope.__enter__()
        grandchild_scope = session.fork()
        grandchild = grandchild_scope.__enter__()
        parent.cancel("enough")
        assert parent.ended
        assert child.ended
        assert grandchild.ended
        grandchild_scope.__exit__(None, None, None)
        child_scope.__exit__(None, None, None)


def test_ending_a_fork_ends_neither_its_parent_nor_its_sisters():
    with session.begin() as parent, session.fork() as sister, session.use(parent):
        with session.fork() as child:
            pass
        assert child.ended
        assert not sister.ended
        assert not parent.ended


# --- leave and use


def test_leave_binds_nothing_and_ends_nothing():
    with session.begin() as s:
        with session.leave() as nothing:
            assert nothing is None
            with pytest.raises(NoSession):
                session.current()
            with session.begin() as other:
                assert other is not s
            assert not s.ended
        assert session.current() is s


def test_leave_is_fine_where_nothing_is_bound():
    with session.leave():
        assert session.current(None) is None


def test_use_binds_a_held_session_and_owns_nothing():
    with session.begin() as s:
        with session.leave():
            with session.use(s) as used:
                assert used is s
                assert session.current() is s
            assert session.current(None) is None
        assert not s.ended


@pytest.mark.parametrize("held", [None, "session", session])
def test_use_of_what_is_no_session_says_what_to_write_instead(held):
    with pytest.raises(TypeError, match=rf"given a {type(held).__name__}.*session\.leave\(\)"):
        session.use(held)


def test_use_of_an_ended_session_is_refused():
    with session.begin() as s:
        pass
    with pytest.raises(SessionEnded, match="leave"), session.use(s):
        pytest.fail("entered")
    assert session.current(None) is None


async def test_a_task_started_under_leave_does_not_keep_the_session_in_memory(nursery):
    """Bounded memory: a server's background task would otherwise hold the first caller's session, and all its slots."""

    async def background():
        await trio.sleep_forever()

    with session.begin() as s, session.leave():
        nursery.start_soon(background)
    await trio.testing.wait_all_tasks_blocked()
    gone = weakref.ref(s)
    del s
    gc.collect()
    assert gone() is None


async def test_a_relay_of_tasks_does_not_grow(nursery):
    """Bounded memory: each task joins, starts the next one inside, and ends; nothing piles up behind the last."""
    ended = []

    async def runner(left):
        with session.leave(), session.begin() as s:
            ended.append(weakref.ref(s))
            if left:
                with session.leave():
                    nursery.start_soon(runner, left - 1)
            else:
                gc.collect()
                ended.append(sum(ref() is not None for ref in ended))
        await trio.lowlevel.checkpoint()

    nursery.start_soon(runner, 50)
    await trio.testing.wait_all_tasks_blocked()
    assert ended[-1] <= 3, "sessions that ended long ago are still held"


async def test_a_long_session_does_not_keep_what_has_ended():
    """Bounded memory: wants, names and forks come and go by the million under one session."""

    class Name:
        pass

    gone = []
    with session.begin() as s:
        for _ in range(3):
            name = Name()
            with s.want(name):
                await trio.lowlevel.checkpoint()
            with session.fork() as child:
                await session.share(child, name, trio.lowlevel.checkpoint)
            gone += [weakref.ref(name), weakref.ref(child)]
        del name, child
        gc.collect()
        assert [ref() for ref in gone] == [None] * 6


# --- what a session says of itself


def test_its_repr_says_what_it_is_and_shows_no_secret():
    with session.begin(peers=["https://user:secret@a.example"], name="mine") as s:
        assert "mine" in repr(s)
        assert "secret" not in repr(s)
    assert "ended" in repr(s)


def test_sessions_are_equal_only_to_themselves_and_can_be_keys():
    with session.begin() as one, session.leave(), session.begin() as two:
        assert one == one
        assert one != two
        assert len({one, two}) == 2


@pytest.mark.parametrize("peers", ["https://user:S3CRET@a.example", [b"https://user:S3CRET@a.example"]])
def test_what_cannot_be_a_peer_is_not_shown(peers):
    """It may hold a password all the same."""
    with pytest.raises(TypeError) as caught:
        session.begin(peers=peers)
    assert "S3CRET" not in str(caught.value)
