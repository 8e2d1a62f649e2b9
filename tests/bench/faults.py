"""One file from three gateways of 10 MiB/s, one of which is out of order: how long it takes beside what the others could."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.bench.gateways import Gateway, duplicates, measured, row, serving
from tests.bench.harness import bench
from tests.bench.prepared import MIB, random_file

RUNS = 2
RATE, LATENCY = 10 * MIB, 0.005
FAULTS = {
    "fails": "500 to one request in 20",
    "refuses": "refuses connections",
    "black hole": "black hole",
    "stalls": "stalls after 100 KiB of each answer",
    "silent": "silent for ever after 100 KiB",
    "lies": "lies",
    "busy": "429 for 2 s",
}


@bench("faults")
def faults(quick):
    """The one out of order is asked first, since nobody knows yet. The bound is that of the other two."""
    size = (2 if quick else 64) * MIB
    bound = size / (2 * RATE)
    gateways = [Gateway(RATE, LATENCY)] * 2 + [Gateway(RATE, LATENCY, fault) for fault in FAULTS]
    done = {fault: [] for fault in FAULTS}
    with tempfile.TemporaryDirectory() as folder:
        content = random_file(Path(folder), size)
        for _ in range(1 if quick else RUNS):
            with serving(content, gateways) as (first, second, *faulty):
                for fault, url in zip(FAULTS, faulty, strict=True):
                    ask = {"peers": [url, first, second], "root": content.root, "digest": content.digest}
                    done[fault].append(measured("cat", seconds=10 + 10 * bound, **ask))
    for fault, words in FAULTS.items():
        yield row(f"faults: {words}", done[fault], lambda each: each["seconds"], "s", 1.25 * bound)
        yield row(f"faults: {words}, duplicates", done[fault], duplicates(size), "%")
