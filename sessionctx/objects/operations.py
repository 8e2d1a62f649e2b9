"""What can be done with one object. Pure."""

from __future__ import annotations

from collections.abc import AsyncIterable
from os import PathLike
from typing import TypeAlias

import attrs

from sessionctx.objects.metadata import Metadata

Body: TypeAlias = bytes | bytearray | memoryview | PathLike[str] | AsyncIterable[bytes]
"""Bytes; a file, which is opened when its turn comes; or a stream, whose size nobody knows."""


def _plain() -> Metadata:
    return Metadata()


@attrs.frozen
class Put:
    """Keep *body* under *key*, in place of what is there; under a key of the server's making if that is empty."""

    body: Body = attrs.field(repr=False)
    key: str = ""
    metadata: Metadata = attrs.field(factory=_plain)
    """Its *encoding* is what becomes of the body on the way: ``"zstd"`` compresses it here."""


@attrs.frozen
class Get:
    """Return the object; what is compressed comes as it was before, if it is to *decompress*."""

    key: str
    decompress: bool = True


@attrs.frozen
class Head:
    """Return what is known of the object."""

    key: str


@attrs.frozen
class Delete:
    """Delete the object; if it is not there, that is done already."""

    key: str


Operation: TypeAlias = Put | Get | Head | Delete


def writes(operation: Operation) -> bool:
    """Whether it changes what other operations on its key find."""
    return isinstance(operation, Put | Delete)
