"""Priors, kept: what sessions learn of peers, for the next run, in a small file."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable
from pathlib import Path
from threading import Lock
from typing import Final, Protocol
from weakref import WeakSet

import attrs
import trio

from sessionctx.atomic import writing
from sessionctx.peers import Prior, Record, from_json, learnt, merged, recall, to_json

MOST_BYTES: Final = 4 * 1024 * 1024
"""Bytes of a file that are read; a larger one is none of ours."""

_writing = Lock()
"""Held by the worker thread that writes: nodes of one process that share a folder take turns."""

log = logging.getLogger("sessionctx.fetch")


class HasRecords(Protocol):
    """Somebody who deals with peers."""

    @property
    def records(self) -> Iterable[Record]:
        """What is known of them."""
        ...


@attrs.define(eq=False)
class Priors:
    """What is known of peers from earlier sessions, of this run and others. A hint, not a verdict."""

    path: Path
    _priors: dict[str, Prior] = attrs.field(factory=dict[str, Prior], init=False)
    _new: dict[str, Prior] = attrs.field(factory=dict[str, Prior], init=False)
    _sources: WeakSet[HasRecords] = attrs.field(factory=WeakSet["HasRecords"], init=False)
    """Sessions that are not over yet."""

    def attach(self, source: HasRecords) -> None:
        """Learn from *source*, too, before saving."""
        self._sources.add(source)

    def recall(self, record: Record) -> None:
        """Let the record of a peer that nothing is known of begin from what is remembered."""
        prior = self._new.get(record.peer.public) or self._priors.get(record.peer.public)
        if prior is not None and record.latency is None:
            recall(record, prior, time.time())

    def learn(self, records: Iterable[Record]) -> None:
        """Remember what these records say."""
        self._new |= learnt(records, time.time(), self._priors | self._new)

    async def load(self) -> None:
        """Read the file, if there is one. One that is damaged or somebody else's is left out, with a warning."""
        try:
            self._priors = await trio.to_thread.run_sync(self._read)
        except (OSError, ValueError) as error:
            log.warning("%s is not used, and will be written anew: %s", self.path, error)

    async def save(self) -> None:
        """Write what was learnt, beside what others have written meanwhile; not at all if that is nothing."""
        for source in tuple(self._sources):
            self.learn(source.records)
        if self._new:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(self._write)

    def _read(self) -> dict[str, Prior]:
        try:
            with self.path.open("rb") as file:
                return from_json(json.loads(file.read(MOST_BYTES)))
        except FileNotFoundError:
            return {}
        except RecursionError:
            raise ValueError("it is nested too deeply") from None

    def _write(self) -> None:
        """Write it whole, or not at all: it is only a hint, so a failure is told and that is all."""
        try:
            with _writing, writing(self.path, replace=True) as file:
                told = to_json(merged(self._others(), self._new, time.time()))
                file.write(json.dumps(told, indent=1, sort_keys=True).encode())
        except OSError as error:
            log.warning("what was learnt of peers could not be kept in %s: %s", self.path, error)

    def _others(self) -> dict[str, Prior]:
        """What is there now; that it is damaged was told when it was loaded."""
        try:
            return self._read()
        except (OSError, ValueError):
            return {}
