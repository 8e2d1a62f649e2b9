"""How to ask many peers at once: a pure plan, and a thin shell that carries it out."""

from __future__ import annotations

from sessionctx.fetch.bans import Ban, banned, unban
from sessionctx.fetch.carry import start_carry, usual_small_block
from sessionctx.fetch.priors import Priors
from sessionctx.fetch.run import FETCHER, fetch
from sessionctx.fetch.stripe import STRIPE, Sweep, is_flat, is_stripe

__all__ = [
    "FETCHER",
    "STRIPE",
    "Ban",
    "Priors",
    "Sweep",
    "banned",
    "fetch",
    "is_flat",
    "is_stripe",
    "start_carry",
    "unban",
    "usual_small_block",
]
