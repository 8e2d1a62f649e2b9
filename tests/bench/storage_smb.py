"""A share: up and down beside smbprotocol's own files, one request at a time, and the smbclient command, in turn."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

from tests.bench.harness import Row, bench

MIB = 1024 * 1024

_OURS = """
import json, sys, time, trio
from tests.bench.harness import most_memory
from sessionctx.storage import open_storage

way, url, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
piece = bytes(range(256)) * 4096

async def source():
    for _ in range(size // len(piece)):
        yield piece

async def main():
    async with open_storage(url) as share:
        await share.stat()
        wall, cpu = time.perf_counter(), time.process_time()
        if way == "up":
            await share.write("ours", source(), size_hint=size)
        else:
            came = 0
            async with share.read("ours") as reader:
                async for part in reader:
                    came += len(part)
            assert came == size
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(json.dumps({"wall": wall, "cpu": cpu, "rss": most_memory()}))

trio.run(main)
"""

_THEIRS = """
import json, sys, time, smbclient
from urllib.parse import unquote, urlsplit
from tests.bench.harness import most_memory

way, url, size = sys.argv[1], urlsplit(sys.argv[2]), int(sys.argv[3])
piece = bytes(range(256)) * 4096
smbclient.register_session(url.hostname, username=url.username, password=unquote(url.password), port=url.port)
wall, cpu = time.perf_counter(), time.process_time()
name = rf"\\\\{url.hostname}\\share\\theirs"
with smbclient.open_file(name, mode="wb" if way == "up" else "rb", port=url.port) as file:
    if way == "up":
        for _ in range(size // len(piece)):
            file.write(piece)
    else:
        came = 0
        while part := file.read(len(piece)):
            came += len(part)
        assert came == size
print(json.dumps({"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "rss": most_memory()}))
"""


def _run(script, way, server, size):
    """What it takes in a fresh process, without its start and the login."""
    command = [sys.executable, "-c", script, way, server.url(), str(size)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _command(program, way, server, size, work):
    """The same by the command, with its start, which is quick."""
    from tests.storage.smbd import PASSWORD, USER

    secret, content = work / "secret", work / "content"
    secret.write_text(f"username={USER}\npassword={PASSWORD}\n")
    if not content.exists():
        with content.open("wb") as file:
            for _ in range(size // MIB):
                file.write(bytes(range(256)) * 4096)
    task = f"put {content} command" if way == "up" else "get command /dev/null"
    argv = [program, "//127.0.0.1/share", "-p", str(server.port), "-A", str(secret), "-c", task]
    start = perf_counter()
    subprocess.run(argv, capture_output=True, check=True)
    return {"wall": perf_counter() - start}


@bench("storage.smb")
def smb(quick):
    from tests.storage.smbd import smbd

    program, size, rounds = shutil.which("smbclient"), (4 if quick else 1024) * MIB, 1 if quick else 2
    if program is None or shutil.which("smbd", path="/usr/sbin:/usr/local/sbin:/usr/bin") is None:
        yield Row("smb: not measured, for smbd or smbclient is not installed", figure=0.0, unit="-")
        return
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=memory) as name, smbd(Path(name) / "smbd") as server:
        for way in ("up", "down"):
            took: dict[str, list[dict[str, float]]] = {"ours": [], "theirs": [], "command": []}
            for _ in range(rounds):
                took["ours"].append(_run(_OURS, way, server, size))
                took["theirs"].append(_run(_THEIRS, way, server, size))
                took["command"].append(_command(program, way, server, size, Path(name)))
            yield from _rows(way, took, size)


def _rows(way, took, size):
    best = {who: min(runs, key=lambda run: run["wall"]) for who, runs in took.items()}
    wall = {who: run["wall"] for who, run in best.items()}
    names = {"ours": "smb", "theirs": "smbprotocol's files", "command": "smbclient"}
    for who, what in names.items():
        runs = sorted(run["wall"] for run in took[who])
        spread = runs[len(runs) // 2] / runs[0] - 1
        yield Row(f"{what}, {way}", figure=size / MIB / wall[who], unit="MiB/s", spread=spread)
    yield Row(
        f"smb, {way}, times as long as smbprotocol", figure=wall["ours"] / wall["theirs"], unit="x", limit=1 / 1.4
    )
    yield Row(f"smb, {way}, times as long as smbclient", figure=wall["ours"] / wall["command"], unit="x", limit=2.0)
    per = 512 * MIB / size
    yield Row(f"smb, {way}, CPU for 512 MiB", figure=best["ours"]["cpu"] * per, unit="s", limit=1.0)
    yield Row(f"smb, {way}, memory", figure=max(run["rss"] for run in took["ours"]), unit="MiB", limit=200)
