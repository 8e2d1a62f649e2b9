"""The verbs: what they print, what they leave, and the codes they end with."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from sessionctx.content import Block

MISSING = Block.of(b"nowhere").cid
NUMBERS = b"".join(n.to_bytes(4, "big") for n in range(600_000))


# --- help and usage


def test_help_lists_verbs_and_codes(cli):
    done = cli("--help")
    assert done.code == 0
    for word in ("add", "demo", "130  interrupted", "6  bytes did not match", "treat others as a failure"):
        assert word in done.out


@pytest.mark.parametrize("verb", ["add", "get", "cat", "ls", "stat", "serve", "bench", "demo", "cid"])
def test_every_verb_has_help(cli, verb):
    done = cli(verb, "--help")
    assert done.code == 0
    assert done.out.startswith(f"Usage: sessionctx {verb}")
    assert "--fault" not in done.out


def test_the_version_is_that_of_the_package(cli):
    assert cli("--version").out.startswith("sessionctx, version ")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["get"],
        ["get", "hello"],
        ["ls", MISSING, "--limit", "weeks=1"],
        ["ls", MISSING, "--limit", "in_flight=0"],
        ["ls", MISSING, "--peer", "nonsense"],
        ["cat", MISSING, "--offset", "-1"],
        ["serve", "--listen", "8080"],
        ["serve", "--fault", "nonsense"],
        ["add", "--profile", "nonsense", "."],
        ["add", "--chunker", "rabin-1-2-3", "."],
        ["cid", "show", "nonsense"],
        ["demo", "/nonexistent"],
    ],
)
def test_a_wrong_command_line_is_a_usage_error(cli, arguments):
    done = cli(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err


def test_a_usage_error_has_a_summary_too(cli):
    done = cli("--json", "get", "hello")
    assert done.code == 2
    assert '"type": "summary", "ok": false, "exit": 2' in done.out


# --- add


def test_add_prints_the_root(cli, tree):
    done = cli("add", tree)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("bafy")
    assert cli("add", tree).out == done.out


def test_add_counts_what_it_added(cli, tree):
    [_, added, summary] = cli("add", "--json", tree).lines
    assert (added["files"], added["folders"], added["symlinks"], added["size"]) == (4, 2, 1, 2_400_006)
    assert (summary["added"], summary["failed"], summary["size"]) == (1, 0, 2_400_006)


def test_add_can_add_hidden_files_and_use_another_profile(cli, tree):
    roots = {cli("add", tree, *more).out for more in ([], ["--hidden"], ["--profile", "unixfs-v0-2015"])}
    assert len(roots) == 3
    assert any(root.startswith("Qm") for root in roots)


def test_add_can_cut_otherwise_and_keep_what_get_restores(cli, tree, tmp_path):
    numbers = tree / "numbers"
    numbers.chmod(0o600)
    ways = ([], ["--chunker", "buzhash"], ["--chunker", "size-99999"], ["--preserve-mode"], ["--preserve-mtime"])
    roots = [cli("add", numbers, *more).out.strip() for more in ways]
    assert len(set(roots)) == len(roots)
    for number, root in enumerate(roots):
        out = tmp_path / f"out-{number}"
        assert cli("get", root, "-o", out).code == 0
        assert out.read_bytes() == numbers.read_bytes()
        assert (out.stat().st_mode == numbers.stat().st_mode) == ("--preserve-mode" in ways[number])
        assert (out.stat().st_mtime_ns == numbers.stat().st_mtime_ns) == ("--preserve-mtime" in ways[number])


def test_add_goes_on_after_a_failure(cli, tree):
    done = cli("add", tree / "numbers", "nonexistent", tree / "empty")
    assert done.code == 3
    assert [line.rpartition("\t")[2] for line in done.out.splitlines()] == [str(tree / "numbers"), str(tree / "empty")]
    assert "nonexistent" in done.err
    assert cli("add", "nonexistent").code == 1
    assert cli("add", "--json", "nonexistent").lines[1]["error"] == "SourceUnreadable"


def test_the_store_is_where_the_environment_says(cli, tree, tmp_path, monkeypatch):
    cli("add", tree)
    assert any((tmp_path / "home" / "sessionctx").iterdir())
    monkeypatch.setenv("SESSIONCTX_STORE", str(tmp_path / "elsewhere"))
    cli("add", tree)
    assert any((tmp_path / "elsewhere").iterdir())
    root = cli("--store", tmp_path / "third", "add", tree).out.strip()
    assert any((tmp_path / "third").iterdir())
    assert cli("ls", root, "--store", tmp_path / "third").code == 0


def test_a_store_that_is_none_is_an_error(cli, tree, tmp_path):
    (tmp_path / "store").write_text("no store")
    done = cli("add", tree, "--store", tmp_path / "store")
    assert done.code == 1
    assert "sessionctx: " in done.err


# --- ls, stat


def test_ls_has_a_line_for_each_entry(cli, root):
    done = cli("ls", root)
    names = [line.split("\t")[2] for line in done.out.splitlines()]
    assert names == ["empty", "link", "new\\nline", "numbers", "sub folder"]
    assert (done.code, done.err) == (0, "")
    assert cli("ls", f"{root}/sub folder").out.endswith("\t5\t日本.txt\n")


def test_ls_can_look_closer(cli, root):
    lines = cli("ls", "--json", "--resolve", root).lines
    found = {line["name"]: (line["kind"], line["size"]) for line in lines if line["type"] == "entry"}
    assert found == {
        "empty": ("file", 0),
        "link": ("symlink", None),
        "new\nline": ("file", 1),
        "numbers": ("file", 2_400_000),
        "sub folder": ("directory", None),
    }
    assert lines[-1]["entries"] == 5
    assert "\tsub folder/\n" in cli("ls", "--resolve", root).out


def test_stat_says_what_it_is(cli, root):
    done = cli("stat", f"{root}/numbers")
    facts = dict(line.split("\t") for line in done.out.splitlines())
    assert (facts["kind"], facts["size"], facts["blocks"], facts["sharded"]) == ("file", "2400000", "3", "no")
    [_, link, _] = cli("stat", f"{root}/link", "--json").lines
    assert (link["kind"], link["target"]) == ("symlink", "numbers")


@pytest.mark.parametrize("verb", ["ls", "stat", "cat", "get"])
def test_what_is_not_there_is_not_found(cli, root, verb):
    done = cli(verb, f"{root}/nothing")
    assert (done.code, done.out) == (4, "")
    assert "'nothing'" in done.err
    assert cli(verb, MISSING).code == 4


# --- cat


def test_cat_writes_the_file(cli, root):
    done = cli("cat", f"{root}/sub folder/日本.txt")
    assert (done.code, done.out, done.err) == (0, "hello", "")
    assert cli("cat", f"{root}/sub folder/日本.txt", "--offset", 1, "--length", 3).out == "ell"
    assert cli("cat", f"{root}/empty").out == ""


def test_cat_in_json_is_base64(cli, root):
    lines = cli("cat", "--json", f"{root}/numbers").lines
    assert b"".join(base64.b64decode(line["base64"]) for line in lines if line["type"] == "data") == NUMBERS
    assert lines[-1]["bytes"] == len(NUMBERS)


def test_a_folder_cannot_be_written_to_stdout(cli, root):
    done = cli("cat", root)
    assert done.code == 1
    assert "directory" in done.err


# --- get


def check_tree(tree, found):
    assert sorted(path.name for path in found.iterdir()) == ["empty", "link", "new\nline", "numbers", "sub folder"]
    assert (found / "numbers").read_bytes() == NUMBERS
    assert (found / "link").readlink() == Path("numbers")
    assert (found / "sub folder" / "日本.txt").read_bytes() == b"hello"


def test_get_writes_what_the_store_has(cli, root, tree, home):
    done = cli("get", root)
    assert (done.code, done.out, done.err) == (0, "", f"Wrote {root}.\n")
    check_tree(tree, home / root)
    assert cli("get", f"{root}/numbers", "-q").err == ""
    assert (home / "numbers").read_bytes() == NUMBERS


def test_get_does_not_overwrite(cli, root, home):
    (home / "out").write_text("mine")
    assert cli("get", root, "-o", "out").code == 1
    assert (home / "out").read_text() == "mine"


def test_get_asks_peers(cli, tree, gateway, home):
    (good_root, good), (_, bad) = gateway(tree), gateway(tree, "fail:2")
    done = cli("get", "--json", good_root, "-o", "out", "--peer", bad, "--peer", good, "--limit", "seconds=60")
    check_tree(tree, home / "out")
    assert done.summary["size"] == 2_400_006
    assert done.summary["fetched_bytes"] >= 2_400_006
    assert cli("cat", f"{good_root}/sub folder/日本.txt").out == "hello", "what was fetched is kept"


def test_a_liar_alone_is_a_mismatch_and_leaves_nothing(cli, tree, gateway, home):
    root, liar = gateway(tree, "lie")
    done = cli("get", "--json", root, "-o", "out", "--peer", liar)
    assert done.code == 6
    assert done.lines[1]["type"] == "error"
    assert not list(home.iterdir())
    assert cli("stat", root).code == 4


def test_a_peer_that_is_not_there_is_temporary(cli):
    done = cli("get", MISSING, "--peer", "http://127.0.0.1:9")
    assert done.code == 5
    assert "127.0.0.1:9" in done.err


def test_a_peer_that_lacks_it_is_not_found(cli, tree, gateway):
    _, url = gateway(tree)
    assert cli("get", MISSING, "--peer", url).code == 4


def test_a_limit_is_a_limit(cli, tree, gateway, home):
    root, url = gateway(tree)
    done = cli("get", root, "-o", "out", "--peer", url, "--limit", "requests=3")
    assert done.code == 7
    assert "requests" in done.err
    assert not list(home.iterdir())


def test_secrets_in_addresses_are_not_told(cli):
    done = cli("-vv", "get", MISSING, "--peer", "http://user:hunter2@127.0.0.1:9")
    assert done.code == 5
    assert "hunter2" not in done.out + done.err


def test_verbose_tells_where_an_error_came_from(cli):
    assert "Traceback" in cli("-v", "get", MISSING).err
    assert "Traceback" not in cli("get", MISSING).err


# --- cid


def test_cid_show_takes_names_apart(cli):
    text = "QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n"
    [_, shown, inline, summary] = cli("cid", "show", "--json", text, "bafkqaaa").lines
    assert (shown["cid_version"], shown["codec"], shown["hash"], shown["bits"]) == (0, "dag-pb", "sha2-256", 256)
    assert shown["base32"] == "bafybeihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
    assert shown["v0"] == text
    assert (inline["hash"], "v0" in inline) == ("identity", False)
    assert (summary["shown"], summary["failed"]) == (2, 0)


def test_cid_show_as_text(cli):
    blocks = cli("cid", "show", "bafkqaaa", "bafkqaaa").out.split("\n\n")
    assert len(blocks) == 2
    assert blocks[0].splitlines()[:2] == ["cid\tbafkqaaa", "version\t1"]


def test_cid_show_goes_on_after_a_mistake(cli):
    done = cli("cid", "show", "hello", "bafkqaaa")
    assert done.code == 3
    assert "'hello' is no CID" in done.err


def test_an_empty_path_is_not_the_current_folder(cli):
    """As in ``add "$UNSET"``."""
    done = cli("add", "")
    assert done.code == 2
    assert "PATH is empty" in done.err
