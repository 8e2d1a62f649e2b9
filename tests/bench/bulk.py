"""One big file from one gateway as fast as the machine, to the disk, beside what cannot be spared.

The gateway is our own; and nginx, where it is installed, which leaves more of the machine to who asks. What cannot be
spared: curl taking the same bytes from the same gateway, their sha256 in one thread, and writing them so that they
are safe, one after the other.
"""

from __future__ import annotations

import hashlib
import math
import os
import shutil
import statistics
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter
from urllib.request import urlopen

from tests.bench.gateways import Gateway, measured, row, serving
from tests.bench.harness import Row, bench
from tests.bench.memory import at_hand
from tests.bench.nginx import GATEWAY, INSTALLED, lay_out, nginx
from tests.bench.prepared import MIB, random_file

ROUNDS = 3


@bench("bulk")
def bulk(quick):
    """The two take turns. Blocks pass through a cache of 64 MiB in memory; once more, they are kept in a store, too."""
    size = (4 if quick else 1024) * MIB
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        content = random_file(folder, size)
        gateways = {"ours": stack.enter_context(serving(content, [Gateway()]))[0]}
        if INSTALLED:
            lay_out(content, folder / "files")
            gateways["nginx"] = "http://{}:{}".format(*stack.enter_context(nginx(folder / "files", GATEWAY)))
        if not quick:
            stack.enter_context(at_hand(folder, size))
        bare, done = {each: [] for each in gateways}, {each: [] for each in gateways}
        for gateway, url in [*gateways.items()] * (1 if quick else ROUNDS):
            bare[gateway].append(_bare(f"{url}/ipfs/{content.root}?format=car", size, folder / "bare"))
            done[gateway].append(_exported(folder, url, content))
        kept = [_exported(folder, gateways["ours"], content, store=str(folder / "store"))]
    for gateway in gateways:
        yield from _rows(f"bulk: {size // MIB} MiB, {gateway}", bare[gateway], done[gateway])
    name = f"bulk: {size // MIB} MiB, ours, and kept in a store"
    yield row(name, kept, lambda each: each["seconds"], "s")
    yield row(f"{name}, memory", kept, lambda each: each["memory"], "MiB", 150)


def _rows(name, bare, done):
    for number, what in enumerate(("curl", "sha256, one thread", "writing, durable")):
        yield Row(f"{name}: {what}", min(figures[number] for figures in bare), "s")
    yield row(f"{name}: to the disk, verified", done, lambda each: each["seconds"], "s")
    pairs = zip(done, bare, strict=True)
    ratios = [math.inf if each is None else each["seconds"] / sum(figures) for each, figures in pairs]
    ratio = statistics.median(ratios)
    spread = max(ratios) / ratio - 1 if math.isfinite(max(ratios)) else 0.0
    yield Row(f"{name}: beside those three", ratio, "x", 1.1, spread)
    yield row(f"{name}: memory", done, lambda each: each["memory"], "MiB", 150)


def _exported(folder, url, content, **more):
    target = folder / "out"
    done = measured("export", seconds=120, peers=[url], root=content.root, target=str(target), **more)
    if done is not None:
        assert _digest(target) == content.digest, "the file is not what was added"
    target.unlink(missing_ok=True)
    return done


def _bare(url, size, target):
    """Seconds of each of the three."""
    return [_timed(_download, url), _timed(_hash, size), _timed(_write, size, target)]


def _timed(call, *arguments):
    began = perf_counter()
    call(*arguments)
    return perf_counter() - began


def _download(url):
    if curl := shutil.which("curl"):
        subprocess.run([curl, "-sf", "-o", os.devnull, url], check=True, timeout=120)
        return
    with urlopen(url, timeout=60) as answer:
        while answer.read(MIB):
            pass


def _hash(size):
    piece, digest = os.urandom(MIB), hashlib.sha256()
    for _ in range(size // MIB):
        digest.update(piece)


def _write(size, target):
    piece = os.urandom(MIB)
    with target.open("wb", buffering=0) as file:
        for _ in range(size // MIB):
            file.write(piece)
        os.fsync(file.fileno())
    target.unlink()


def _digest(path):
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
