"""The HTTP face of a node: a trustless gateway as an ASGI app, and a server that runs it."""

from __future__ import annotations

from sessionctx.serve.asgi import App
from sessionctx.serve.gateway import gateway
from sessionctx.serve.server import inherited, listen, run

__all__ = ["App", "gateway", "inherited", "listen", "run"]
