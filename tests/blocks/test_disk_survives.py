"""The store on the disk, in foul weather: killed, interrupted, without room, held up by others."""

from __future__ import annotations

import errno
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from types import SimpleNamespace

import pytest
import trio

from sessionctx.blocks import DiskBlockstore, schema
from sessionctx.blocks.faults import explain
from sessionctx.content import Block
from sessionctx.errors import StoreClosed, StoreCorrupt, StoreError, StoreFull

# Puts and deletes for ever, from many tasks, and tells on stdout what is done: "+" put, "?" about to be deleted, "-" gone.
WRITER = """
import os, random, sys, trio
from sessionctx.blocks import DiskBlockstore, schema
from sessionctx.content import Block

schema.CHECKPOINT = 1024 * 1024  # so that many a kill comes in the middle of one
path, seed = sys.argv[1], int(sys.argv[2])

def say(what, *blocks):
    os.write(1, "".join(f"{what}{block.cid}\\n" for block in blocks).encode())

async def use(store, rng):
    while True:
        blocks = [Block.of(rng.randbytes(rng.choice([10, 1000, 40_000, 300_000]))) for _ in range(rng.randrange(1, 5))]
        if len(blocks) == 1:
            await store.put(blocks[0])
        else:
            await store.put_many(blocks)
        say("+", *blocks)
        if rng.random() < 0.3:
            say("?", blocks[0])
            await store.delete(blocks[0].cid)
            say("-", blocks[0])

async def main():
    async with DiskBlockstore.open(path) as store, trio.open_nursery() as nursery:
        for n in range(12):
            nursery.start_soon(use, store, random.Random(seed * 1000 + n))

try:
    trio.run(main)
except* KeyboardInterrupt:
    sys.stderr.write("interrupted")
"""


@pytest.fixture
def writer_process(path):
    """Return an async callable that runs the writer for some time, ends it with a signal, and gives what it said."""

    async def run(seed, seconds, end):
        command = [sys.executable, "-X", "dev", "-W", "error", "-c", WRITER, str(path), str(seed)]
        process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        said = bytearray(await process.stdout.receive_some())  # it has begun
        errors = bytearray()

        async def collect(stream, into):
            async for chunk in stream:
                into += chunk

        async with trio.open_nursery() as nursery:
            nursery.start_soon(collect, process.stdout, said)
            nursery.start_soon(collect, process.stderr, errors)
            await trio.sleep(seconds)
            process.send_signal(end)
            at = trio.current_time()
            with trio.fail_after(30):
                await process.wait()
            took = trio.current_time() - at
        lines = said.decode().splitlines()
        return SimpleNamespace(said={line[1:]: line[0] for line in lines}, errors=errors.decode(), took=took)

    return run


async def check(path, said):
    """What was said to be put is there, what was said to be gone is not, and all that is there is good."""
    async with DiskBlockstore.open(path) as store:
        audit = store.verify()
        assert [bad async for bad in audit] == []
        seen = store.statistics()
        assert (seen.blocks, seen.bytes) == (audit.blocks, audit.bytes)
        there = {str(cid) async for cid in store.cids()}
    assert {cid for cid, state in said.items() if state == "+"} <= there
    assert not {cid for cid, state in said.items() if state == "-"} & there


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9 here")
@pytest.mark.parametrize("seed", range(2))
async def test_kill_9_loses_nothing_that_was_acknowledged(path, writer_process, seed):
    """The same store, killed again and again: each put that returned is there, and nothing is corrupt."""
    rng = random.Random(seed)
    said = {}
    for turn in range(2):
        said |= (await writer_process(seed * 100 + turn, rng.uniform(0, 0.3), signal.SIGKILL)).said
        await check(path, said)
    assert said


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to others here")
async def test_ctrl_c_at_any_moment_ends_it_soon_and_in_order(path, writer_process):
    """Under -X dev and with warnings as errors: no connection, thread or task is left."""
    said = {}
    for turn in range(2):
        done = await writer_process(turn, random.Random(turn).uniform(0, 0.3), signal.SIGINT)
        said |= done.said
        assert done.errors == "interrupted"
        assert done.took < 5  # well under 0.1 s, and then Python's own end; this machine may be busy
    await check(path, said)


# --- no room


