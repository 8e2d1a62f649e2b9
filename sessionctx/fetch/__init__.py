"""How to ask many peers at once: a pure plan, and a thin shell that carries it out."""

from __future__ import annotations

from sessionctx.fetch.carry import start_carry, usual_small_block
from sessionctx.fetch.memory import Memory
from sessionctx.fetch.quarantine import Quarantined, pardon, quarantined
from sessionctx.fetch.run import FETCHER, fetch
from sessionctx.fetch.stripe import STRIPE, Sweep, is_flat, is_stripe

__all__ = [
    "FETCHER",
    "STRIPE",
    "Memory",
    "Quarantined",
    "Sweep",
    "fetch",
    "is_flat",
    "is_stripe",
    "pardon",
    "quarantined",
    "start_carry",
    "usual_small_block",
]
