"""Many blocks from three gateways that answer one request in twenty a second late: the waits that are left."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.bench.gateways import Gateway, measured, row, serving
from tests.bench.harness import bench
from tests.bench.prepared import MIB, random_blocks


@bench("tail")
def tail(quick):
    count = 60 if quick else 1000
    with tempfile.TemporaryDirectory() as folder:
        content = random_blocks(Path(folder), count, 16 * 1024)
        for width in (4,) if quick else (1, 4):
            with serving(content, [Gateway(10 * MIB, 0.005, "late")] * 3) as urls:
                done = [measured("blocks", seconds=120, peers=urls, cids=content.leaves, width=width)]
            name = f"tail: {count} blocks, {width} at a time"
            yield row(f"{name}, p99", done, lambda each: _quantile(each["took"], 0.99), "s", 0.3)
            yield row(f"{name}, median", done, lambda each: _quantile(each["took"], 0.5), "s")
            yield row(f"{name}, extra requests", done, lambda each: 100 * (each["requests"] / count - 1), "%", 10)


def _quantile(figures, share):
    return sorted(figures)[min(int(share * len(figures)), len(figures) - 1)]
