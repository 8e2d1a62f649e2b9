"""``cp`` between all kinds of places, and ``ls`` of a storage: what they say, leave, and end with."""

from __future__ import annotations

import os
import signal
import time

import pytest

from sessionctx.cli.place import place, split
from tests.storage.nginx import nginx

SECRET = "s3cr3t"


@pytest.fixture
def tree(home):
    for path, data in {"a": b"1", "b/c": b"22", "b/d e": b"333"}.items():
        (home / "tree" / path).parent.mkdir(parents=True, exist_ok=True)
        (home / "tree" / path).write_bytes(data)
    return home / "tree"


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_file_is_copied_to_a_name_or_into_a_folder(cli, tree, home):
    assert cli("cp", "tree/a", "copy").code == 0
    (home / "folder").mkdir()
    assert cli("cp", tree / "a", "folder").code == 0
    assert cli("cp", f"file://{tree}/b/d%20e", "new/").code == 0
    assert cli("cp", "tree/a", f"file://{home}/folder/x/y").code == 0
    assert (
        (home / "copy").read_bytes() == (home / "folder/a").read_bytes() == (home / "folder/x/y").read_bytes() == b"1"
    )
    assert (home / "new/d e").read_bytes() == b"333"


def test_a_folder_is_copied_and_again_only_what_is_new(cli, tree, home):
    assert cli("cp", "tree", "copy").code == 1
    done = cli("cp", "-r", "tree", "copy")
    assert (done.code, done.out) == (0, "")
    assert "Copied 3 files (6 bytes)" in done.err
    assert files(home / "copy") == files(tree)
    (tree / "a").write_bytes(b"new!")
    summary = cli("cp", "-r", "--resume", "--json", "tree", "copy/").summary
    assert (summary["succeeded"], summary["skipped"], summary["failed"], summary["bytes"]) == (1, 2, 0, 4)
    assert files(home / "copy") == files(tree)


def test_a_dry_run_says_what_it_would_do(cli, tree, home):
    done = cli("cp", "-r", "--dry-run", "tree", "copy")
    assert sorted(done.out.splitlines()) == [
        f"1\tfile://{home}/copy/a",
        f"2\tfile://{home}/copy/b/c",
        f"3\tfile://{home}/copy/b/d e",
    ]
    assert not (home / "copy").exists()


def test_what_fails_is_told_and_the_rest_is_copied(cli, tree, home):
    (home / "copy/a").mkdir(parents=True)
    done = cli("cp", "-r", "--json", "tree", "copy")
    assert done.code == 3
    by_path = {line["path"]: line for line in done.lines if line["type"] == "copy"}
    assert {path: line["what"] for path, line in by_path.items()} == {"a": "failed", "b/c": "copied", "b/d e": "copied"}
    assert by_path["a"]["error"] == "FileExists"
    assert "is a folder" in done.err
    assert cli("cp", "-r", "--stop", "tree", "copy").code == 1
    assert cli("cp", "absent", "copy").code == 4


def test_links_are_skipped_or_followed(cli, tree, home):
    (tree / "link").symlink_to("a")
    done = cli("cp", "-r", "tree", "copy")
    assert "Skipped link: a symbolic link." in done.err
    assert not (home / "copy/link").exists()
    assert cli("cp", "-r", "--follow", "tree", "copy").code == 0
    assert (home / "copy/link").read_bytes() == b"1"


def test_a_web_server_is_copied_from_and_listed(cli, tree, home, tmp_path):
    with nginx(tree, tmp_path / "work") as port:
        url = f"http://user:{SECRET}@127.0.0.1:{port}"
        listed = cli("ls", f"{url}/", "-r")
        assert cli("cp", f"{url}/b/d%20e", ".").code == 0
        assert cli("cp", "-r", f"{url}/", "copy").code == 0
        again = cli("cp", "-r", "--resume", f"{url}/", "copy")
        missing, refused = cli("cp", f"{url}/absent", "."), cli("cp", "tree/a", f"{url}/new")
    assert [line.split("\t")[0::2] for line in sorted(listed.out.splitlines())] == [
        ["-", "b/"],
        ["1", "a"],
        ["2", "b/c"],
        ["3", "b/d e"],
    ]
    assert files(home / "copy") == files(tree)
    assert (home / "d e").read_bytes() == b"333"
    assert "skipped 3" in again.err
    assert (missing.code, refused.code) == (4, 1)
    for done in (listed, again, missing, refused):
        assert SECRET not in done.out + done.err


