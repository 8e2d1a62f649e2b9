"""Delegated routing v1: ask a router who has a CID. Source: specs.ipfs.tech/routing/http-routing-v1."""

from __future__ import annotations

from sessionctx.transports.routing.base import Routing
from sessionctx.transports.routing.records import Provider
from sessionctx.transports.routing.router import Router

__all__ = ["Provider", "Router", "Routing"]
