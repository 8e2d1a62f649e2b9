"""What is no store, what was one, and what cannot be opened."""

from __future__ import annotations

import errno
import os
import random
import sqlite3
from contextlib import closing, suppress

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from sessionctx.blocks import DiskBlockstore, scan, schema
from sessionctx.blocks.heap import LARGE, data_file
from sessionctx.content import Block
from sessionctx.errors import NotAStore, SessionctxError, StoreCorrupt, StoreError, StoreFull
from tests.profiles import examples

BLOCKS = [Block.of(random.Random(n).randbytes(n * n * 100)) for n in range(40)]


def tree(folder):
    return {entry.name: entry.read_bytes() for entry in folder.iterdir() if entry.is_file()}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """The bytes of a store with some blocks in it, and those of its data file."""
    path = tmp_path_factory.mktemp("good") / "blocks.sqlite3"

    async def main():
        async with DiskBlockstore.open(path) as store:
            await store.put_many(BLOCKS)
            await store.delete(BLOCKS[30].cid)

    trio.run(main)
    return path.read_bytes(), data_file(path).read_bytes()


def write(path, content, data):
    path.write_bytes(content)
    data_file(path).write_bytes(data)


def flipped(content, at):
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


async def open_and_read(path):
    """Return the blocks that come back wrong, unnoticed by verify()."""
    async with DiskBlockstore.open(path) as store:
        bad = {block.multihash async for block in store.verify()}
        wrong = []
        for block in BLOCKS:
            try:
                if await store.get(block.cid) != block and block.cid.multihash not in bad:
                    wrong.append(block)
            except SessionctxError:
                pass
        return wrong


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x",
        b"no store at all\n" * 5000,
        b"SQLite format 3\0",
        b"SQLite format 3\0" + b"\xff" * 8000,
        b"\0" * 65536,
    ],
    ids=["empty", "one byte", "text", "its first bytes", "its first bytes and nonsense", "zeros"],
)
async def test_a_file_that_is_no_store_is_refused_and_not_touched(path, content):
    path.write_bytes(content)
    with pytest.raises(NotAStore, match=path.name):
        async with DiskBlockstore.open(path):
            pass
    assert tree(path.parent) == {path.name: content}


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
async def test_a_database_of_another_program_is_refused_and_not_touched(path, mode):
    with closing(sqlite3.connect(path)) as other:
        other.execute(f"PRAGMA journal_mode = {mode}")
        other.execute("CREATE TABLE blocks (id INTEGER PRIMARY KEY, multihash BLOB, data BLOB)")
    before = path.read_bytes()
    with pytest.raises(NotAStore, match="another program"):
        async with DiskBlockstore.open(path):
            pass
    assert path.read_bytes() == before


async def test_a_folder_is_refused_with_advice(tmp_path):
    with pytest.raises(NotAStore, match=r"is a folder.*blocks\.sqlite3"):
        async with DiskBlockstore.open(tmp_path):
            pass
    assert list(tmp_path.iterdir()) == []


async def test_a_store_of_a_newer_version_is_refused(path, good):
    path.write_bytes(good[0])
    with closing(sqlite3.connect(path)) as other:
        other.execute(f"PRAGMA user_version = {schema.FORMAT + 1}")
    with pytest.raises(StoreError, match="newer sessionctx"):
        async with DiskBlockstore.open(path):
            pass


@pytest.mark.parametrize("statement", ["DROP TABLE blocks", "DROP TABLE totals", "DELETE FROM totals"])
async def test_a_store_without_its_tables_is_corrupt(path, good, statement):
    path.write_bytes(good[0])
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute(statement)
    with pytest.raises(StoreCorrupt, match="lacks its tables"):
        async with DiskBlockstore.open(path):
            pass


async def test_a_file_cut_anywhere_is_refused_and_not_touched(path, good):
    page = schema.PAGE
    content, _ = good
    cuts = {
        0,
        1,
        15,
        16,
        99,
        100,
        101,
        4096,
        page - 1,
        page,
        page + 1,
        3 * page,
        len(content) // 2,
        len(content) - page,
    }
    for cut in sorted({*cuts, len(content) - page - 1, len(content) - 1}):
        path.write_bytes(content[:cut])
        with pytest.raises((NotAStore, StoreCorrupt), match=path.name):
            async with DiskBlockstore.open(path):
                pass
        assert path.read_bytes() == content[:cut]
        assert set(tree(path.parent)) <= {path.name, f"{path.name}-wal", f"{path.name}-shm"}
        for rest in path.parent.iterdir():
            rest.unlink()


