"""The peer table, as text and live."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

import attrs
import trio

from sessionctx import peers
from sessionctx.cli.output import Output
from sessionctx.cli.progress import is_live
from sessionctx.dag import Progress
from sessionctx.session import Session

if TYPE_CHECKING:
    from rich.console import Group
    from rich.live import Live as RichLive
    from rich.table import Table

Row = Mapping[str, object]
"""The fields of a `peers.PeerStatistics`, and the ``kind`` of the gateway."""

_WIDTH = 110
_SECONDS_BETWEEN = 0.125
_COUNTS = ("asked", "found", "missing", "failed", "lied")


def human(amount: float) -> str:
    """An amount of bytes, short."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(amount) < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def table(rows: Sequence[Row]) -> str:
    """The table as plain text."""
    return as_text(_build(rows))


def as_text(built: Table) -> str:
    """A table as lines of text."""
    from rich.console import Console

    out = io.StringIO()
    Console(file=out, width=_WIDTH, color_system=None, markup=False).print(built)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def _build(rows: Sequence[Row]) -> Table:
    from rich import box
    from rich.table import Table

    built = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    built.add_column("gateway")
    for name in (*_COUNTS, "bytes", "latency", "throughput"):
        built.add_column(name, justify="right")
    built.add_column("state")
    for row in rows:
        counts = (str(row[name]) for name in _COUNTS)
        built.add_row(
            str(row["kind"]),
            *counts,
            _bytes(row["bytes"]),
            _latency(row["latency"]),
            _rate(row["throughput"]),
            str(row["state"]),
        )
    return built


def _bytes(value: object) -> str:
    return human(value) if isinstance(value, int) else "-"


def _latency(value: object) -> str:
    return f"{value * 1000:.1f} ms" if isinstance(value, float) else "-"


def _rate(value: object) -> str:
    return f"{human(value)}/s" if isinstance(value, float) else "-"


@attrs.define(eq=False)
class Live:
    """A progress bar with the peer table below it, while something is fetched; nothing where nobody looks.

    ::

        with Live(output, session, kinds, total) as live:
            nursery.start_soon(live.keep_fresh)
            await node.files.export(cid, target, progress=live.show)
    """

    _output: Output
    _session: Session
    _kinds: Mapping[str, str]
    """What to call each peer, by its URL."""
    _total: int
    _done: int = attrs.field(default=0, init=False)
    _live: RichLive | None = attrs.field(default=None, init=False)

    def __enter__(self) -> Self:
        if is_live(self._output):
            from rich.console import Console
            from rich.live import Live as RichLive

            self._live = RichLive(console=Console(stderr=True), auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, done: Progress) -> None:
        """So much is *done*."""
        self._done = done.bytes

    async def keep_fresh(self) -> None:
        """Redraw until cancelled."""
        while self._live is not None:
            self._live.update(self._draw(), refresh=True)
            await trio.sleep(_SECONDS_BETWEEN)
        await trio.lowlevel.checkpoint()

    def _draw(self) -> Group:
        from rich.console import Group
        from rich.progress_bar import ProgressBar

        bar = ProgressBar(total=max(self._total, 1), completed=self._done, width=60)
        return Group(bar, f"{human(self._done)} of {human(self._total)}", _build(rows(self._session, self._kinds)))


def rows(session: Session, kinds: Mapping[str, str]) -> list[Row]:
    """What is known of the peers now, in the order of *kinds*."""
    order = {url: place for place, url in enumerate(kinds)}
    known = sorted(peers.statistics(session), key=lambda peer: order.get(peer.url, len(order)))
    return [{"kind": kinds.get(peer.url, "-"), **attrs.asdict(peer)} for peer in known]
