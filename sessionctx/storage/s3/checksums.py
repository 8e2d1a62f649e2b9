"""The checksums that S3 keeps of whole objects: counted as bytes pass, and put together from those of the parts.

Source: Amazon S3 User Guide, "Checking object integrity for data uploads".
"""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from typing import Final, Literal, Protocol, Self, TypeAlias, get_args

import attrs

from sessionctx.storage.s3.extra import module

Name: TypeAlias = Literal["crc64nvme", "crc32c", "crc32", "sha256", "sha1"]

OURS: Final[Name] = "crc64nvme"
"""What is sent: 40 GB/s, and the one that Amazon adds itself where none is sent."""
_BYTES: Final = {"crc64nvme": 8, "crc32c": 4, "crc32": 4}


class Sum(Protocol):
    """A checksum while it is counted."""

    def add(self, piece: bytes | bytearray | memoryview) -> None:
        """Take the next bytes in."""
        ...

    @property
    def text(self) -> str:
        """What a header says of it."""
        ...


@attrs.define(eq=False)
class Crc:
    """A cyclic redundancy check, in Base64 of its bytes, the highest first."""

    name: Name = OURS
    value: int = 0
    length: int = 0
    """The bytes that it is of."""

    def add(self, piece: bytes | bytearray | memoryview) -> None:
        """Take the next bytes in."""
        self.value = getattr(module("awscrt.checksums"), self.name)(piece, self.value)
        self.length += len(piece)

    @property
    def text(self) -> str:
        """What a header says of it."""
        return b64encode(self.value.to_bytes(_BYTES[self.name], "big")).decode()

    @classmethod
    def of_all(cls, name: Name, parts: Iterable[tuple[int, int]]) -> Self:
        """Return that of parts one after the other, each given as its value and its length."""
        combine = getattr(module("awscrt.checksums"), f"combine_{name}")
        whole = cls(name)
        for value, length in parts:
            whole.value = combine(whole.value, value, length)
            whole.length += length
        return whole


class Digest:
    """A cryptographic one; those of parts tell nothing of the whole."""

    def __init__(self, name: Name) -> None:
        self._hash = hashlib.new(name, usedforsecurity=False)

    def add(self, piece: bytes | bytearray | memoryview) -> None:
        """Take the next bytes in."""
        self._hash.update(piece)

    @property
    def text(self) -> str:
        """What a header says of it."""
        return b64encode(self._hash.digest()).decode()


@attrs.frozen
class Expected:
    """What the server says that the checksum of the whole object is."""

    name: Name
    text: str

    @property
    def by_parts(self) -> bool:
        """Whether it can be put together from those of parts."""
        return self.name in _BYTES

    def begin(self) -> Sum:
        """Return a count of the same kind."""
        return Crc(self.name) if self.by_parts else Digest(self.name)


def expected(headers: Mapping[str, str]) -> Expected | None:
    """Return what *headers* say of the whole object, or None. One that is made of those of its parts says nothing."""
    if headers.get("x-amz-checksum-type", "FULL_OBJECT") != "FULL_OBJECT":
        return None
    for name in get_args(Name):
        text = headers.get(f"x-amz-checksum-{name}")
        if text is not None and "-" not in text and _is_base64(text):
            return Expected(name, text)
    return None


def _is_base64(text: str) -> bool:
    try:
        return bool(b64decode(text, validate=True))
    except ValueError:
        return False
