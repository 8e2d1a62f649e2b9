"""How far an add or an export is, for whoever shows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import attrs


@attrs.frozen
class Progress:
    """How far it is."""

    files: int
    """Files that are done."""
    bytes: int
    """Bytes of files that are done."""
    total: int | None = None
    """How many bytes there will be, as far as is known: of a file its size; of a folder what its first block says of
    all blocks below it, which is a little more, and which nobody has checked. None while adding."""


OnProgress: TypeAlias = Callable[[Progress], object]
"""Called with each step of it, in the task that adds or exports; must not block."""
