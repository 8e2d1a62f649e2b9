"""The command line as a process: signals, pipes, the server, the demo."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
import trio

from sessionctx.cli import gateways
from sessionctx.cli.compare import compare
from sessionctx.errors import SessionctxError


def stop(process, number=signal.SIGINT):
    """Send a signal; returns the exit code and the seconds it took."""
    before = time.monotonic()
    process.send_signal(number)
    process.wait(10)
    return process.returncode, time.monotonic() - before


def until(condition, seconds=20):
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.02)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_a_download_at_once_and_leaves_nothing(command, tree, gateway, home, tmp_path, number, code):
    root, url = gateway(tree, "stall:200000")
    with command("get", root, "-o", "out", "--peer", url, "--store", tmp_path / "st") as process:
        until(lambda: list(home.iterdir()))  # it has begun to write
        returned, seconds = stop(process, number)
        out, err = process.communicate()
    assert (returned, out) == (code, "")
    assert err == f"sessionctx: {'interrupted' if code == 130 else 'terminated'}\n"
    assert seconds < 1  # 0.1 s is the aim, and met by a machine that has nothing else to do
    assert not list(home.iterdir())
    [(verdict,)] = sqlite3.connect(next((tmp_path / "st").glob("*.sqlite3"))).execute("PRAGMA integrity_check")
    assert verdict == "ok"


def test_an_interrupt_has_a_summary_too(command, tree, gateway, home):
    root, url = gateway(tree, "stall:200000")
    with command("get", "--json", root, "-o", "out", "--peer", url) as process:
        until(lambda: list(home.iterdir()))
        stop(process)
        out, _ = process.communicate()
    assert json.loads(out.splitlines()[-1]) == {"type": "summary", "ok": False, "exit": 130}


def test_a_reader_that_goes_away_is_no_drama(command, root):
    with command("cat", f"{root}/numbers", stdout=subprocess.PIPE, text=False) as process:
        process.stdout.read(10)
        process.stdout.close()
        assert process.wait(20) == 141
        assert process.stderr.read() == b""


def test_serve_prints_its_url_and_answers_until_it_is_stopped(command, root):
    with command("serve", "-q") as process:
        url = process.stdout.readline().strip()
        assert httpx.get(f"{url}/ipfs/{root}?format=raw").status_code == 200
        assert httpx.get(f"{url}/ipfs/{root}/sub%20folder?format=car").status_code == 200
        assert stop(process, signal.SIGTERM)[0] == 143
        assert process.communicate() == ("", "sessionctx: terminated\n")


def alive(folder):
    """Whether a process runs, by its folder in /proc; it may be dead and nobody has asked for its exit code yet."""
    try:
        return (folder / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def workers_of(process, count):
    """The folders in /proc of the workers, once they are there."""
    found = []

    def begun():
        listed = Path(f"/proc/{process.pid}/task").glob("*/children")  # of each thread
        folders = [Path("/proc", pid) for file in listed for pid in file.read_text().split()]
        found[:] = [folder for folder in folders if b"--inherit" in (folder / "cmdline").read_bytes()]
        return len(found) == count

    until(begun)
    return found


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks at processes through /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_workers_serve_from_one_socket_and_end_with_the_first(command, root, number):
    with command("serve", "-q", "--workers", "3") as process:
        url = process.stdout.readline().strip()
        workers = workers_of(process, 2)
        assert all(httpx.get(f"{url}/ipfs/{root}?format=raw").status_code == 200 for _ in range(8))
        assert stop(process, number)[0] == {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGKILL: -9}[number]
        told = {
            signal.SIGTERM: "sessionctx: terminated\n",
            signal.SIGINT: "sessionctx: interrupted\n",
            signal.SIGKILL: "",
        }
        assert process.communicate() == ("", told[number])
    until(lambda: not any(alive(worker) for worker in workers))
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks at processes through /proc")
def test_workers_answer_when_the_first_process_does_not(command, root):
    with command("serve", "--workers", "2", stderr=subprocess.DEVNULL) as process:
        url = process.stdout.readline().strip()
        workers_of(process, 1)
        process.send_signal(signal.SIGSTOP)
        try:
            assert httpx.get(f"{url}/ipfs/{root}?format=raw", timeout=20).status_code == 200
        finally:
            process.send_signal(signal.SIGCONT)
            stop(process)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks at processes through /proc")
def test_a_worker_that_dies_ends_the_server_and_is_told_of(command, root):
    with command("serve", "--workers", "2") as process:
        process.stdout.readline()
        [worker] = workers_of(process, 1)
        os.kill(int(worker.name), signal.SIGKILL)
        assert process.wait(10) != 0
        assert "a worker ended by itself (exit code -9)" in process.stderr.read()


def test_serve_fetches_if_it_is_given_peers_and_misbehaves_if_it_is_told_to(command, tree, gateway):
    root, url = gateway(tree)
    with command(
        "serve", "--json", "--peer", url, "--fault", "fail:2", "--while-stdin-is-open", stdin=subprocess.PIPE
    ) as process:
        [begin, listening] = [json.loads(process.stdout.readline()) for _ in range(2)]
        assert (begin["type"], listening["type"]) == ("begin", "listening")
        asked = [httpx.get(f"{listening['url']}/ipfs/{root}?format=raw").status_code for _ in range(4)]
        assert asked == [200, 500, 200, 500]
        process.stdin.close()
        assert process.wait(10) == 0
        assert json.loads(process.stdout.read()) == {"type": "summary", "ok": True, "exit": 0}


# --- the demo


def demo(command, *arguments):
    with command("demo", "--json", *arguments) as process:
        out, err = process.communicate(timeout=60)
    lines = [json.loads(line) for line in out.splitlines()]
    return process.returncode, lines, err


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """A place for temporary files of our own, which must be empty at the end."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    yield
    assert not list((tmp_path / "tmp").iterdir())


