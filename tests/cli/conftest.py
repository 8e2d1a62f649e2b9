"""What the tests of the command line share: a way to run it, a store with something in it, and gateways."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import attrs
import pytest
import trio

from sessionctx import Node, serve
from sessionctx.cli.app import run
from sessionctx.testing import faults

ROOT = Path(__file__).resolve().parents[2]


@attrs.frozen
class Done:
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict]:
        """stdout as JSON Lines, with what is true of all of them checked."""
        lines = [json.loads(line) for line in self.out.splitlines()]
        assert all("type" in line for line in lines)
        assert [line["version"] for line in lines if "version" in line] == [1]
        assert lines[0]["type"] == "begin"
        assert [line["type"] for line in lines].count("summary") == 1
        assert lines[-1]["type"] == "summary"
        assert lines[-1]["exit"] == self.code
        assert lines[-1]["ok"] is (self.code == 0)
        return lines

    @property
    def summary(self) -> dict:
        return self.lines[-1]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """An environment of our own, and an empty folder to be in."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SESSIONCTX_STORE", raising=False)
    return here


@pytest.fixture
def cli(capfd):
    """Run a command line in this process."""

    def go(*arguments) -> Done:
        capfd.readouterr()
        code = run([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return Done(code, captured.out, captured.err)

    return go


@pytest.fixture
def command():
    """The arguments and keywords that start a command line in a process of its own."""

    def start(*arguments, **kwargs) -> subprocess.Popen:
        kwargs = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | kwargs
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
        words = [sys.executable, "-m", "sessionctx", *map(str, arguments)]
        return subprocess.Popen(words, env=environment, **kwargs)

    return start


@pytest.fixture(scope="session")
def tree(tmp_path_factory):
    """A folder to share; not to be changed."""
    top = tmp_path_factory.mktemp("shared") / "tree"
    (top / "sub folder").mkdir(parents=True)
    (top / "sub folder" / "日本.txt").write_bytes(b"hello")
    (top / "numbers").write_bytes(b"".join(n.to_bytes(4, "big") for n in range(600_000)))
    (top / "empty").write_bytes(b"")
    (top / "link").symlink_to("numbers")
    (top / "new\nline").write_bytes(b"!")
    (top / ".hidden").write_bytes(b"not shared by default")
    return top


@pytest.fixture(scope="session")
def prepared(tree, tmp_path_factory):
    """A store with the tree in it, and the root."""
    store = tmp_path_factory.mktemp("prepared") / "store"

    async def main():
        async with Node.open(store) as node:
            return str((await node.files.add(tree)).cid)

    return store, trio.run(main)


@pytest.fixture
def root(prepared, monkeypatch):
    """The root of the tree, in a store which the environment names; not to be added to."""
    store, root = prepared
    monkeypatch.setenv("SESSIONCTX_STORE", str(store))
    return root


@pytest.fixture
def gateway():
    """Serve a tree from a thread of its own; gives its root and its URL."""
    threads = []

    def start(tree, fault=None):
        ready: list[tuple[str, str]] = []
        began, token, stop = threading.Event(), [], trio.Event()

        async def main():
            token.append(trio.lowlevel.current_trio_token())
            async with Node.open() as node:
                root = str((await node.files.add(tree)).cid)
                app = serve.gateway(node.store)
                app = app if fault is None else faults.parse(fault)(app)
                async with trio.open_nursery() as nursery:
                    url = await nursery.start(functools.partial(serve.run, app, stop=stop, grace=0))
                    ready.append((root, url))
                    began.set()

        thread = threading.Thread(target=trio.run, args=(main,))
        thread.start()
        threads.append((thread, token, stop))
        assert began.wait(10)
        return ready[0]

    yield start
    for thread, token, stop in threads:
        token[0].run_sync_soon(stop.set)
        thread.join(10)
        assert not thread.is_alive()
