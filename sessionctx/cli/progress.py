"""Live progress on stderr, for people: a bar that moves, or nothing where nobody looks."""

from __future__ import annotations

import os
import sys
from types import TracebackType
from typing import TYPE_CHECKING, Self

import attrs

from sessionctx.cli.output import Output, printable

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

    from sessionctx.dag import Progress


def is_live(output: Output) -> bool:
    """Whether there is a person to show progress to: a terminal, no ``-q``, no ``--no-progress``, no ``CI``."""
    return output.progress and not output.quiet and "CI" not in os.environ and sys.stderr.isatty()


@attrs.define(eq=False)
class Bar:
    """A line that says how far something is: ``with Bar(output, "adding") as bar: ... add(..., progress=bar.show)``."""

    _output: Output
    _label: str
    _total: int | None = None
    _progress: RichProgress | None = attrs.field(default=None, init=False)
    _task: TaskID | None = attrs.field(default=None, init=False)

    def __enter__(self) -> Self:
        if is_live(self._output):
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                DownloadColumn,
                Progress,
                SpinnerColumn,
                TextColumn,
                TransferSpeedColumn,
            )

            self._progress = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                DownloadColumn(binary_units=True),
                TransferSpeedColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._task = self._progress.add_task(printable(self._label), total=self._total)
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def show(self, done: Progress) -> None:
        """So much is *done* so far."""
        if self._progress is not None and self._task is not None:
            label = f"{self._label}: {done.files} files" if done.files > 1 else self._label
            self._progress.update(
                self._task, completed=done.bytes, total=done.total or self._total, description=printable(label)
            )
