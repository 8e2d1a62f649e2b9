"""How to ask many peers at once: a pure plan, and a thin shell that carries it out."""

from __future__ import annotations

from sessionctx.fetch.hedge import HedgeBudget, late_after
from sessionctx.fetch.plan import Grant, Job, assign, look_again
from sessionctx.fetch.run import FETCHER, Fetcher, fetch

__all__ = ["FETCHER", "Fetcher", "Grant", "HedgeBudget", "Job", "assign", "fetch", "late_after", "look_again"]
