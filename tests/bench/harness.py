"""How a bench is written, found, run and shown.

A bench is a generator in any module of this folder. Its rows are found without being listed anywhere::

    from tests.bench.harness import Row, bench, measure, measure_async

    @bench("varint")
    def varint(quick):                                    # quick: do as little as shows that it works
        from sessionctx.content import varint             # import inside: listing benches stays cheap
        data = varint.encode(300)
        yield measure("decode, 2 bytes", lambda: varint.decode(data), unit="ns", limit=400, quick=quick)
        yield measure("decode, bare", "decode(data)", {"decode": varint.decode, "data": data}, unit="ns", quick=quick)
        yield Row("import, 1 GiB", figure=412.0, unit="MB/s", limit=300.0)      # or measure it your own way

``measure`` times a call (or a statement, which saves the ~40 ns of calling a lambda), ``measure_async`` an async
function inside a trio run. The figure is the *fastest* of the repeats, because noise only ever adds; ``spread`` says
how far the median lies above it (0.1 is 10 %). ``limit`` is what we promise and ``ratio`` is figure / limit: below 1
is good, except for units that end in ``/s``, where more is better.
"""

from __future__ import annotations

import importlib
import json
import math
import pkgutil
import statistics
import timeit
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from pathlib import Path
from time import perf_counter
from typing import Any

import attrs
import trio

UNITS = {"ns": 1e9, "us": 1e6, "ms": 1e3, "s": 1.0}
REPEATS, SECONDS = 7, 0.05  # of a full run: so many repeats of at least so long


@attrs.frozen
class Row:
    """One measured figure, and what we promise for it."""

    name: str
    figure: float
    unit: str
    limit: float | None = None
    spread: float = 0.0

    @property
    def ratio(self) -> float | None:
        return None if self.limit is None else self.figure / self.limit

    @property
    def good(self) -> bool:
        if self.ratio is None:
            return True
        return self.ratio >= 1 if self.unit.endswith("/s") else self.ratio <= 1

    def as_json(self) -> str:
        """What took for ever is null: JSON has no infinity."""
        keys = ("name", "figure", "unit", "limit", "ratio", "spread")
        values = {key: getattr(self, key) for key in keys}
        return json.dumps({key: None if value == math.inf else value for key, value in values.items()})


Bench = Callable[[bool], Iterable[Row]]
BENCHES: dict[str, Bench] = {}


def bench(name: str) -> Callable[[Bench], Bench]:
    """Register a bench under *name*; it is called with ``quick`` and gives its rows."""

    def register(function: Bench) -> Bench:
        if name in BENCHES:
            raise ValueError(f"two benches are called {name!r}")
        BENCHES[name] = function
        return function

    return register


def discover() -> dict[str, Bench]:
    """Import every module of this folder, so that each registers its benches; sorted by name."""
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if not module.name.startswith(("test_", "_", "harness")):
            importlib.import_module(f"{__package__}.{module.name}")
    return dict(sorted(BENCHES.items()))


def run(names: Sequence[str] = (), *, quick: bool = False) -> Iterator[Row]:
    """Run the benches called *names* (or that are in a group so named: ``session`` runs ``session.current``)."""
    benches = discover()
    for name in names:
        if not any(_in(key, name) for key in benches):
            raise LookupError(f"no bench is called {name!r}; there are: {', '.join(benches)}")
    for key, function in benches.items():
        if not names or any(_in(key, name) for name in names):
            yield from function(quick)


def _in(key: str, name: str) -> bool:
    return key == name or key.startswith(f"{name}.")


# --- measuring


def measure(
    name: str,
    call: Callable[[], object] | str,
    names: Mapping[str, Any] | None = None,
    *,
    unit: str = "us",
    limit: float | None = None,
    quick: bool = False,
    per: int = 1,
) -> Row:
    """Time *call*, a function or a statement over *names*. *per*: how many operations one call does."""
    timer = timeit.Timer(call, globals=dict(names or {}))
    return _row(name, timer.timeit, unit, limit, quick, per)


def measure_async(
    name: str,
    call: Callable[[], Awaitable[object]],
    *,
    unit: str = "us",
    limit: float | None = None,
    quick: bool = False,
    per: int = 1,
) -> Row:
    """Time an async function, called again and again in one trio run."""

    async def loop(n: int) -> float:
        start = perf_counter()
        for _ in repeat(None, n):
            await call()
        return perf_counter() - start

    return _row(name, lambda n: trio.run(loop, n), unit, limit, quick, per)


def _row(name: str, timed: Callable[[int], float], unit: str, limit: float | None, quick: bool, per: int) -> Row:
    number = 1 if quick else _number(timed)
    costs = [timed(number) / number / per * UNITS[unit] for _ in range(2 if quick else REPEATS)]
    best = min(costs)
    return Row(name, figure=best, unit=unit, limit=limit, spread=statistics.median(costs) / best - 1 if best else 0.0)


def _number(timed: Callable[[int], float]) -> int:
    """How many calls take at least SECONDS."""
    number = 1
    while (took := timed(number)) < SECONDS:
        number = max(number * 2, int(number * SECONDS / took) if took else number * 10)
    return number


def most_memory() -> float:
    """The most memory that this process has had, in MiB; not what the one that started it had, as getrusage() may say."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# --- showing


def table(rows: Iterable[Row]) -> Iterator[str]:
    """The lines of a table, one as soon as each row is there."""
    yield f"{'what':<64} {'figure':>10} {'unit':<6} {'limit':>10} {'ratio':>7} {'spread':>7}"
    for row in rows:
        limit = "-" if row.limit is None else f"{row.limit:,.6g}"
        ratio = "-" if row.ratio is None else f"{row.ratio:.2f}"
        mark = "" if row.good else "  <- over its limit"
        yield (f"{row.name:<64} {_short(row.figure):>10} {row.unit:<6} {limit:>10} {ratio:>7} {row.spread:>6.0%}{mark}")


def _short(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= 1000 else f"{figure:.3g}"
