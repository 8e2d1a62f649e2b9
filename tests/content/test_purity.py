"""This floor thinks; it does not wait, and nobody pays for what it does not use."""

from __future__ import annotations

import subprocess
import sys

FORBIDDEN = {"trio", "outcome", "anyio", "httpx", "httpcore", "h11", "asyncio", "socket", "ssl", "blake3", "sqlite3"}


def test_importing_content_loads_neither_trio_nor_http():
    code = "import sys; before = {*sys.modules}; import sessionctx.content; print(*{*sys.modules} - before)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "sessionctx.content.cid" in loaded
    assert FORBIDDEN & set(loaded) == set()