async def test_a_log_without_its_file_is_not_taken_for_the_log_of_a_new_one(path, good):
    log = path.with_name(f"{path.name}-wal")
    log.write_bytes(b"what others left here")
    with pytest.raises(StoreCorrupt, match=log.name):
        async with DiskBlockstore.open(path):
            pass
    path.touch()
    with pytest.raises(StoreCorrupt, match="cut to nothing"):
        async with DiskBlockstore.open(path):
            pass
    assert log.read_bytes() == b"what others left here"


async def test_a_cut_log_loses_its_end_and_nothing_else(path, some_blocks):
    """What was copied into the file, and what stands whole in the log, is there; nothing is wrong."""
    blocks = some_blocks(50, 5000)
    with pytest.raises(ZeroDivisionError):
        async with DiskBlockstore.open(path) as store:
            for block in blocks:
                await store.put(block)
            raise ZeroDivisionError
    log = path.with_name(f"{path.name}-wal")
    log.write_bytes(log.read_bytes()[: log.stat().st_size // 2])
    async with DiskBlockstore.open(path) as store:
        there = [await store.has(block.cid) for block in blocks]
        assert 0 < sum(there) < 50
        assert there == sorted(there, reverse=True)
        assert store.statistics().blocks == sum(there)
        assert [bad async for bad in store.verify()] == []


@examples(60)
@given(damage=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=300)), min_size=1, max_size=3))
def test_damage_is_an_error_or_found_by_verify(tmp_path_factory, good, damage):
    """Whatever bytes of a store are overwritten, nothing but our errors comes of it, and verify() knows each bad block."""
    path = tmp_path_factory.mktemp("damaged") / "blocks.sqlite3"
    content = bytearray(b"".join(good))
    for where, what in damage:
        at = min(int(where * len(content)), len(content) - len(what))
        content[at : at + len(what)] = what
    write(path, content[: len(good[0])], content[len(good[0]) :])
    with suppress(StoreError):
        assert trio.run(open_and_read, path) == []
    path.unlink()


@pytest.mark.parametrize("number", [25, 20], ids=["large", "small"])
async def test_verify_names_the_block_that_was_damaged(path, good, number):
    """And it can be deleted, and put again."""
    victim = BLOCKS[number]
    content, data = good
    if len(victim) >= LARGE:
        data = flipped(data, data.index(victim.data[-100:]))
    else:
        content = flipped(content, content.index(victim.data[-100:]))
    write(path, content, data)
    async with DiskBlockstore.open(path) as store:
        audit = store.verify()
        (bad,) = [bad async for bad in audit]
        assert bad.multihash == victim.cid.multihash
        assert bad.cid == victim.cid
        assert str(victim.cid) in bad.why
        assert audit.blocks == store.statistics().blocks
        with pytest.raises(StoreCorrupt, match="does not match"):
            await store.get(victim.cid)
        await store.delete(bad.cid)
        await store.put(victim)
        assert await store.get(victim.cid) == victim
        assert [bad async for bad in store.verify()] == []


async def test_a_block_that_cannot_be_read_is_an_error_and_bad(path, good):
    """Here a page in the middle of a block leads to nowhere."""
    victim, (content, data) = BLOCKS[24], good
    at = content.index(victim.data[40_000:40_100]) // schema.PAGE * schema.PAGE
    write(path, content[:at] + b"\xff" * 4 + content[at + 4 :], data)
    async with DiskBlockstore.open(path) as store:
        with pytest.raises(StoreCorrupt, match="damaged"):
            await store.get(victim.cid)
        (bad,) = [bad async for bad in store.verify()]
        assert bad.multihash == victim.cid.multihash
        assert "cannot be read" in bad.why
        assert await store.get(BLOCKS[38].cid) == BLOCKS[38]


async def test_a_row_that_is_no_block_is_damage(path, good):
    """Only another program can have written these."""
    write(path, *good)
    key = BLOCKS[3].cid.multihash
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("UPDATE blocks SET data = 7 WHERE multihash = ?", (key,))
        other.execute("UPDATE blocks SET multihash = x'00112233445566' WHERE multihash = ?", (BLOCKS[4].cid.multihash,))
    async with DiskBlockstore.open(path) as store:
        with pytest.raises(StoreCorrupt, match=str(BLOCKS[3].cid)):
            await store.get(BLOCKS[3].cid)
        bad = {bad.multihash: bad.why async for bad in store.verify()}
        assert set(bad) == {key, bytes.fromhex("00112233445566")}
        with pytest.raises(StoreCorrupt, match="00112233445566"):
            [cid async for cid in store.cids()]


