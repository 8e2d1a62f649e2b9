"""How long a reader of a big file waits until the first verified byte is there."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.bench.gateways import Gateway, measured, row, serving
from tests.bench.harness import bench
from tests.bench.prepared import MIB, random_file

RUNS = 5


@bench("first-byte")
def first_byte(quick):
    """A cold session has to connect (one round trip), and to get the root and a leaf of 1 MiB."""
    size = (2 if quick else 1024) * MIB
    with tempfile.TemporaryDirectory() as folder:
        content = random_file(Path(folder), size)
        for latency in (0.025,) if quick else (0.025, 0.1):
            for gateways in (3,) if quick else (1, 3):
                with serving(content, [Gateway(latency=latency)] * gateways) as urls:
                    runs = range(1 if quick else RUNS)
                    done = [measured("first_byte", seconds=30, peers=urls, root=content.root) for _ in runs]
                name = f"first-byte: {size // MIB} MiB, {gateways} at {1000 * latency:.0f} ms"
                yield row(name, done, lambda each: each["seconds"], "s", 3 * latency + 0.05)
