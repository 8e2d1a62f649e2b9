"""More processes that serve what one does: they accept from its sockets, and end with it however it ends."""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import suppress

import attrs
import trio

from sessionctx.errors import SessionctxError


@attrs.frozen(eq=False)
class Team:
    """The processes that serve from the same sockets; this one is the first of them."""

    socks: list[socket.socket]
    count: int
    words: list[str]
    """The command line of the others."""
    stop: trio.Event
    """Asks all of them to end gently."""

    async def run(self) -> None:
        """Run the others until *stop*, and then until they have finished; if cancelled, end them at once.

        Raises:
            SessionctxError: one ended by itself.
        """
        async with trio.open_nursery() as nursery:
            for _ in range(self.count - 1):
                nursery.start_soon(self._work)

    async def _work(self) -> None:
        """Run one. It ends gently when its stdin is closed, which the system does even if this process is killed."""
        shared = [sock.fileno() for sock in self.socks]
        inherit = [word for number in shared for word in ("--inherit", str(number))]
        process = await trio.lowlevel.open_process(
            [sys.executable, "-P", "-m", "sessionctx", *self.words, *inherit, "--while-stdin-is-open"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=shared,
            start_new_session=True,  # Ctrl-C is for this process, which ends that one
        )
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._ask_to_end, process)
                await process.wait()
                nursery.cancel_scope.cancel()
            if not self.stop.is_set():
                raise SessionctxError(f"a worker ended by itself (exit code {process.returncode}); start serving again")
        finally:
            with trio.CancelScope(shield=True):
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
                await _hang_up(process)

    async def _ask_to_end(self, process: trio.Process) -> None:
        await self.stop.wait()
        await _hang_up(process)


async def _hang_up(process: trio.Process) -> None:
    if process.stdin is not None:
        await trio.aclose_forcefully(process.stdin)