def test_a_cid_is_a_source(cli, tree, home):
    cid = cli("add", "-q", "tree").out.split()[0]
    assert cli("cp", f"ipfs://{cid}/b/d%20e", "got").code == 0
    assert (home / "got").read_bytes() == b"333"
    assert cli("cp", "-r", f"ipfs://{cid}", f"file://{home}/copy/").code == 0
    assert files(home / "copy") == files(tree)
    assert cli("cp", f"ipfs://{cid}/a", "copy/b/").code == 0
    assert (home / "copy/b/a").read_bytes() == b"1"
    assert cli("cp", f"ipfs://{cid}/absent", "x").code == 4
    assert cli("cp", "tree/a", f"ipfs://{cid}").code == 2


def test_a_storage_is_listed(cli, tree, home):
    os.utime(tree / "a", (0, 1e9))
    done = cli("ls", f"file://{tree}")
    assert sorted(line.split("\t")[2] for line in done.out.splitlines()) == ["a", "b/"]
    assert "1\t2001-09-09T01:46:40Z\ta" in done.out
    lines = cli("ls", "--json", f"file://{tree}/").lines
    (entry,) = (line for line in lines if line["type"] == "entry" and line["kind"] == "file")
    assert (entry["path"], entry["size"], entry["modified"]) == ("a", 1, 1e9)
    assert cli("ls", f"file://{tree}/a").out.endswith("\ta\n")
    assert cli("ls", f"file://{tree}/absent").code == 4


def test_what_cannot_be_looked_at_is_told(cli, tree):
    (tree / os.fsdecode(b"bad\xff")).write_bytes(b"")
    done = cli("ls", f"file://{tree}/")
    assert done.code == 3
    assert "not Unicode" in done.err
    assert "bad\\udcff" in done.out


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["cp", "", "x"], 2),
        (["cp", f"nothing://u:{SECRET}@host/x", "x"], 2),
        (["cp", f"http://u:{SECRET}@host:bad/x", "x"], 2),
        (["ls", f"nothing://u:{SECRET}@host/x"], 2),
        (["ls", "bafy", "-r"], 2),
        (["cp", "ipfs://nothing", "x"], 2),
    ],
)
def test_what_is_no_place_is_refused_and_shows_no_secret(cli, arguments, code):
    done = cli(*arguments)
    assert done.code == code
    assert SECRET not in done.out + done.err
    assert SECRET not in repr(place("x"))


def test_urls_are_split_into_a_storage_and_a_path():
    assert split("s3://bucket/a/b%20c") == ("s3://bucket/a", "b c")
    assert split("s3://bucket/key") == ("s3://bucket", "key")
    assert split("s3://bucket/folder/") == ("s3://bucket/folder/", "")
    assert split("s3://bucket") == ("s3://bucket", "")
    assert split("s3://bucket/a/b?endpoint=http://host/x") == ("s3://bucket/a?endpoint=http://host/x", "b")
    assert split("s3://bucket/a/?region=x") == ("s3://bucket/a/?region=x", "")
    assert split("file:///x") == ("file:///", "x")
    assert split("file:///x/y") == ("file:///x", "y")
    assert split("smb://host/share") == ("smb://host/share", "")
    assert split("smb://host/share/x") == ("smb://host/share", "x")
    assert split("sftp://me:pw@host/x") == ("sftp://me:pw@host", "x")


def test_ctrl_c_leaves_nothing_half_written(command, home, tmp_path):
    (tmp_path / "root").mkdir()
    data = os.urandom(20_000_000)
    (tmp_path / "root/file").write_bytes(data)
    (home / "to").mkdir()
    with nginx(tmp_path / "root", tmp_path / "work", "limit_rate 1m;") as port:
        with command("cp", f"http://127.0.0.1:{port}/file", "to/") as process:
            while not list((home / "to").iterdir()):
                assert process.poll() is None
                time.sleep(0.02)
            time.sleep(0.5)
            process.send_signal(signal.SIGINT)
            process.wait(10)
    assert process.returncode == 130
    assert list((home / "to").iterdir()) == []
