"""What every verb does around its work: logs, the first and the last line, signals, the exit code."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager

import attrs

from sessionctx.cli import interrupt
from sessionctx.cli.exits import Exit
from sessionctx.cli.options import Settings
from sessionctx.cli.output import Output


@attrs.define
class Result:
    """How a verb ended, and what its summary says."""

    fields: dict[str, object] = attrs.field(factory=dict[str, object])
    exit: Exit = Exit.DONE


def perform(
    name: str,
    settings: Settings,
    work: Callable[[], Awaitable[Result | None]],
    *,
    on_term: Callable[[], None] | None = None,
) -> int:
    """Run *work* under trio as the verb *name*; returns the exit code."""
    output = settings.output
    output.begin(name)
    result = Result()

    async def main() -> None:
        nonlocal result
        result = await work() or result
        await output.flush()

    with _logging(output):
        interrupt.run(main, on_term=on_term)
    output.summary(ok=result.exit is Exit.DONE, exit=int(result.exit), **result.fields)
    return result.exit


@contextmanager
def _logging(output: Output) -> Generator[None]:
    """Send what sessionctx logs to stderr: with ``-v`` what it does, with ``-vv`` every detail."""
    logger, before = logging.getLogger("sessionctx"), logging.getLogger("sessionctx").level
    handler = logging.StreamHandler() if output.verbose else logging.NullHandler()
    handler.setFormatter(logging.Formatter("%(relativeCreated)6.0f %(levelname)s %(name)s: %(message)s"))
    if output.verbose:
        logger.setLevel(logging.INFO if output.verbose == 1 else logging.DEBUG)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
