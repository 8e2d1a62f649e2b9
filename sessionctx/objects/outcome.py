"""What became of an operation: exactly one outcome for each, whatever happens on the way."""

from __future__ import annotations

from typing import TypeAlias

import attrs

from sessionctx.objects.metadata import Metadata
from sessionctx.objects.operations import Operation


@attrs.frozen
class Object:
    """An object as it came."""

    key: str
    metadata: Metadata
    body: bytes | None = attrs.field(repr=False)
    """Expanded, unless it was asked for as it is stored; None if it is too large to be held: open it to read it."""


Value: TypeAlias = str | Object | Metadata | None
"""Of a `Put` the key, of a `Get` the object, of a `Head` its metadata; None of a `Delete`, and of what is absent."""


@attrs.frozen
class Result:
    """What became of one operation of ``many``."""

    index: int
    """Its place in the input, from 0."""
    operation: Operation
    value: Value = None
    error: Exception | None = None
    """Why it failed; `OutcomeUnknown` if it may have happened nevertheless."""

    def get(self) -> Value:
        """Return the value, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.value

    @property
    def size(self) -> int:
        """Bytes of content that it holds in memory."""
        return len(self.value.body or b"") if isinstance(self.value, Object) else 0
