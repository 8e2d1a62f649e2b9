"""The one door to HTTP. Inside, only `client` knows httpx; blocks come through h11 and a pool of our own."""

from __future__ import annotations

from sessionctx.transports.http.body import Body
from sessionctx.transports.http.client import HttpxTransport
from sessionctx.transports.http.door import HTTP
from sessionctx.transports.http.response import Response

__all__ = ["HTTP", "Body", "HttpxTransport", "Response"]
