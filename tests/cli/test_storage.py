"""The verbs with a store that is a URL: no state of their own."""

from __future__ import annotations

import pytest


@pytest.fixture
def url(tmp_path):
    return f"file://{tmp_path}/bucket/blocks"


def test_what_is_added_in_one_run_is_there_in_the_next(cli, url, tree, tmp_path):
    added = cli("add", tree / "numbers", "--store", url)
    assert (added.code, added.err) == (0, "")
    root = added.out.strip()
    got = cli("get", root, "-o", tmp_path / "out", "--store", url, "--cache", tmp_path / "cache", "--max-bytes", "1MiB")
    assert got.code == 0
    assert (tmp_path / "out").read_bytes() == (tree / "numbers").read_bytes()
    assert (tmp_path / "cache" / "blocks.sqlite3").exists()
    assert not (tmp_path / "home" / "sessionctx").exists()


def test_the_environment_may_name_it(cli, url, tree, monkeypatch):
    monkeypatch.setenv("SESSIONCTX_STORE", url)
    root = cli("add", tree / "sub folder").out.strip()
    assert "日本.txt" in cli("ls", root).out


def test_gc_gives_back_room_and_sums_up(cli, url, tree):
    root = cli("add", tree / "numbers", "--store", url).out.strip()
    done = cli("gc", "--store", url, "--json")
    assert done.code == 0
    assert done.summary["blocks"] == 4
    assert cli("cat", root, "--store", url).code == 0
    assert cli("gc", "--store", url, "--dry-run").code == 2


def test_what_is_for_a_folder_says_so(cli, url):
    for words in (["verify"], ["ls", "bafkqaaa", "--max-bytes", "1MiB"], ["get", "bafkqaaa", "--max-bytes", "1MiB"]):
        done = cli(*words, "--store", url)
        assert done.code == 2, words


def test_pins_are_for_a_store_on_the_disk(cli, url):
    done = cli("pin", "ls", "--store", url)
    assert done.code != 0
    assert "disk" in done.err


def test_many_processes_serve_one_url(command, cli, url, tree, tmp_path):
    root = cli("add", tree / "numbers", "--store", url).out.strip()
    with command("serve", "--store", url, "--workers", "2", "--while-stdin-is-open", stdin=-1) as process:
        gateway = process.stdout.readline().strip()
        got = cli("get", root, "-o", tmp_path / "out", "--peer", gateway)
        process.stdin.close()
    assert got.code == 0
    assert (tmp_path / "out").read_bytes() == (tree / "numbers").read_bytes()
