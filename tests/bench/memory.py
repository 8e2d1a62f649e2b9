"""Memory at hand: room for the pages of files that the host of a virtual machine does not take back meanwhile."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PIECE = 1 << 20
"""Bytes. A host takes back pieces of twice the size and more (a huge page)."""
SPARE = 128 * PIECE
"""Bytes beyond those that are asked for."""


@contextmanager
def at_hand(folder: Path, size: int) -> Iterator[None]:
    """Keep memory for *size* bytes of files at hand, if there is enough of it.

    Under free page reporting, what a virtual machine has not used for two seconds goes back to its host, and to get it
    again takes ten times as long as to write to it: 2.4 s per GiB where writing takes 0.25. So whoever writes right
    after others is quick, and whoever takes longer than two seconds is not, whatever the disk does. Here two files are
    written in turns and one of them is deleted: what that leaves are pieces between those of the other, too small to be
    taken back, and so they come first for the next files.
    """
    if _free() < 3 * (size + SPARE):
        yield
        return
    piece = bytes(PIECE)
    kept, gone = folder / "kept", folder / "gone"
    with kept.open("wb", buffering=0) as one, gone.open("wb", buffering=0) as other:
        for _ in range((size + SPARE) // PIECE):
            one.write(piece)
            other.write(piece)
        gone.unlink()
        os.fsync(one.fileno())
        try:
            yield
        finally:
            kept.unlink()


def _free() -> int:
    """Bytes of memory that are free; 0 where the system does not say."""
    known = "SC_AVPHYS_PAGES" in os.sysconf_names
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if known else 0