def test_the_demo_fetches_a_tree_back_and_finds_the_liar_out(command, tree):
    code, lines, err = demo(command, tree)
    summary = lines[-1]
    assert (code, summary["type"], summary["ok"]) == (0, "summary", True)
    assert (summary["files"], summary["size"], summary["bad_blocks"]) == (5, 2_400_027, 0)
    assert summary["root"].startswith("bafy")
    assert summary["duplicate_bytes"] > 0
    assert summary["seconds"] > 0
    assert [peer["kind"] for peer in summary["peers"]] == ["lying", "good", "slow", "failing"]
    liar = summary["peers"][0]
    assert (liar["lied"], liar["found"], liar["state"]) == (1, 0, "banned")
    assert [line["kind"] for line in lines if line["type"] == "gateway"] == list(gateways.KINDS)
    assert "Fetching bafy" in err


def test_the_demo_works_on_next_to_nothing(command, tmp_path):
    (tmp_path / "nothing").write_bytes(b"")
    code, lines, _ = demo(command, tmp_path / "nothing")
    assert (code, lines[-1]["files"], lines[-1]["size"]) == (0, 1, 0)
    assert lines[-1]["peers"][0]["state"] == "banned"


def test_the_demo_shares_this_project_and_shows_its_peers_live(command, temporary, terminal):
    with command("demo", stderr=terminal.end) as process:
        out, _ = process.communicate(timeout=60)
    shown = terminal.read()
    assert process.returncode == 0, shown
    assert "every byte is the same" in out
    assert [line.split()[0] for line in out.splitlines()[7:11]] == ["lying", "good", "slow", "failing"]
    assert "adding" in shown
    assert shown.count("throughput") > 1


def test_progress_is_for_terminals_and_can_be_turned_off(command, tree, tmp_path, terminal):
    for more in (["--no-progress"], ["-q"]):
        with command("add", tree / "numbers", *more, stderr=terminal.end) as process:
            process.communicate(timeout=60)
    assert terminal.read() == ""


class Terminal:
    """A terminal that nobody looks at, yet."""

    def __init__(self):
        self._master, self.end = os.openpty()
        self._said = []
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self):
        with contextlib.suppress(OSError):  # raised at the end, when nobody has the other end open
            while data := os.read(self._master, 65536):
                self._said.append(data)

    def read(self):
        """All that was said."""
        os.close(self.end)
        self._thread.join(10)
        os.close(self._master)
        return b"".join(self._said).decode()


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    return Terminal()


def test_the_demo_stops_with_all_its_gateways(command, tree):
    with command("demo", tree) as process:
        until(lambda: _children(process.pid))
        children = _children(process.pid)
        assert stop(process)[0] == 130
        until(lambda: not any(Path(f"/proc/{child}").exists() for child in children), 5)


def _children(pid):
    tasks = Path(f"/proc/{pid}/task")
    if not tasks.exists():
        pytest.skip("no /proc here")
    return [child for task in tasks.iterdir() for child in (task / "children").read_text().split()]


def test_the_demo_refuses_to_share_the_place_where_it_works(command, tmp_path, temporary):
    code, lines, err = demo(command, tmp_path)
    assert (code, lines[-1]["type"]) == (2, "summary")
    assert "set TMPDIR" in err


async def test_a_gateway_that_does_not_start_says_why(tmp_path, nursery):
    (tmp_path / "store").write_text("no store")
    with pytest.raises(SessionctxError, match=r"good gateway did not start: .*store"):
        await gateways.start("good", tmp_path / "store", nursery)
    nursery.cancel_scope.cancel()


# --- comparing


def _compared(expected, found):
    async def main():
        return await trio.to_thread.run_sync(compare, expected, found)

    return trio.run(main)


@pytest.fixture
def copy(tree, tmp_path):
    subprocess.run(["cp", "-a", tree, tmp_path / "copy"], check=True)
    return tmp_path / "copy"


def test_a_copy_is_equal(tree, copy):
    result = _compared(tree, copy)
    assert result.equal
    assert (result.files, result.folders, result.symlinks, result.size) == (5, 2, 1, 2_400_027)


def _flip(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def _relink(path):
    path.unlink()
    path.symlink_to("elsewhere")


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("numbers", _flip, "has other bytes after 2097152 bytes"),
        ("numbers", lambda path: os.truncate(path, 5), "has other bytes after 0 bytes"),
        ("sub folder/日本.txt", os.unlink, "is missing"),
        ("extra", lambda path: path.write_bytes(b""), "is too much"),
        ("link", _relink, "points to 'elsewhere', not to 'numbers'"),
        ("empty", lambda path: (path.unlink(), path.mkdir()), "is a folder, not a file"),
    ],
)
def test_any_difference_is_found(tree, copy, name, change, says):
    change(copy / name)
    [difference] = _compared(tree, copy).differences
    assert says in difference
    assert repr(str(copy / name)) in difference


def test_special_files_are_compared_by_kind(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_bytes(b"")
    assert _compared(tmp_path / "file", tmp_path / "pipe").differences[0].endswith("is a special file, not a file")


def test_python_m_sessionctx_is_the_command(home):
    done = subprocess.run(
        [sys.executable, "-m", "sessionctx", "cid", "show", "bafkqaaa"], capture_output=True, check=True
    )
    assert done.stdout.startswith(b"cid\tbafkqaaa\n")
