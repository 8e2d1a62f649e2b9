"""A Ceph cluster of one for tests: a monitor, an object store in memory, and radosgw, which speaks S3."""

from __future__ import annotations

import json
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import attrs
import pytest

from tests.storage.process import free_port, program, running

_CONFIG = """
[global]
fsid = {fsid}
run dir = {folder}
admin socket = {folder}/$name.asok
log file = {folder}/$name.log
auth cluster required = none
auth service required = none
auth client required = none
ms mon client mode = crc
ms client mode = crc
mon host = [v2:127.0.0.1:{monitor}]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
mon data = {folder}/mon
osd data = {folder}/osd
mon allow pool size one = true
mon warn on pool no redundancy = false
mon data avail crit = 1
mon max pg per osd = 1000
paxos propose interval = 0.01
paxos min wait = 0.005
osd class update on start = false
osd crush chooseleaf type = 0
osd objectstore = memstore
memstore device bytes = {room}
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
debug mon = 0
debug osd = 0
debug rgw = 0

[client.rgw]
keyring = {folder}/keyring
rgw data = {folder}/rgw
rgw frontends = beast endpoint=127.0.0.1:{port} tcp_nodelay=1
rgw enable ops log = false
rgw enable usage log = false
rgw thread pool size = 64
rgw dynamic resharding = false
rgw gc obj min wait = 2
rgw gc processor period = 2
rgw gc processor max time = 2
"""


@attrs.frozen
class S3Server:
    """Where a server that speaks S3 is, and with which keys."""

    port: int
    access_key: str = "AKIATEST"
    secret_key: str = "secretkey12345"

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def ceph(folder: Path, *, room: int = 8 << 30) -> Iterator[S3Server]:
    """Run a cluster that keeps up to *room* bytes, in memory; skip where Ceph is not installed."""
    programs = {name: program(name, name) for name in ("ceph-mon", "ceph-osd", "radosgw")}
    programs |= {name: program(name, "ceph-common") for name in ("ceph", "ceph-authtool", "monmaptool")}
    programs["radosgw-admin"] = program("radosgw-admin", "radosgw")
    monitor, server = free_port(), S3Server(free_port())
    for name in ("mon", "osd", "rgw"):
        (folder / name).mkdir()
    config = folder / "ceph.conf"
    fsid = str(uuid.uuid4())
    config.write_text(_CONFIG.format(fsid=fsid, folder=folder, monitor=monitor, port=server.port, room=room))

    def run(name: str, *arguments: str, conf: bool = True) -> str:
        argv = [programs[name], *(["-c", str(config)] if conf else []), *arguments]
        done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=60)
        if done.returncode:
            pytest.fail(f"{argv} ended with {done.returncode}: {done.stderr[-2000:]}")
        return done.stdout

    def daemon(name: str, *arguments: str, port: int | None):
        log = folder / f"{name}.out"
        return running([programs[name], "-c", str(config), *arguments, "-f"], port=port, log=log)

    run("ceph-authtool", "--create-keyring", str(folder / "keyring"), "--gen-key", "-n", "client.rgw", conf=False)
    address = f"[v2:127.0.0.1:{monitor}]"
    run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", address, str(folder / "monmap"), conf=False)
    run("ceph-mon", "-i", "a", "--mkfs", "--monmap", str(folder / "monmap"))
    with ExitStack() as stack:
        stack.enter_context(daemon("ceph-mon", "-i", "a", port=monitor))
        osd = str(uuid.uuid4())
        run("ceph", "--connect-timeout", "20", "osd", "new", osd)
        run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
        stack.enter_context(daemon("ceph-osd", "-i", "0", port=None))
        until = time.monotonic() + 30
        while not json.loads(run("ceph", "osd", "stat", "--format", "json"))["num_up_osds"]:
            if time.monotonic() > until:
                pytest.fail("the object store of Ceph did not come up")
        keys = ["--access-key", server.access_key, "--secret-key", server.secret_key]
        run("radosgw-admin", "-n", "client.rgw", "user", "create", "--uid=test", "--display-name=test", *keys)
        stack.enter_context(daemon("radosgw", "-n", "client.rgw", port=server.port))
        yield server
