"""How to ask many peers at once: a pure plan, and a thin shell that carries it out."""

from __future__ import annotations

from sessionctx.fetch.carry import Carry, start_carry, usual_small_block
from sessionctx.fetch.hedge import HedgeBudget, late_after
from sessionctx.fetch.job import Job, look_again
from sessionctx.fetch.memory import Memory
from sessionctx.fetch.needs import Needs
from sessionctx.fetch.plan import Grant, assign
from sessionctx.fetch.pool import Pool
from sessionctx.fetch.quarantine import Quarantined, pardon, quarantined
from sessionctx.fetch.run import FETCHER, Fetcher, fetch
from sessionctx.fetch.stripe import STRIPE, Sweep, is_flat, is_stripe

__all__ = [
    "FETCHER",
    "STRIPE",
    "Carry",
    "Fetcher",
    "Grant",
    "HedgeBudget",
    "Job",
    "Memory",
    "Needs",
    "Pool",
    "Quarantined",
    "Sweep",
    "assign",
    "fetch",
    "is_flat",
    "is_stripe",
    "late_after",
    "look_again",
    "pardon",
    "quarantined",
    "start_carry",
    "usual_small_block",
]
