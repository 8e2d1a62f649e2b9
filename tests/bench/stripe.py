"""One file from three gateways of limited rate: how much of the sum of their lines is used."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.bench.gateways import Gateway, duplicates, measured, rate, row, serving
from tests.bench.harness import bench
from tests.bench.prepared import MIB, random_file

RUNS = 3


@bench("stripe-even")
def even(quick):
    """Three gateways of 10 MiB/s, 5 ms away."""
    yield from _stripe("stripe-even: 3 x 10 MiB/s, 5 ms", [(10, 0.005)] * 3, 0.93, quick)


@bench("stripe-skew")
def skew(quick):
    """One gateway of 20 MiB/s, and two of 2, all 30 ms away."""
    lines = [(20, 0.03), (2, 0.03), (2, 0.03)]
    yield from _stripe("stripe-skew: 20 + 2 + 2 MiB/s, 30 ms", lines, 0.9, quick)


def _stripe(name, lines, share, quick):
    """Plain requests, each gateway for its fair share, say what the machine lets through at this moment."""
    size = (4 if quick else 64) * MIB
    line = sum(rate for rate, _ in lines)
    with tempfile.TemporaryDirectory() as folder:
        content = random_file(Path(folder), size)
        gateways = [Gateway(rate * MIB, latency) for rate, latency in lines]
        limit = 10 + 10 * size / MIB / line
        plain, done = [], []
        for _ in range(1 if quick else RUNS):
            with serving(content, gateways) as peers:
                urls = list(_fair(peers, content, [rate / line for rate, _ in lines]))
                plain.append(measured("plain", seconds=limit, urls=urls))
                done.append(measured("cat", seconds=limit, peers=peers, root=content.root, digest=content.digest))
    yield row(f"{name}, plain requests", plain, lambda each: each["rate"] / MIB, "MiB/s")
    yield row(f"{name}, {size // MIB} MiB", done, rate(size), "MiB/s", share * line)
    yield row(f"{name}, duplicate bytes", done, duplicates(size), "%", 5)


def _fair(peers, content, shares):
    """What to ask each gateway for, so that all are done at about the same time: whole blocks."""
    blocks, at = content.size // MIB, 0.0
    for peer, share in zip(peers, shares, strict=True):
        first, at = round(at), at + share * blocks
        yield f"{peer}/ipfs/{content.root}?format=car&entity-bytes={first * MIB}:{round(at) * MIB - 1}"
