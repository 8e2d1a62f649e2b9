"""nginx, to measure beside or against: files served as they are, with next to no CPU. It may not be installed."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import sleep

from tests.bench.prepared import CarBlocks, Content

Address = tuple[str, int]

INSTALLED = shutil.which("nginx") is not None
GATEWAY = """
  location /ipfs/ {
    if ($arg_format = car) { rewrite .* /content.car last; }
    types {} default_type application/vnd.ipld.raw;
  }
  location = /content.car {
    internal; types {} default_type "application/vnd.ipld.car; version=1; order=dfs; dups=n";
  }
"""
"""Locations that make a gateway of a folder from `lay_out`. A CAR is always that of everything."""

_CONFIG = """
daemon off; master_process off; pid nginx.pid; error_log stderr crit;
events {{ worker_connections 256; }}
http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000;
  client_body_temp_path t; proxy_temp_path t; fastcgi_temp_path t; uwsgi_temp_path t; scgi_temp_path t;
  server {{ listen 127.0.0.1:{port}; root {root}; {locations} }} }}
"""


@contextmanager
def nginx(root: Path, locations: str = "") -> Iterator[Address]:
    """Serve the files in *root* from one process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = free.getsockname()
    with tempfile.TemporaryDirectory() as name:
        config = Path(name, "nginx.conf")
        config.write_text(_CONFIG.format(port=address[1], root=root, locations=locations))
        with subprocess.Popen(["nginx", "-p", name, "-c", str(config)], stderr=subprocess.DEVNULL) as process:
            try:
                _wait_for(address)
                yield address
            finally:
                process.terminate()


def lay_out(content: Content, folder: Path) -> None:
    """Make a gateway's files of a prepared CAR: it itself, and each of its blocks."""
    (folder / "ipfs").mkdir(parents=True)
    (folder / "content.car").hardlink_to(content.car)
    store = CarBlocks(content.car)
    for cid in store.cids:
        (folder / "ipfs" / str(cid)).write_bytes(store.read(*store.place(cid)))
    store.close()


def _wait_for(address: Address) -> None:
    for _ in range(100):
        with socket.socket() as sock:
            if not sock.connect_ex(address):
                return
        sleep(0.05)
    raise RuntimeError("nginx did not start")
