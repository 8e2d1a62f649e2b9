"""Cover: what CARs that are on their way will bring is not asked for by itself, unless they are late with it."""

from __future__ import annotations

import attrs

from sessionctx.content import Block
from sessionctx.fetch.job import Job
from sessionctx.fetch.needs import Needs
from sessionctx.fetch.stripe import Sweep
from sessionctx.peers import Ask


@attrs.define(eq=False)
class Cover:
    """One CAR on its way, and the jobs that wait for it."""

    sweep: Sweep
    job: Job
    """That of getting the CAR itself."""
    open: bool = True
    """Whether it is to be relied upon."""
    jobs: dict[Job, Ask | None] = attrs.field(factory=dict["Job", "Ask | None"])
    """What is counted among the requests of each, standing for the CAR."""


@attrs.define(eq=False)
class Covers:
    """The CARs of one session that are on their way."""

    needs: Needs
    held: dict[bytes, bytes] = attrs.field(factory=dict[bytes, bytes], init=False)
    """Verified blocks that are on their way to the store."""
    _covers: dict[Cover, None] = attrs.field(factory=dict[Cover, None], init=False)

    def open(self, cover: Cover) -> None:
        """From now on, *cover* is to be reckoned with."""
        self._covers[cover] = None

    def includes(self, name: bytes) -> bool:
        """Whether a CAR is on its way with what hangs below the block with this multihash."""
        return any(cover.open and cover.sweep.includes(name) for cover in self._covers)

    def arrived(self, block: Block) -> None:
        """A verified block has come, from wherever."""
        for cover in self._covers:
            cover.sweep.arrived(block)

    def cover(self, job: Job) -> None:
        """Let *job* wait for a CAR, if one will bring it."""
        for cover in self._covers:
            if cover.open and cover.sweep.expects(job.cid.multihash):
                self._join(cover, job)

    def uncover(self, job: Job) -> None:
        """Let *job* go: it is over, or is to be asked for by itself."""
        for cover in self._covers:
            if job in cover.jobs:
                self._leave(cover, job)

    def asked(self, cover: Cover) -> None:
        """The CAR has been asked for, or that is over: it counts as a request for each job that waits for it."""
        for job in tuple(cover.jobs):
            self._leave(cover, job)
            self._join(cover, job)

    def give_up(self, cover: Cover) -> None:
        """The CAR is not to be relied upon any more: what it was to bring is asked for block by block."""
        cover.open = False
        for job in tuple(cover.jobs):
            self._leave(cover, job)

    def close(self, cover: Cover) -> None:
        """The CAR is over."""
        self.give_up(cover)
        self._covers.pop(cover, None)

    def _join(self, cover: Cover, job: Job) -> None:
        ask = next(iter(cover.job.asks), None)
        cover.jobs[job] = ask
        job.covered = True
        if ask is not None:
            job.asks.append(ask)
        self.needs.changed(job)

    def _leave(self, cover: Cover, job: Job) -> None:
        ask = cover.jobs.pop(job)
        if ask is not None:
            job.asks.remove(ask)
        job.covered = any(job in other.jobs for other in self._covers)
        self.needs.changed(job)
