"""Packets cut out of a stream of bytes, with as few copies as can be. Pure, and bounded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs

from sessionctx.storage.sftp.replies import BadPacket

MOST: Final = 512 * 1024
"""Bytes of a packet; OpenSSH's have 256 KiB at most."""


@attrs.define(eq=False)
class Frames:
    """Takes what is received, gives the packets in it (without their lengths)."""

    _parts: list[memoryview] = attrs.field(factory=list[memoryview], init=False)
    """Those of the length or of the packet that has begun."""
    _have: int = attrs.field(default=0, init=False)
    _need: int = attrs.field(default=4, init=False)
    _inside: bool = attrs.field(default=False, init=False)
    """A packet comes next, and no length."""

    def feed(self, chunk: bytes) -> Iterator[memoryview]:
        """Take one more piece of the stream; give the packets that end in it. :exc:`BadPacket`."""
        left = memoryview(chunk)
        while self._have + len(left) >= self._need:
            missing = self._need - self._have
            whole, left = self._joined(left[:missing]), left[missing:]
            self._parts, self._have = [], 0
            if self._inside:
                self._inside, self._need = False, 4
                yield whole
            else:
                self._inside, self._need = True, _length(whole)
        if left:
            self._parts.append(left)
            self._have += len(left)

    def _joined(self, last: memoryview) -> memoryview:
        return memoryview(b"".join([*self._parts, last])) if self._parts else last


def _length(head: memoryview) -> int:
    length = int.from_bytes(head)
    if not 1 <= length <= MOST:
        raise BadPacket(f"a packet of {length} bytes")
    return length
