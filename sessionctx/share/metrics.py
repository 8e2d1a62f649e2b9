"""What a share has done, counted: per command, per source, and what went wrong by its cause. Plain integers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

import attrs
import trio

Command: TypeAlias = Literal["share", "load", "read"]
MOST_SOURCES: Final = 1000
"""Services that are counted each by itself; those asked first are forgotten first."""


@attrs.frozen(kw_only=True)
class CommandStatistics:
    """One command. ``count == succeeded + cancelled + sum(failures.values()) + running``."""

    count: int
    """How often it was called."""
    running: int
    succeeded: int
    cancelled: int
    seconds: float
    """Of all calls that have ended, together."""
    bytes: int
    """Of content: taken in (share), received from services, of use or not (load), given out (read)."""
    retries: int
    """Of loads: requests beyond the first of each."""
    failures: Mapping[str, int]
    """How many calls failed, by the name of the error that they raised."""


@attrs.frozen(kw_only=True)
class SourceStatistics:
    """One service that loads have asked. Each request ends in success, a failure, or is dropped as not needed."""

    requests: int
    bytes: int
    """That came from it, of use or not."""
    seconds: float
    """Of all its requests that have ended, together."""
    failures: Mapping[str, int]
    """How many requests failed, by the name of the error: ``NotHere``, ``Unreachable``, ``Stalled``, ``Lied``, ..."""


@attrs.frozen(kw_only=True)
class ShareStatistics:
    """A snapshot of what a `BlobShare` has done since it was opened."""

    share: CommandStatistics
    load: CommandStatistics
    read: CommandStatistics
    """Reads of what is in the own storage: those that serve other services, too."""
    sources: Mapping[str, SourceStatistics]
    """By the public address of the service."""
    hits: int
    """Loads that found the blob in the own storage."""
    evicted: int
    """Blobs that were evicted to make room."""


@attrs.define(eq=False)
class Tracked:
    """The running counts of one command, or of the requests to one source."""

    count: int = 0
    running: int = 0
    succeeded: int = 0
    cancelled: int = 0
    seconds: float = 0.0
    bytes: int = 0
    retries: int = 0
    failures: Counter[str] = attrs.field(factory=Counter[str])

    @contextmanager
    def one(self) -> Generator[None]:
        """Count one call, however its block ends."""
        began = trio.current_time()
        self.count += 1
        self.running += 1
        try:
            yield
        except Exception as error:
            self.failures[type(error).__name__] += 1
            raise
        except BaseException:
            self.cancelled += 1
            raise
        else:
            self.succeeded += 1
        finally:
            self.running -= 1
            self.seconds += trio.current_time() - began

    def as_command(self) -> CommandStatistics:
        """Return a frozen copy."""
        return CommandStatistics(
            count=self.count,
            running=self.running,
            succeeded=self.succeeded,
            cancelled=self.cancelled,
            seconds=self.seconds,
            bytes=self.bytes,
            retries=self.retries,
            failures=MappingProxyType(dict(self.failures)),
        )

    def as_source(self) -> SourceStatistics:
        """Return a frozen copy."""
        failures = MappingProxyType(dict(self.failures))
        return SourceStatistics(requests=self.count, bytes=self.bytes, seconds=self.seconds, failures=failures)


@attrs.define(eq=False)
class Metrics:
    """The running counts behind `ShareStatistics`."""

    commands: dict[Command, Tracked] = attrs.field(
        factory=lambda: {"share": Tracked(), "load": Tracked(), "read": Tracked()}
    )
    hits: int = 0
    evicted: int = 0
    _sources: dict[str, Tracked] = attrs.field(factory=dict[str, Tracked])

    def source(self, public: str) -> Tracked:
        """Return the counts of a service."""
        if public not in self._sources:
            if len(self._sources) >= MOST_SOURCES:
                del self._sources[next(iter(self._sources))]
            self._sources[public] = Tracked()
        return self._sources[public]

    def statistics(self) -> ShareStatistics:
        """Return a frozen copy."""
        commands = {name: tracked.as_command() for name, tracked in self.commands.items()}
        return ShareStatistics(
            **commands,
            sources=MappingProxyType({public: tracked.as_source() for public, tracked in self._sources.items()}),
            hits=self.hits,
            evicted=self.evicted,
        )
