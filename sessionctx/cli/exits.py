"""The exit codes: one table, which ``sessionctx --help`` prints and every verb uses."""

from __future__ import annotations

import enum
from typing import cast

from sessionctx.errors import (
    Busy,
    Denied,
    FetchFailed,
    FileDamaged,
    HashMismatch,
    InvalidCID,
    InvalidLocation,
    InvalidPeer,
    Lied,
    LimitReached,
    MissingExtra,
    NotFound,
    NothingPinned,
    PeerFailed,
    SessionctxError,
    Stalled,
    Unreachable,
)


class Exit(enum.IntEnum):
    """What the process ends with. Treat a code that is not in this table as a failure."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    PARTLY = 3
    NOT_FOUND = 4
    TEMPORARY = 5
    MISMATCH = 6
    LIMIT = 7
    INTERRUPTED = 130
    NO_READER = 141
    TERMINATED = 143


MEANINGS: dict[Exit, str] = {
    Exit.DONE: "done",
    Exit.FAILED: "failed",
    Exit.USAGE: "the command line is wrong, or something must be installed first",
    Exit.PARTLY: "done in part: some of several things failed",
    Exit.NOT_FOUND: "nobody who was asked has it",
    Exit.TEMPORARY: "failed for a reason that may pass; trying again may help",
    Exit.MISMATCH: "bytes did not match their name",
    Exit.LIMIT: "a limit was reached",
    Exit.INTERRUPTED: "interrupted (Ctrl-C)",
    Exit.NO_READER: "whoever read stdout went away",
    Exit.TERMINATED: "terminated (SIGTERM)",
}

_BY_CLASS: tuple[tuple[type[Exception], Exit], ...] = (  # the first that fits counts
    (FetchFailed, Exit.TEMPORARY),
    (NotFound, Exit.NOT_FOUND),
    (HashMismatch, Exit.MISMATCH),
    (Lied, Exit.MISMATCH),
    (FileDamaged, Exit.MISMATCH),
    (LimitReached, Exit.LIMIT),
    (InvalidCID, Exit.USAGE),
    (InvalidLocation, Exit.USAGE),
    (InvalidPeer, Exit.USAGE),
    (NothingPinned, Exit.USAGE),
    (MissingExtra, Exit.USAGE),
    (Denied, Exit.NOT_FOUND),
    (Busy, Exit.TEMPORARY),
    (Unreachable, Exit.TEMPORARY),
    (Stalled, Exit.TEMPORARY),
    (PeerFailed, Exit.TEMPORARY),
    (BrokenPipeError, Exit.NO_READER),
)


def exit_code(error: Exception) -> Exit:
    """The code that *error* ends the process with."""
    error = cause(error)
    if isinstance(error, FetchFailed) and error.lied:
        return Exit.MISMATCH
    return next((code for kind, code in _BY_CLASS if isinstance(error, kind)), Exit.FAILED)


def cause(error: Exception) -> Exception:
    """The error to tell of: *error* itself or, of a group, the first of ours in it, else the first."""
    if not isinstance(error, ExceptionGroup):
        return error
    inner = [cause(each) for each in cast("ExceptionGroup[Exception]", error).exceptions]
    return next((each for each in inner if isinstance(each, SessionctxError)), inner[0])
