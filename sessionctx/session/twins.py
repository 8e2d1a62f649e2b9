"""Copies of errors, so that each of several tasks can raise one of its own."""

from __future__ import annotations

from typing import Any


def twin(error: Exception) -> Exception:
    """Return an error like *error*: its type, arguments, fields, notes, cause and traceback.

    No constructor of a subclass is called, since those may want what only the first raiser knew. An error that cannot
    be copied even so is returned itself: better shared than lost.
    """
    try:
        return _copy(error)
    except Exception:  # noqa: BLE001  # whatever its class does to prevent it
        return error


def _copy(error: Exception) -> Exception:
    cls = type(error)
    builtin: Any = next(base for base in cls.__mro__ if base.__module__ == "builtins")
    _, arguments, *state = builtin.__reduce__(error)
    other: Exception = builtin.__new__(cls, *arguments)
    builtin.__init__(other, *arguments)
    if state and state[0]:
        builtin.__setstate__(other, state[0])
    for base in cls.__mro__:
        for slot in _slots(base):
            if hasattr(error, slot):
                setattr(other, slot, getattr(error, slot))
    notes = getattr(error, "__notes__", None)
    if notes is not None:
        other.__notes__ = list(notes)
    other.__cause__ = error.__cause__
    other.__context__ = error.__context__
    other.__suppress_context__ = error.__suppress_context__
    return other.with_traceback(error.__traceback__)


def _slots(cls: type) -> tuple[str, ...]:
    slots = cls.__dict__.get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)
