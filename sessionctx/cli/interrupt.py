"""Run a verb so that Ctrl-C and SIGTERM stop it at once and leave nothing half-written."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Awaitable, Callable

import trio

from sessionctx.cli.exits import Exit

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(Exception):
    """A signal stopped the verb; *code* is what the process ends with."""

    def __init__(self, code: Exit) -> None:
        super().__init__("interrupted" if code is Exit.INTERRUPTED else "terminated")
        self.code = code


def run(verb: Callable[[], Awaitable[None]], *, on_term: Callable[[], None] | None = None) -> None:
    """Run *verb* under trio; on a signal cancel it, and raise `Interrupted` when it has cleaned up.

    At a first SIGTERM, *on_term* is called instead of cancelling, so that a server may finish what it is sending.
    """

    async def main() -> None:
        failure: Exception | None = None
        stopped: list[Exit] = []
        with trio.open_signal_receiver(*_SIGNALS) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_watch, signals, stopped, nursery.cancel_scope, on_term)
                try:
                    await verb()
                except Exception as error:  # noqa: BLE001 - raised again below, outside the nursery, which would wrap it
                    failure = error
                nursery.cancel_scope.cancel()
        if stopped:
            raise Interrupted(stopped[0]) from failure
        if failure is not None:
            raise failure

    trio.run(main)


async def _watch(
    signals: AsyncIterator[int], stopped: list[Exit], scope: trio.CancelScope, on_term: Callable[[], None] | None
) -> None:
    async for number in signals:
        stopped.append(Exit.INTERRUPTED if number == signal.SIGINT else Exit.TERMINATED)
        if number == signal.SIGTERM and on_term is not None:
            on_term()
            on_term = None
        else:
            scope.cancel()
