"""How to ask ONE peer. Knows no session and no other peer; everything that arrives here is unverified."""

from __future__ import annotations

from sessionctx.transports.address import Address, normalised, redacted, scheme_of
from sessionctx.transports.base import Can, CarAnswer, Progress, Transport
from sessionctx.transports.gateway import GatewayTransport
from sessionctx.transports.http import HTTP, Body, HttpxTransport, Response
from sessionctx.transports.registry import open_transport
from sessionctx.transports.routing import Provider, Router, Routing

__all__ = [
    "HTTP",
    "Address",
    "Body",
    "Can",
    "CarAnswer",
    "GatewayTransport",
    "HttpxTransport",
    "Progress",
    "Provider",
    "Response",
    "Router",
    "Routing",
    "Transport",
    "normalised",
    "open_transport",
    "redacted",
    "scheme_of",
]
