"""Closing many things, each of which may fail: all are closed, then what went wrong is raised."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVarTuple

from sessionctx.session import events

Ts = TypeVarTuple("Ts")


class Closes(Protocol):
    """What a session needs to know of a slot: how its value ends."""

    def close(self, value: object) -> None:
        """End *value*."""
        ...


def logged(fn: Callable[[], None]) -> None:
    """Call *fn*; there is nobody whom an error could be raised in."""
    try:
        fn()
    except Exception:  # noqa: BLE001
        events.log.exception("a session was ended from another thread, and parts of it failed to close")


def attempt(failures: list[Exception], fn: Callable[[*Ts], object], *args: *Ts) -> None:
    """Call *fn*, and add what it raises to *failures*."""
    try:
        fn(*args)
    except Exception as error:  # noqa: BLE001  # collected, and raised when all has ended
        failures.append(error)


def raise_all(failures: list[Exception], message: str) -> None:
    """Raise the failure, or a group of them with this *message*; nothing if there is none."""
    if failures:
        raise failures[0] if len(failures) == 1 else ExceptionGroup(message, failures)
