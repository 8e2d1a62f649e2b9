"""sessionctx: fetch content-addressed data from many peers, through a session that every layer finds by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sessionctx import errors as errors
    from sessionctx import peers as peers
    from sessionctx import serve as serve
    from sessionctx import session as session
    from sessionctx.content import CID as CID
    from sessionctx.content import Block as Block
    from sessionctx.node import Node as Node

__all__ = ["CID", "Block", "Node", "errors", "peers", "serve", "session"]

_HOMES = {"CID": "sessionctx.content", "Block": "sessionctx.content", "Node": "sessionctx.node"}
_MODULES = {"errors", "peers", "serve", "session"}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Import the name when it is first asked for (PEP 562), so that ``import sessionctx`` stays cheap."""
        import importlib

        if name in _MODULES:
            return importlib.import_module(f"sessionctx.{name}")
        if name in _HOMES:
            return getattr(importlib.import_module(_HOMES[name]), name)
        raise AttributeError(f"module 'sessionctx' has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted(__all__)