async def test_a_file_in_the_way_of_a_folder_is_an_error_with_advice(tmp_path):
    (tmp_path / "file").write_bytes(b"here")
    with pytest.raises(StoreError, match=r"cannot be opened.*permissions"):
        async with DiskBlockstore.open(tmp_path / "file" / "blocks.sqlite3"):
            pass


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
async def test_an_unwritable_folder_is_an_error_with_advice(tmp_path):
    tmp_path.chmod(0o555)
    with pytest.raises(StoreError, match="permissions"):
        async with DiskBlockstore.open(tmp_path / "blocks.sqlite3"):
            pass
    assert list(tmp_path.iterdir()) == []


async def test_where_sqlite_may_not_write_is_an_error_with_advice(path, monkeypatch):
    def unwritable(*args, **kwargs):
        error = sqlite3.OperationalError("unable to open database file")
        error.sqlite_errorcode = 14
        raise error

    monkeypatch.setattr(sqlite3, "connect", unwritable)
    with pytest.raises(StoreError, match=r"cannot be written.*permissions"):
        async with DiskBlockstore.open(path):
            pass
    assert tree(path.parent) == {}


async def test_an_sqlite_without_threads_is_refused(path, monkeypatch):
    monkeypatch.setattr(sqlite3, "threadsafety", 0)
    with pytest.raises(StoreError, match="without threads"):
        async with DiskBlockstore.open(path):
            pass


async def test_a_store_that_was_removed_while_open_says_so(path):
    async with DiskBlockstore.open(path) as store:
        path.unlink()
        with pytest.raises(StoreError, match="is gone"):
            store.statistics()


async def test_no_room_for_a_new_store_is_a_full_disk(path, monkeypatch):
    def no_room(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(StoreFull, match="room"):
        async with DiskBlockstore.open(path):
            pass


async def test_a_file_system_without_hard_links_will_do(path, monkeypatch):
    def no_link(*_, **__):
        raise PermissionError("no hard links here")

    monkeypatch.setattr(os, "link", no_link)
    async with DiskBlockstore.open(path) as store:
        await store.put_many(BLOCKS)
    async with DiskBlockstore.open(path) as store:
        assert store.statistics().blocks == len(BLOCKS)
    assert set(tree(path.parent)) == {path.name, data_file(path).name}


async def test_making_one_store_many_times_at_once_makes_one(path):
    """Whoever is late uses the store of who was first."""

    async def use(block):
        async with DiskBlockstore.open(path) as store:
            await store.put(block)

    async with trio.open_nursery() as nursery:
        for block in BLOCKS[:8]:
            nursery.start_soon(use, block)
    async with DiskBlockstore.open(path) as store:
        assert all([await store.has(block.cid) for block in BLOCKS[:8]])
    assert set(tree(path.parent)) == {path.name}


async def test_damage_in_the_description_of_the_tables_is_corruption(path, good):
    """SQLite quotes it in its message, which then is no text, and Python fails to read that."""
    content, data = good
    at = content.index(b"CREATE TABLE blocks") + len("CREATE TABLE b")
    write(path, content[:at] + b"\xff" + content[at + 1 :], data)
    with pytest.raises(StoreCorrupt, match=path.name):
        async with DiskBlockstore.open(path):
            pass


async def test_what_is_deleted_during_verify_is_not_bad(path, good, monkeypatch):
    write(path, *good)
    listed = scan._keys
    gone = [bytes([0x12, 0x20, n]) + bytes(31) for n in range(1, 100)]
    monkeypatch.setattr(
        scan, "_keys", lambda path, last, limit: [key for key in gone if key > last] or listed(path, last, limit)
    )
    async with DiskBlockstore.open(path) as store:
        audit = store.verify()
        assert [bad async for bad in audit] == []
        assert audit.blocks <= store.statistics().blocks


def test_a_file_system_that_cannot_hold_a_store_is_named(path):
    """SQLite keeps its old way of journalling where it cannot share memory, as on network shares."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.text_factory = bytes
        with pytest.raises(StoreError, match="choose a local disk"):
            schema._prepare(connection, path)
