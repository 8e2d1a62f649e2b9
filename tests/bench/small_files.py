"""A folder of very many very small files, far away: round trips are all that counts."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.bench.gateways import Gateway, measured, row, serving
from tests.bench.harness import bench
from tests.bench.prepared import MIB, random_folder

SAMPLE = 100


@bench("small-files")
def small_files(quick):
    """Block by block is measured on a sample of the same files: one request after the other, times all of them."""
    count = 100 if quick else 10_000
    line = Gateway(10 * MIB, 0.025)
    with tempfile.TemporaryDirectory() as folder:
        content = random_folder(Path(folder), count, 1024)
        cids = content.leaves[: 10 if quick else SAMPLE]
        with serving(content, [line]) as urls:
            one = measured("blocks", seconds=60, peers=urls, cids=cids, width=1)
        alone = row("small-files: one block after the other", [one], lambda done: done["seconds"] / len(cids), "s")
        yield alone
        if one is None:
            return  # nothing to be set beside
        for gateways in (1,) if quick else (1, 3):
            with serving(content, [line] * gateways) as urls:
                target = str(Path(folder) / f"from {gateways}")
                done = measured("export", seconds=30 + count / 50, peers=urls, root=content.root, target=target)
            name = f"small-files: {count:,} of 1 KiB from {gateways}"
            yield row(name, [done], lambda each: each["files"] / each["seconds"], "files/s")
            yield row(f"{name}, duplicates", [done], lambda each: 100 * each["duplicate_bytes"] / content.size, "%")
            yield row(f"{name}, beside block by block", [done], _beside(alone.figure * count), "x", 1 / 20)


def _beside(seconds):
    return lambda done: done["seconds"] / seconds
