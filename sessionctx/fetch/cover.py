"""Cover: what CARs that are on their way will bring is not asked for by itself, unless they are late with it."""

from __future__ import annotations

import attrs

from sessionctx.content import Block
from sessionctx.fetch.job import CarJob, Job
from sessionctx.fetch.needs import Needs


@attrs.define(eq=False)
class Covers:
    """The CARs of one session that are on their way."""

    needs: Needs
    held: dict[bytes, bytes] = attrs.field(factory=dict[bytes, bytes], init=False)
    """Verified blocks that are on their way to the store."""
    _cars: dict[CarJob, None] = attrs.field(factory=dict[CarJob, None], init=False)

    def open(self, car: CarJob) -> None:
        """From now on, *car* is to be reckoned with."""
        self._cars[car] = None

    def includes(self, name: bytes) -> bool:
        """Whether a CAR is on its way with what hangs below the block with this multihash."""
        return any(car.open and car.sweep.includes(name) for car in self._cars)

    def arrived(self, block: Block) -> None:
        """A verified block has come, from wherever."""
        for car in self._cars:
            car.sweep.arrived(block)

    def cover(self, job: Job) -> None:
        """Let *job* wait for a CAR, if one will bring it."""
        for car in self._cars:
            if car.open and car.sweep.expects(job.cid.multihash):
                self._join(car, job)

    def uncover(self, job: Job) -> None:
        """Let *job* go: it is over, or is to be asked for by itself."""
        for car in self._cars:
            if job in car.riders:
                self._leave(car, job)

    def asked(self, car: CarJob) -> None:
        """The CAR has been asked for, or that is over: it counts as a request for each job that waits for it."""
        for job in tuple(car.riders):
            self._leave(car, job)
            self._join(car, job)

    def give_up(self, car: CarJob) -> None:
        """The CAR is not to be relied upon any more: what it was to bring is asked for block by block."""
        car.open = False
        for job in tuple(car.riders):
            self._leave(car, job)

    def close(self, car: CarJob) -> None:
        """The CAR is over."""
        self.give_up(car)
        self._cars.pop(car, None)

    def _join(self, car: CarJob, job: Job) -> None:
        ask = next(iter(car.asks), None)
        car.riders[job] = ask
        job.covered = True
        if ask is not None:
            job.asks.append(ask)
        self.needs.changed(job)

    def _leave(self, car: CarJob, job: Job) -> None:
        ask = car.riders.pop(job)
        if ask is not None:
            job.asks.remove(ask)
        job.covered = any(job in other.riders for other in self._cars)
        self.needs.changed(job)
