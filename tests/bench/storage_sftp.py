"""SFTP over sshd: up and down beside the sftp command, paramiko and asyncssh, in turn; each with its login."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

from tests.bench.harness import Row, bench

MIB = 1024 * 1024
CIPHER = "aes128-gcm@openssh.com"  # ours prefers it; so that the others are no slower for it, they get it, too

_OURS = """
import json, sys, time, trio
import sessionctx.storage.sftp
from tests.bench.harness import most_memory
from sessionctx.storage import open_storage

way, port, folder, keys, size = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5])
piece = bytes(range(256)) * 4096

async def source():
    for _ in range(size // len(piece)):
        yield piece

async def main():
    wall, cpu = time.perf_counter(), time.process_time()
    where = f"sftp://127.0.0.1:{port}{folder}"
    async with open_storage(where, identity=f"{keys}/user", known_hosts=f"{keys}/known") as storage:
        if way == "up":
            await storage.write("ours", source(), size_hint=size)
        else:
            came = 0
            async with storage.read("content") as reader:
                async for part in reader:
                    came += len(part)
            assert came == size
    print(json.dumps({"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "rss": most_memory()}))

trio.run(main)
"""

_PARAMIKO = """
import json, sys, time, paramiko
from tests.bench.harness import most_memory

way, port, folder, keys, size = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], int(sys.argv[5])
wall, cpu = time.perf_counter(), time.process_time()
with paramiko.SSHClient() as client:
    client.load_host_keys(f"{keys}/known")
    client.connect("127.0.0.1", port, key_filename=f"{keys}/user", look_for_keys=False, allow_agent=False)
    sftp = client.open_sftp()
    if way == "up":
        sftp.put(f"{folder}/content", f"{folder}/paramiko")
    else:
        sftp.get(f"{folder}/content", f"{folder}/came")
print(json.dumps({"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "rss": most_memory()}))
"""

_ASYNCSSH = """
import asyncio, json, sys, time, asyncssh
from tests.bench.harness import most_memory

way, port, folder, keys, size = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], int(sys.argv[5])

async def main():
    login = {"known_hosts": f"{keys}/known", "client_keys": [f"{keys}/user"], "config": None, "agent_path": None}
    ciphers = ["aes128-gcm@openssh.com"]
    async with asyncssh.connect("127.0.0.1", port, encryption_algs=ciphers, **login) as connection:
        async with connection.start_sftp_client() as sftp:
            if way == "up":
                await sftp.put(f"{folder}/content", f"{folder}/asyncssh")
            else:
                await sftp.get(f"{folder}/content", f"{folder}/came")

wall, cpu = time.perf_counter(), time.process_time()
asyncio.run(main())
print(json.dumps({"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "rss": most_memory()}))
"""


def _run(script, way, server, folder, size):
    """What it takes in a fresh process, without its start."""
    command = [sys.executable, "-c", script, way, str(server.port), str(folder), str(server.folder), str(size)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _command(way, server, folder):
    """The same by the sftp command; what it puts is waited for until it is on the disk, as ours does."""
    task = f"put -f {folder}/content {folder}/command" if way == "up" else f"get {folder}/content /dev/null"
    options = [f"Ciphers=^{CIPHER}", f"UserKnownHostsFile={server.folder}/known", f"IdentityFile={server.folder}/user"]
    argv = ["sftp", "-q", "-b", "-", "-F", "none", "-P", str(server.port)]
    argv += [word for option in options for word in ("-o", option)]
    start = perf_counter()
    subprocess.run([*argv, "127.0.0.1"], input=task.encode(), capture_output=True, check=True)
    return {"wall": perf_counter() - start}


def _others():
    return {name: script for name, script in (("paramiko", _PARAMIKO), ("asyncssh", _ASYNCSSH)) if _installed(name)}


def _installed(name):
    return importlib.util.find_spec(name) is not None


@bench("storage.sftp")
def sftp(quick):
    from tests.storage.sftp.servers import sshd

    if not shutil.which("sftp") or not shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin"):
        yield Row("sftp: not measured, for sshd or sftp is not installed", figure=0.0, unit="-")
        return
    size, rounds = (2 if quick else 1024) * MIB, 1 if quick else 3
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=memory) as name:
        folder, keys = Path(name) / "data", Path(name) / "keys"
        folder.mkdir()
        keys.mkdir()
        with (folder / "content").open("wb") as file:
            for _ in range(size // MIB):
                file.write(bytes(range(256)) * 4096)
        with sshd(keys) as server:
            for way in ("up", "down"):
                yield from _rows(way, _took(way, server, folder, size, rounds), size)


def _took(way, server, folder, size, rounds):
    took: dict[str, list[dict[str, float]]] = {}
    for _ in range(rounds):
        took.setdefault("ours", []).append(_run(_OURS, way, server, folder, size))
        took.setdefault("sftp command", []).append(_command(way, server, folder))
        for name, script in _others().items():
            took.setdefault(name, []).append(_run(script, way, server, folder, size))
    return took


def _rows(way, took, size):
    best = {who: min(runs, key=lambda run: run["wall"]) for who, runs in took.items()}
    for who, runs in took.items():
        walls = sorted(run["wall"] for run in runs)
        rate = size / MIB / walls[0]
        yield Row(f"sftp, {way}: {who}", figure=rate, unit="MiB/s", spread=walls[len(walls) // 2] / walls[0] - 1)
    for who in best.keys() - {"ours"}:
        limit = 1 / 0.9 if who == "sftp command" else None
        ratio = best["ours"]["wall"] / best[who]["wall"]
        yield Row(f"sftp, {way}, times as long as {who}", figure=ratio, unit="x", limit=limit)
    yield Row(f"sftp, {way}, CPU for 512 MiB", figure=best["ours"]["cpu"] * 512 * MIB / size, unit="s")
    yield Row(f"sftp, {way}, memory", figure=max(run["rss"] for run in took["ours"]), unit="MiB", limit=200)