@pytest.fixture
async def full(disk, monkeypatch):
    """A store that can hold about 600 KB, and as much in large blocks."""

    def limit(connection):
        connection.execute("PRAGMA max_page_count = 40").fetchone()
        return 0, 0

    written = os.pwritev

    def pwritev(fd, run, at):
        if at + sum(map(len, run)) > 600_000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return written(fd, run, at)

    monkeypatch.setattr(os, "pwritev", pwritev)
    await disk._writer.do(limit)
    return disk


async def test_a_full_disk_is_an_error_for_what_does_not_fit(full, some_blocks):
    small, large = some_blocks(30, 2000), some_blocks(10, 400_000, seed=1)
    kept, refused = [], []

    async def put(block):
        try:
            await full.put(block)
            kept.append(block)
        except StoreFull as error:
            assert "disk is full" in str(error)
            refused.append((block, error))

    async with trio.open_nursery() as nursery:
        for block in (*small, *large):
            nursery.start_soon(put, block)
    assert set(small) <= set(kept)
    assert len(set(kept) & set(large)) == 1
    assert len({id(error) for _, error in refused}) == len(refused) == 9
    assert {block for block in (*small, *large) if await full.has(block.cid)} == set(kept)
    assert full.statistics().blocks == len(kept)
    await full.sync()
    for block in kept:
        await full.delete(block.cid)
    await full.put(refused[0][0])
    assert [bad async for bad in full.verify()] == []


async def test_put_many_on_a_full_disk_says_so_and_goes_no_further(full, some_blocks):
    taken = []

    def blocks():
        for n in range(10_000):
            (block,) = some_blocks(1, 1_000_000, seed=n)
            taken.append(block)
            yield block

    with pytest.raises(StoreFull):
        await full.put_many(blocks())
    assert len(taken) < 40


def test_where_the_system_refuses_to_let_the_file_grow(path, run_script):
    """A limit of the process stands for a quota: the error is a StoreError, what was kept stays, and room helps."""
    pytest.importorskip("resource")
    script = """
        import json, resource, sys, trio
        from sessionctx.blocks import DiskBlockstore
        from sessionctx.content import Block
        from sessionctx.errors import StoreError

        async def main():
            blocks = [Block.of(n.to_bytes(4, "big") * 20_000) for n in range(60)]
            async with DiskBlockstore.open(sys.argv[1]) as store:
                resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))
                kept, errors = [], []
                for block in blocks:
                    try:
                        await store.put(block)
                        kept.append(block)
                    except StoreError as error:
                        errors.append(str(error))
                there = [await store.has(block.cid) for block in blocks]
                resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
                await store.put_many(blocks)
                bad = [repr(bad) async for bad in store.verify()]
            print(json.dumps([len(kept), sum(there), errors, bad]))

        trio.run(main)
        """
    ((kept, there, errors, bad),) = run_script(script, path)
    assert 0 < kept == there < 60
    assert len(errors) == 60 - kept
    assert all("the disk" in error for error in errors)
    assert bad == []


# --- what SQLite may say


def fault(code, message="as SQLite puts it"):
    error = sqlite3.OperationalError(message)
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("code", "kind", "advice"),
    [
        (13, StoreFull, "make room"),
        (10 | 3 << 8, StoreError, "quota"),
        (11, StoreCorrupt, "verify"),
        (26, StoreCorrupt, "verify"),
        (5, StoreError, "another process"),
        (8, StoreError, "permissions"),
        (14, StoreError, "permissions"),
        (1, StoreError, "as SQLite puts it"),
        (0, StoreError, "as SQLite puts it"),
    ],
)
def test_each_fault_of_sqlite_is_an_error_that_says_what_to_do(tmp_path, code, kind, advice):
    error = explain(fault(code), tmp_path / "blocks.sqlite3")
    assert type(error) is kind
    assert advice in str(error)
    assert "blocks.sqlite3" in str(error)


def test_a_refused_write_on_a_disk_without_room_is_a_full_disk(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1000))
    assert type(explain(fault(10 | 19 << 8), tmp_path / "x")) is StoreFull


def test_a_disk_that_cannot_be_asked_is_not_taken_for_full(tmp_path):
    assert type(explain(fault(10), tmp_path / "gone" / "x")) is StoreError


class Stubborn:
    """A connection for reading that is busy for a while, or says something else."""

    def __init__(self, connection, *errors):
        self.connection = connection
        self.errors = list(errors)

    def execute(self, *arguments):
        if self.errors:
            raise self.errors.pop(0)
        return self.connection.execute(*arguments)

    def close(self):
        self.connection.close()


