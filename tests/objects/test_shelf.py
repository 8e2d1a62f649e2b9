"""The shelf: objects appear and go whole, expire when they should, and leave no content behind."""

from __future__ import annotations

from datetime import timedelta

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from sessionctx.errors import NotAStore
from sessionctx.objects import Expiration, Metadata, Place
from sessionctx.objects.shelf import Put, open_shelf
from sessionctx.objects.shelf import shelf as module
from sessionctx.testing.storage import Broken, Pieces, listed
from tests.profiles import examples

HERE, THERE = Place.of("use", {"org": 1}), Place.of("use", {"org": 2})
LARGE = bytes(range(256)) * 1000


class Clock:
    def __init__(self):
        self.now = 1_800_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def shelf(tmp_path, clock):
    async with open_shelf(tmp_path / "shelf", clock=clock) as shelf:
        yield shelf


async def content(shelf, place, key, begin=0, end=None):
    (row,) = await shelf.find(place, [key])
    if row is None:
        return None
    async with shelf.read(row, begin, end) as pieces:
        return b"".join([bytes(piece) async for piece in pieces])


async def blobs(shelf):
    return {path for path, entry in (await listed(shelf.content, recursive=True)).items() if entry.kind == "file"}


@pytest.mark.parametrize("body", [b"", b"small", LARGE])
async def test_an_object_comes_back_with_what_was_said_of_it(shelf, clock, body):
    metadata = Metadata(content_type="text/x", encoding="zstd", filename="ü.txt", custom={"a": "b"}, origin="here")
    key = await shelf.put(HERE, "k", metadata, body)
    assert key == "k"
    (row,) = await shelf.find(HERE, ["k"])
    assert (row.metadata, row.created, row.size) == (metadata, clock.now, len(body))
    assert await content(shelf, HERE, "k") == body
    assert await content(shelf, THERE, "k") is None


async def test_a_key_is_made_where_none_is_given(shelf):
    keys = {await shelf.put(HERE, "", Metadata(), b"x") for _ in range(10)}
    assert len(keys) == 10
    assert all([await content(shelf, HERE, key) == b"x" for key in keys])


@pytest.mark.parametrize(("begin", "end"), [(0, None), (5, 10), (255_999, None), (0, 0), (100, 999_999)])
@pytest.mark.parametrize("body", [LARGE, LARGE[:1000]])
async def test_ranges(shelf, body, begin, end):
    await shelf.put(HERE, "k", Metadata(), body)
    assert await content(shelf, HERE, "k", begin, end) == body[begin:end]


async def test_what_is_replaced_or_deleted_leaves_nothing(shelf):
    await shelf.put(HERE, "k", Metadata(), LARGE)
    await shelf.put(HERE, "k", Metadata(), LARGE[::-1])
    assert len(await blobs(shelf)) == 2
    assert await shelf.sweep() == 1
    assert await content(shelf, HERE, "k") == LARGE[::-1]
    await shelf.delete(HERE, ["k", "absent"])
    assert await content(shelf, HERE, "k") is None
    await shelf.sweep()
    assert await blobs(shelf) == set()


async def test_a_put_that_breaks_leaves_what_was_there(shelf):
    await shelf.put(HERE, "k", Metadata(), b"before")
    with pytest.raises(Broken):
        await shelf.put(HERE, "k", Metadata(), Pieces([LARGE], Broken()))
    with trio.move_on_after(0.2):
        await shelf.put(HERE, "k", Metadata(), Pieces([LARGE], hang=True))
    assert await content(shelf, HERE, "k") == b"before"
    await shelf.sweep()
    assert await blobs(shelf) == set()


async def test_what_is_being_written_is_not_swept(shelf):
    async with shelf.writing() as blob:
        await shelf.content.write(blob, b"x")
        await shelf.sweep()
        assert await blobs(shelf) == {blob}
        await shelf.name(HERE, "k", Metadata(), [module.Blob(blob, 1)])
    await shelf.sweep()
    assert await content(shelf, HERE, "k") == b"x"


