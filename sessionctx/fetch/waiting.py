"""A job of the plan, and the task that waits for it."""

from __future__ import annotations

import attrs
import trio

from sessionctx.content import CID
from sessionctx.fetch.job import Job
from sessionctx.peers import Ask


@attrs.define(eq=False)
class Waiting(Job):
    """A job with its waiting task."""

    cid: CID = attrs.field(kw_only=True)
    data: bytes | None = None
    error: Exception | None = None
    granted: list[Ask] = attrs.field(factory=list[Ask])
    """Requests that are decided and counted, and not sent yet."""
    changed: trio.Event = attrs.field(factory=trio.Event)

    def poke(self) -> None:
        """Let the job's own task look at it."""
        self.changed.set()
