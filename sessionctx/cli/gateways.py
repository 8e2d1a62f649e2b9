"""The demo's gateways: processes of their own, on loopback, over one store."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import attrs
import trio

import sessionctx
from sessionctx.errors import SessionctxError

KINDS = {"lying": "lie", "good": "", "slow": "slow:3MiB", "failing": "fail:3"}
"""The gateways, and what is wrong with each (see `sessionctx.testing.faults.parse`). The liar is asked first."""

_START = 60.0


@attrs.frozen
class Gateway:
    """A gateway that runs."""

    kind: str
    url: str
    pid: int


async def start(kind: str, store: Path, nursery: trio.Nursery) -> Gateway:
    """Start a gateway over *store* in a process of its own; cancelling *nursery* ends it.

    Raises:
        SessionctxError: it did not start; the message says what it said.
    """
    log = store.with_name(f"{kind}.log")
    with log.open("wb") as words:
        process = await trio.lowlevel.open_process(
            _command(kind, store),
            stdin=subprocess.PIPE,  # it ends when this closes, whatever becomes of us
            stdout=subprocess.PIPE,
            stderr=words,
            start_new_session=True,  # Ctrl-C is for us; we end it
            env={**os.environ, "PYTHONPATH": _python_path(), "PYTHONDONTWRITEBYTECODE": "1"},
        )
    nursery.start_soon(_until_cancelled, process)
    assert process.stdout is not None
    line = b""
    with trio.move_on_after(_START):
        while not line.endswith(b"\n") and (more := await process.stdout.receive_some()):
            line += more
    if not line.endswith(b"\n"):
        raise SessionctxError(f"the {kind} gateway did not start: {_last_words(log)}")
    return Gateway(kind, line.decode().strip(), process.pid)


def _command(kind: str, store: Path) -> list[str]:
    fault = ["--fault", KINDS[kind]] if KINDS[kind] else []
    verb = ["serve", "--store", os.fspath(store), "--listen", "127.0.0.1:0", "--while-stdin-is-open", *fault]
    return [sys.executable, "-P", "-m", "sessionctx", *verb]


def _python_path() -> str:
    """Where this very package is found, installed or not."""
    here = Path(sessionctx.__file__).parent.parent
    return os.pathsep.join([str(here), *filter(None, [os.environ.get("PYTHONPATH")])])


async def _until_cancelled(process: trio.Process) -> None:
    """Keep the process, and end it for sure."""
    try:
        await trio.sleep_forever()
    finally:
        with trio.CancelScope(shield=True):
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    await trio.aclose_forcefully(stream)


def _last_words(log: Path) -> str:
    return log.read_text(errors="replace").strip()[-1000:] or "it said nothing"
