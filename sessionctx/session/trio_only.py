"""One clear sentence for the mistake of awaiting sessionctx outside trio (trio's own error there is obscure)."""

from __future__ import annotations

import sys

import trio

from sessionctx.errors import NotInTrio


def require_trio(what: str) -> None:
    """Raise `NotInTrio`, naming *what* was called, unless a trio task runs this code."""
    if trio.lowlevel.in_trio_task():
        return
    asyncio = sys.modules.get("asyncio")
    under = "under asyncio" if asyncio is not None and asyncio._get_running_loop() is not None else "outside trio"  # noqa: SLF001
    raise NotInTrio(f"{what} was called {under}, and works on trio only: start the program with trio.run(main)")
