"""One context variable that the facts are shown with."""

from __future__ import annotations

from contextvars import ContextVar

import pytest

VARIABLE: ContextVar[str] = ContextVar("VARIABLE", default="unset")


class Bound:
    """A scope in its dullest form: set on entry, reset on exit."""

    def __init__(self, value: str) -> None:
        self.value = value

    def __enter__(self) -> None:
        self.token = VARIABLE.set(self.value)

    def __exit__(self, *exc: object) -> None:
        VARIABLE.reset(self.token)


@pytest.fixture(scope="session")
def variable() -> ContextVar[str]:
    return VARIABLE


@pytest.fixture(scope="session")
def bound() -> type[Bound]:
    """A context manager class: ``with bound("value"):`` binds the variable for the block."""
    return Bound
