"""What ``many`` asks of a service, and what a service tells of the operations that it was sent."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable
from typing import Protocol, TypeAlias

from sessionctx.objects.operations import Operation
from sessionctx.objects.outcome import Value
from sessionctx.objects.schedule import Item

Operations: TypeAlias = Iterable[Operation] | AsyncIterable[Operation]
"""Consumed as it is needed, so it may be endless."""


class Answers(Protocol):
    """Whom a service tells what became of the operations of one request."""

    async def answer(self, index: int, value: Value = None, error: Exception | None = None) -> None:
        """Tell the outcome of one; a second one for the same operation is left alone. May wait until there is room."""
        ...


class Service(Protocol):
    """Where the requests of ``many`` go. What it raises is the outcome of all that it has not answered."""

    async def prepare(self, index: int, operation: Operation) -> Item:
        """Check and measure an operation before anything is sent for it."""
        ...

    async def batch(self, operations: dict[int, Operation], answers: Answers) -> None:
        """Send small operations in one request."""
        ...

    async def alone(self, index: int, operation: Operation, answers: Answers) -> None:
        """Send one operation."""
        ...
