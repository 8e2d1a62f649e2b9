"""Gateways to measure against, and clients to measure: each in a process of its own, all ended for sure.

::

    with serving(content, [Gateway(rate=10 * MIB, latency=0.005)] * 3) as urls:
        done = measured("cat", seconds=60, peers=urls, root=content.root)
"""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import attrs

from tests.bench.harness import Row
from tests.bench.prepared import MIB, Content

ROOT = Path(__file__).resolve().parents[2]
Done = dict


@attrs.frozen
class Gateway:
    """How fast a gateway is, how far away, and what is wrong with it."""

    rate: float | None = None
    """Bytes per second, over all connections; None is as fast as the machine."""
    latency: float = 0.0
    """Seconds of a round trip."""
    fault: str = ""
    """``fails``, ``refuses``, ``black hole``, ``stalls``, ``silent``, ``lies``, ``busy`` or ``late``: see `serving`."""


@contextmanager
def serving(content: Content, gateways: Sequence[Gateway]) -> Iterator[list[str]]:
    """Serve *content* from these gateways; gives their URLs. They share one process, which is not the client's."""
    specs = json.dumps([attrs.asdict(gateway) for gateway in gateways])
    command = [sys.executable, "-m", "tests.bench.serving", str(content.car), content.root, specs]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=_env()) as process:
        try:
            urls = process.stdout.readline().split()
            if len(urls) != len(gateways):
                raise RuntimeError("the gateways of the bench did not start; see above")
            yield urls
        finally:
            process.kill()


def measured(job: str, *, seconds: float, **arguments: object) -> Done | None:
    """Run one job of `clients` in a fresh process, cold; None if it failed or took longer than *seconds*."""
    command = [sys.executable, "-m", "tests.bench.clients", job]
    options = {"input": json.dumps(arguments), "timeout": seconds, "text": True, "env": _env()}
    try:
        done = subprocess.run(command, capture_output=True, check=True, **options)
    except subprocess.TimeoutExpired:
        sys.stderr.write(f"{job}: not done after {seconds:.0f} s\n")
    except subprocess.CalledProcessError as failed:
        sys.stderr.write(f"{job}: {failed.stderr.strip()[-500:]}\n")
    else:
        return json.loads(done.stdout)
    return None


def _env() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}


def row(
    name: str, done: Sequence[Done | None], figure: Callable[[Done], float], unit: str, limit: float | None = None
) -> Row:
    """The best of several runs. One that failed spoils it: no rate at all, or for ever."""
    more = unit.endswith("/s")
    if None in done:
        return Row(name, 0.0 if more else math.inf, unit, limit)
    figures = [figure(each) for each in done]
    best = max(figures) if more else min(figures)
    spread = abs(statistics.median(figures) / best - 1) if best else 0.0
    return Row(name, best, unit, limit, spread)


def rate(size: int) -> Callable[[Done], float]:
    """MiB per second of a run that moved *size* bytes."""
    return lambda done: size / MIB / done["seconds"]


def duplicates(size: int) -> Callable[[Done], float]:
    """Bytes that were of no use, in percent of what was wanted."""
    return lambda done: 100 * done["duplicate_bytes"] / size
