"""pin, gc and verify, as a user has them."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing

import pytest


@pytest.fixture
def database(tmp_path):
    def change(query, *values):
        with closing(sqlite3.connect(tmp_path / "home" / "sessionctx" / "blocks.sqlite3")) as other, other:
            return other.execute(query, values).rowcount

    return change


def test_add_pins_and_gc_keeps_what_is_pinned(cli, tree, database):
    root = cli("add", tree).out.strip()
    other = cli("add", "--no-pin", tree / "sub folder" / "日本.txt", "--profile", "unixfs-v0-2015").out.strip()
    assert cli("pin", "ls").out == f"{root}\ttree\n"
    assert cli("gc").out == "0 blocks\t0 bytes\n"  # all is fresh
    database("UPDATE recent SET put = ?", time.time() - 4000)
    assert cli("gc", "--max-bytes", "1GiB").out == "0 blocks\t0 bytes\n"
    assert cli("gc", "--max-bytes", "much").code == 2
    [_, would, summary] = cli("gc", "--dry-run", "--json").lines
    assert (would["blocks"], would["dry_run"], summary["blocks"]) == (1, True, 1)
    assert cli("stat", other).code == 0
    assert cli("gc").out.startswith("1 blocks\t")
    assert cli("stat", other).code == 4
    assert len(cli("cat", f"{root}/numbers").out) > 0


def test_what_is_unpinned_goes_unless_another_pin_keeps_it(cli, tree, database):
    root = cli("add", tree).out.strip()
    file = cli("add", "--no-pin", tree / "sub folder" / "日本.txt").out.strip()
    assert cli("pin", "add", file, "--name", "a\nname").out.strip() == file
    assert cli("pin", "ls").out == f"{root}\ttree\n{file}\ta\\nname\n"
    assert cli("pin", "rm", root).out.strip() == root
    assert cli("pin", "rm", root).code == 1
    assert cli("pin", "rm", root, file + "/x").code == 2
    database("DELETE FROM recent")
    assert cli("gc").code == 0
    assert cli("cat", file).out == "hello"
    assert cli("ls", root).code == 4


def test_a_store_in_which_nothing_is_pinned_is_not_emptied_by_mistake(cli, tree, database):
    root = cli("add", "--no-pin", tree).out.strip()
    database("DELETE FROM recent")
    refused = cli("gc")
    assert refused.code == 2
    assert "--everything" in refused.err
    assert cli("stat", root).code == 0
    assert cli("gc", "--dry-run").code == 0
    assert cli("gc", "--everything").code == 0
    assert cli("stat", root).code == 4


def test_verify_finds_and_drops_what_is_bad(cli, tree, database):
    root = cli("add", tree).out.strip()
    done = cli("verify")
    assert (done.code, done.out) == (0, "")
    assert "blocks are good" in done.err
    assert database("UPDATE blocks SET data = x'00' WHERE data = ?", b"hello") == 1
    [_, bad, summary] = cli("verify", "--json").lines
    assert (bad["type"], summary["bad"], summary["dropped"], summary["exit"]) == ("bad", 1, 0, 6)
    assert cli("verify", "--drop").code == 6
    assert cli("verify").code == 0
    assert cli("add", tree).out.strip() == root
    assert cli("cat", f"{root}/sub folder/日本.txt").out == "hello"


def test_a_store_that_is_given_room_keeps_below_it(cli, tree, database, home):
    root = cli("add", "--no-pin", tree).out.strip()
    database("UPDATE recent SET put = ?", time.time() - 4000)
    (home / "first").write_bytes(b"1" * 20_000)
    (home / "second").write_bytes(b"2" * 20_000)
    first = cli("add", "first", "--max-bytes", "30KiB").out.strip()
    assert cli("cat", f"{root}/numbers").code == 4
    refused = cli("add", "second", "--max-bytes", "30KiB")
    assert refused.code == 1
    assert "may hold 30720" in refused.err
    assert "pin rm" in refused.err
    assert cli("cat", first, "--max-bytes", "1GiB").out == "1" * 20_000
    assert cli("cat", first, "--max-bytes", "much").code == 2
    assert cli("pin", "ls").out == f"{first}\tfirst\n"