async def test_reading_waits_while_another_process_repairs_the_file(disk, some_blocks, monkeypatch):
    (block,) = some_blocks(1)
    await disk.put(block)
    monkeypatch.setattr(disk, "_reader", Stubborn(disk._reader, fault(5), fault(5)))
    assert await disk.get(block.cid) == block


async def test_reading_does_not_wait_for_ever(disk, some_blocks, monkeypatch):
    from sessionctx.blocks import disk as module

    (block,) = some_blocks(1)
    monkeypatch.setattr(module, "_PAUSES", (0.001, 0.001))
    monkeypatch.setattr(disk, "_reader", Stubborn(disk._reader, fault(5), fault(5), fault(5)))
    with pytest.raises(StoreError, match="another process"):
        await disk.get(block.cid)
    assert not await disk.has(block.cid)


async def test_reading_damage_is_an_error_at_once(disk, some_blocks, monkeypatch):
    monkeypatch.setattr(disk, "_reader", Stubborn(disk._reader, fault(11), fault(11)))
    with pytest.raises(StoreCorrupt):
        await disk.has(some_blocks(1)[0].cid)
    with pytest.raises(StoreCorrupt):
        disk.statistics()


async def test_listing_damage_is_an_error(disk, monkeypatch):
    def broken(*args, **kwargs):
        raise fault(11)

    monkeypatch.setattr(schema, "connect", broken)
    with pytest.raises(StoreCorrupt):
        await anext(disk.cids())
    with pytest.raises(StoreCorrupt):
        await anext(disk.verify())


async def test_writing_does_not_wait_for_ever(disk, some_blocks, monkeypatch):
    """If another process keeps the store to itself, all who wait are told, and the store goes on afterwards."""
    monkeypatch.setattr(schema, "PATIENCE", 0.1)
    blocks = some_blocks(5)
    told = []

    async def put(block):
        with pytest.raises(StoreError, match="another process") as caught:
            await disk.put(block)
        told.append(caught.value)

    with closing(sqlite3.connect(disk.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        async with trio.open_nursery() as nursery:
            for block in blocks:
                nursery.start_soon(put, block)
        assert len({id(error) for error in told}) == 5
    await disk.put_many(blocks)
    assert disk.statistics().blocks == 5


async def test_a_fault_of_the_work_itself_reaches_its_own_putter_only(disk, some_blocks):
    """Whatever goes wrong in a transaction, the others in it are committed without the one at fault."""
    block, *others = some_blocks(20)
    wrong = Block.vouched(block.cid, {"no": "bytes"})
    kept = []

    async def put(block):
        await disk.put(block)
        kept.append(block)

    async def put_wrong():
        with pytest.raises(StoreError):
            await disk.put(wrong)

    def fails(connection):
        raise ZeroDivisionError

    async def fail():
        with pytest.raises(ZeroDivisionError):
            await disk._writer.do(fails)

    async with trio.open_nursery() as nursery:
        for other in others:
            nursery.start_soon(put, other)
        nursery.start_soon(put_wrong)
        nursery.start_soon(fail)
    assert set(kept) == set(others)
    assert all([await disk.has(other.cid) for other in others])
    assert disk.statistics().blocks == len(others)
    assert not await disk.has(block.cid)


async def test_a_store_that_is_closed_while_reading_waits_says_so(disk, some_blocks, monkeypatch):
    from sessionctx.blocks import disk as module

    monkeypatch.setattr(module, "_PAUSES", (0.05, 0.05))
    monkeypatch.setattr(disk, "_reader", Stubborn(disk._reader, fault(5), fault(5)))

    async def close():
        disk._closed = True
        await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(close)
        with pytest.raises(StoreClosed):
            await disk.get(some_blocks(1)[0].cid)


def test_a_run_that_has_crashed_does_not_keep_the_thread(path, some_blocks):
    """The writer commits what it has, though nobody is there to be told."""
    stores = []

    async def main():
        store = await DiskBlockstore.open(path).__aenter__()
        stores.append(store)
        with sqlite3.connect(path, isolation_level=None) as other:
            other.execute("BEGIN IMMEDIATE")
            with trio.move_on_after(0.01):
                await store.put_many(some_blocks(5))
        other.close()

    trio.run(main)
    (store,) = stores
    store._writer.stop(hurry=True)
    store._shut(False)
    assert not [t for t in threading.enumerate() if t.name.startswith("writer of")]
