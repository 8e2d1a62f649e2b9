"""Servers of others for the length of some tests: on a free port of this machine, stopped by their pid."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest


def free_port() -> int:
    """Return a port of this machine that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def program(name: str, package: str) -> str:
    """Return the path of a program that *package* brings; skip the test where it is not installed."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/local/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed (package {package})")
    return found


@contextmanager
def running(argv: list[str], *, port: int | None, log: Path, seconds: float = 30.0, **options):
    """Run *argv* until the end of the block, which begins when it listens on *port*; what it says goes to *log*."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            argv, stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True, **options
        )
    try:
        if port is not None:
            wait_for_port(port, process, log, seconds)
        yield process
    finally:
        _end(process)


def wait_for_port(port: int, process: subprocess.Popen[bytes], log: Path, seconds: float) -> None:
    """Return when something listens on *port*."""
    until = time.monotonic() + seconds
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        said = log.read_text(errors="replace")[-2000:]
        if process.poll() is not None:
            pytest.fail(f"{process.args} ended with {process.returncode}: {said}")
        if time.monotonic() > until:
            pytest.fail(f"{process.args} does not listen on {port} after {seconds} s: {said}")
        time.sleep(0.02)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
