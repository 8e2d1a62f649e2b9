"""The HTTP face of a node: a trustless gateway and the blobs of a share, as ASGI apps, and a server that runs them."""

from __future__ import annotations

from sessionctx.serve.asgi import App
from sessionctx.serve.blobs import blobs, listening
from sessionctx.serve.gateway import gateway
from sessionctx.serve.server import inherited, listen, run

__all__ = ["App", "blobs", "gateway", "inherited", "listen", "listening", "run"]
