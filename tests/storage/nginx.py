"""nginx over a folder, for tests."""

from __future__ import annotations

import os
from contextlib import contextmanager

from tests.storage.process import free_port, program, running

_CONFIG = """
daemon off; pid {work}/nginx.pid; worker_processes 1; error_log {work}/error.log; {user}
events {{ worker_connections 512; }}
http {{
  access_log {work}/access.log; default_type application/octet-stream;
  client_body_temp_path {work}/t1; proxy_temp_path {work}/t2; fastcgi_temp_path {work}/t3;
  uwsgi_temp_path {work}/t4; scgi_temp_path {work}/t5;
  server {{ listen 127.0.0.1:{port}; root {root}; {options} }}
}}
"""


@contextmanager
def nginx(root, work, options="autoindex on; autoindex_format json;"):
    """Serve the files in *root* until the end of the block; gives the port."""
    work.mkdir()
    port, config = free_port(), work / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    config.write_text(_CONFIG.format(work=work, root=root, port=port, options=options, user=user))
    argv = [program("nginx", "nginx-light"), "-p", str(work), "-c", str(config), "-e", str(work / "error.log")]
    with running(argv, port=port, log=work / "log"):
        yield port
