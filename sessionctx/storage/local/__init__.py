"""Files in a folder of this machine: written whole or not at all, copied by the system, listed in flat memory."""

from __future__ import annotations

from sessionctx.storage.local.backend import LocalStorage, open_local

__all__ = ["LocalStorage", "open_local"]
