"""The process that a line runs over: started, listened to, and gone when the line is, on whichever way that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

import attrs
import trio

from sessionctx.errors import PeerError, PeerFailed, StorageError, Unreachable
from sessionctx.storage.sftp import command
from sessionctx.storage.sftp.command import SshOptions
from sessionctx.storage.sftp.line import Line, Loss
from sessionctx.storage.sftp.target import Target

_ASKPASS: Final = Path(__file__).with_name("askpass.sh")
_SAID: Final = 16 * 1024
"""Bytes of what it says that are kept; the last ones."""
_GRACE: Final = 2.0
"""Seconds in which it may end by itself."""
_PIPE: Final = 1024 * 1024
"""Bytes of a pipe, where the system lets us choose: the fewer turns, the more bytes each moves."""
_SET_PIPE_SIZE: Final = 1031
"""F_SETPIPE_SZ of Linux."""


class Means(Protocol):
    """How a server is reached: a program whose input and output speak SFTP, and what its end means."""

    async def start(self) -> trio.Process:
        """Start it. :exc:`OSError`."""
        ...

    def reason(self, said: str, *, began: bool) -> tuple[type[PeerError | StorageError], str]:
        """Return why it ended after it *said* this."""
        ...


@attrs.frozen
class Ssh:
    """By ssh, to a server's subsystem ``sftp``."""

    target: Target
    options: SshOptions

    async def start(self) -> trio.Process:
        """Start ssh; a password goes into its environment."""
        argv = command.argv(self.target, self.options)
        return await _start(argv, await self._environment(argv))

    def reason(self, said: str, *, began: bool) -> tuple[type[PeerError | StorageError], str]:
        """Return what ssh means."""
        return command.reason(said, began=began)

    async def _environment(self, argv: Sequence[str]) -> Mapping[str, str]:
        environment = {**os.environ, "LC_ALL": "C"}  # handed on as it is; the messages are read
        if self.target.password is None:
            return environment
        asked = [argv[0], "-G", *argv[1:]]
        told = await trio.run_process(asked, capture_stdout=True, capture_stderr=True, check=False, env=environment)
        return environment | {
            "SSH_ASKPASS": str(_ASKPASS),
            "SSH_ASKPASS_REQUIRE": "force",
            "SESSIONCTX_SFTP_ACCOUNT": command.account(told.stdout.decode(errors="replace")),
            "SESSIONCTX_SFTP_PASSWORD": self.target.password,
        }


@attrs.frozen
class Program:
    """By a program that speaks SFTP itself, such as OpenSSH's ``sftp-server``."""

    argv: Sequence[str]

    async def start(self) -> trio.Process:
        """Start it."""
        return await _start(self.argv, None)

    def reason(self, said: str, *, began: bool) -> tuple[type[PeerError | StorageError], str]:
        """Return that it ended."""
        last = said.strip().rpartition("\n")[2][:200]
        what = f"ended ({self.argv[0]}: {last or 'said nothing'})"
        return (PeerFailed if began else Unreachable), what


async def _start(argv: Sequence[str], environment: Mapping[str, str] | None) -> trio.Process:
    process = await trio.lowlevel.open_process(
        list(argv),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        start_new_session=True,  # no terminal to ask at, and no Ctrl-C: it is needed to clean up
    )
    for stream in (process.stdin, process.stdout):
        _widen(stream)
    return process


def _widen(stream: object) -> None:
    """Let a pipe hold more."""
    if sys.platform == "linux" and isinstance(stream, trio.lowlevel.FdStream):
        import fcntl

        with suppress(OSError):  # beyond what this user may have
            fcntl.fcntl(stream.fileno(), _SET_PIPE_SIZE, _PIPE)


async def carry(line: Line, means: Means) -> None:
    """Carry *line* over a process until it is lost, or its scope is cancelled. The process is gone then."""
    with line.scope:
        try:
            process = await means.start()
        except OSError as error:
            line.lose(Loss(Unreachable, f"{line.peer} was not asked: {error.strerror}: {error.filename}", line.peer))
            return
        try:
            await _talk(line, means, process)
        finally:
            with trio.CancelScope(shield=True):
                await _end(process)
    line.lose(Loss(PeerFailed, f"{line.peer} is closed: its block was left", line.peer))


async def _talk(line: Line, means: Means, process: trio.Process) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    said = bytearray()
    with trio.CancelScope() as listening:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_listen, process, said)
            await line.run(process.stdin, process.stdout)
            await process.stdin.aclose()
            listening.deadline = trio.current_time() + _GRACE  # it has ended, or soon will: hear it out
    if line.loss is None:
        kind, what = means.reason(said.decode(errors="replace"), began=line.ready.is_set())
        line.lose(Loss(kind, f"{line.peer} {what}", line.peer))


async def _listen(process: trio.Process, said: bytearray) -> None:
    """Keep the last of what *process* says."""
    assert process.stderr is not None
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        while piece := await process.stderr.receive_some():
            said += piece
            del said[:-_SAID]


async def _end(process: trio.Process) -> None:
    """End *process*, and what it has started, and wait for it."""
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            await stream.aclose()
    for sent in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, sent)
        with trio.move_on_after(_GRACE):
            await process.wait()
            return
    await process.wait()