async def test_it_is_there_after_a_restart_and_what_was_half_written_goes(tmp_path, monkeypatch):
    async with open_shelf(tmp_path) as shelf:
        await shelf.put(HERE, "k", Metadata(), LARGE)

        async def killed(*_args, **_options):
            raise Broken

        monkeypatch.setattr(type(shelf), "name", killed)
        with pytest.raises(Broken):
            await shelf.put(HERE, "other", Metadata(), LARGE)
        assert len(await blobs(shelf)) == 2
    monkeypatch.undo()
    async with open_shelf(tmp_path) as shelf:
        assert await content(shelf, HERE, "k") == LARGE
        assert await shelf.sweep() == 1
        assert len(await blobs(shelf)) == 1


async def test_ttl_counts_from_the_making(shelf, clock):
    await shelf.put(HERE, "k", Metadata(expiration=Expiration.ttl(seconds=100)), b"x")
    clock.now += 99
    assert await content(shelf, HERE, "k") == b"x"
    clock.now += 1
    assert await content(shelf, HERE, "k") is None
    assert await shelf.sweep() == 1


async def test_tti_counts_from_the_last_use(shelf, clock):
    await shelf.put(HERE, "k", Metadata(expiration=Expiration.tti(seconds=100)), b"x")
    for _ in range(5):
        clock.now += 60
        assert await content(shelf, HERE, "k") == b"x"
    clock.now += 100
    assert await content(shelf, HERE, "k") is None


async def test_a_use_is_written_down_only_when_a_quarter_of_the_time_has_passed(shelf, clock):
    await shelf.put(HERE, "k", Metadata(expiration=Expiration.tti(seconds=100)), b"x")
    made = clock.now
    for later, expires in [(20, 100), (26, 126), (40, 126), (60, 160)]:
        clock.now = made + later
        await shelf.find(HERE, ["k"])
        row = await shelf.indexed(lambda index: index.find(str(HERE), "k", made))
        assert row.expires == made + expires


async def test_manual_ones_stay(shelf, clock):
    await shelf.put(HERE, "k", Metadata(), b"x")
    clock.now += timedelta(days=40_000).total_seconds()
    assert await content(shelf, HERE, "k") == b"x"


async def test_something_else_by_that_name_is_refused(tmp_path):
    (tmp_path / "objects.sqlite").write_bytes(b"something else" * 100)
    with pytest.raises(NotAStore):
        async with open_shelf(tmp_path):
            pytest.fail("it was opened")


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "delete", "wait", "sweep", "batch"]),
        st.sampled_from(["a", "b"]),
        st.sampled_from([b"", b"small", LARGE]),
        st.sampled_from([None, 10, 30]),
    ),
    max_size=15,
)


@examples(30)
@given(steps=STEPS)
def test_it_is_a_dict_whose_entries_expire(steps, tmp_path_factory):
    """Whatever is done to it, it holds what a dict would, and no content that is nobody's after a sweep."""

    async def main():
        clock, model = Clock(), {}
        async with open_shelf(tmp_path_factory.mktemp("shelf"), clock=clock) as shelf:
            for what, key, body, seconds in steps:
                metadata = Metadata(expiration=Expiration.ttl(seconds=seconds)) if seconds else Metadata()
                until = clock.now + seconds if seconds else float("inf")
                if what == "put":
                    await shelf.put(HERE, key, metadata, body)
                    model[key] = (body, until)
                elif what == "batch":
                    await shelf.put_many([Put(HERE, key, metadata, b"1"), Put(HERE, "c", metadata, b"2")])
                    model |= {key: (b"1", until), "c": (b"2", until)}
                elif what == "delete":
                    await shelf.delete(HERE, [key])
                    model.pop(key, None)
                elif what == "wait":
                    clock.now += 15
                else:
                    await shelf.sweep()
                for each in "abc":
                    kept, until = model.get(each, (None, 0))
                    assert await content(shelf, HERE, each) == (kept if until > clock.now else None)
            await shelf.sweep()
            live = [body for body, until in model.values() if until > clock.now]
            assert len(await blobs(shelf)) == live.count(LARGE)

    trio.run(main)
