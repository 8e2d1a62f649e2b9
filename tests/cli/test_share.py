"""The verbs share and load: from one service to another, over HTTP, from the command line."""

from __future__ import annotations

import hashlib
import random
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]
DATA = random.Random(9).randbytes(2_500_000)
DIGEST = f"sha256:{hashlib.sha256(DATA).hexdigest()}"


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.bin"
    path.write_bytes(DATA)
    return path


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The URL of a process that shares ``model 7``."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "model.bin").write_bytes(DATA)
    words = ["share", "-q", "model 7", str(folder / "model.bin"), "--store", str(folder), "--listen", "127.0.0.1:0"]
    argv = [sys.executable, "-W", "error", "-m", "sessionctx", *words]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout.readline() == f"{DIGEST}\n"
        yield process.stdout.readline().strip()
        process.send_signal(signal.SIGTERM)
        assert process.communicate() == ("", "sessionctx: terminated\n")


def test_share_keeps_a_file_and_says_its_digest(cli, model, tmp_path):
    store = tmp_path / "store"
    done = cli("share", "x", model, "--store", store)
    assert (done.code, done.out, done.err) == (0, f"{DIGEST}\n", "")
    assert (store / "blobs/x").read_bytes() == DATA
    [_, blob, summary] = cli("share", "x", model, "--store", f"file://{store}", "--json").lines
    assert (blob["id"], blob["size"], blob["digest"]) == ("x", len(DATA), DIGEST)
    assert (summary["digest"], summary["ok"]) == (DIGEST, True)
    model.write_bytes(b"other")
    done = cli("share", "x", model, "--store", store)
    assert done.code == 1
    assert "is shared as 'x', and not sha256:" in done.err
    assert cli("share", "y", model, "--store", store, "--expect", DIGEST).code == 6
    assert not (store / "blobs/y").exists()
    assert cli("share", "y", tmp_path / "absent", "--store", store).code == 1


def test_share_reads_stdin(command, tmp_path):
    with command("share", "x", "-", "--store", tmp_path / "store", stdin=subprocess.PIPE, text=False) as process:
        out, err = process.communicate(DATA)
    assert (out, err) == (f"{DIGEST}\n".encode(), b"")


def test_a_blob_goes_from_one_to_another(cli, served, home):
    url = served
    done = cli("load", "model 7", "--from", url)
    assert (done.code, done.out, done.err) == (0, "", "Wrote model 7.\n")
    assert (home / "model 7").read_bytes() == DATA
    assert [path.name for path in home.iterdir()] == ["model 7"]
    summary = cli("load", "model 7", "--from", url, "-o", "copy", "--expect", DIGEST, "--json").summary
    assert (summary["digest"], summary["size"], summary["fetched_bytes"]) == (DIGEST, len(DATA), len(DATA))
    assert (summary["retries"], summary["path"]) == (0, "copy")
    done = cli("load", "model 7", "--from", url)
    assert done.code == 1
    assert "exists already" in done.err


def test_load_keeps_a_copy_in_a_store_that_is_named(cli, served, home, tmp_path):
    url = served
    assert cli("load", "model 7", "--from", url, "-o", "a", "--store", tmp_path / "mine").code == 0
    assert cli("load", "model 7", "--from", "http://127.0.0.1:1", "-o", "b", "--store", tmp_path / "mine").code == 0
    assert (home / "a").read_bytes() == (home / "b").read_bytes() == DATA
    assert (tmp_path / "mine/blobs/model 7").exists()


def test_load_writes_to_stdout(command, served, home):
    url = served
    with command("load", "model 7", "--from", url, "-o", "-", text=False) as process:
        assert process.communicate() == (DATA, b"")
    assert list(home.iterdir()) == []


def test_what_load_says_when_it_does_not_come(cli, served, home):
    url = served
    assert cli("load", "absent", "--from", url).code == 4
    assert cli("load", "x", "--from", "http://127.0.0.1:1", "--tries", "1").code == 5
    assert cli("load", "model 7", "--from", url, "--expect", "0" * 64).code == 4, "it says that it has another one"
    assert cli("load", "model 7", "--from", url, "-o", "no/such/folder").code == 1
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["share"],
        ["share", "../x", "file"],
        ["share", "http://a.example/x", "file"],
        ["share", "x", "file", "--expect", "md5:0"],
        ["share", "x", "file", "--listen", "8080"],
        ["load", "x"],
        ["load", "a/b", "--from", "http://a.example"],
        ["load", "x", "--from", "nonsense"],
        ["load", "x", "--from", "http://a.example", "--expect", "nonsense"],
        ["load", "x", "--from", "http://a.example", "--tries", "0"],
    ],
)
def test_a_wrong_command_line_is_a_usage_error(cli, arguments, home):
    done = cli(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err
    assert list(home.iterdir()) == []


def test_serve_gives_what_was_shared(cli, command, model, tmp_path):
    cli("share", "x", model, "--store", tmp_path / "store")
    with command("serve", "-q", "--store", tmp_path / "store") as process:
        url = process.stdout.readline().strip()
        answer = httpx.get(f"{url}/blobs/x")
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (200, DATA, f'"{DIGEST}"')
        assert httpx.get(f"{url}/ipfs/bafkqaaa?format=raw").status_code == 200
        process.send_signal(signal.SIGTERM)
        process.communicate()
        assert process.returncode == 143


def test_an_interrupted_load_leaves_nothing(command, home):
    with silent() as url, command("load", "x", "--from", url) as process:
        until(lambda: list(home.iterdir()))
        process.send_signal(signal.SIGINT)
        process.communicate()
    assert process.returncode == 130
    assert list(home.iterdir()) == []


def until(condition):
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@contextmanager
def silent():
    """A server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
