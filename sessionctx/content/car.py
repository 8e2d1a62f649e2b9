"""CAR: blocks one behind the other, in a file or a stream. No I/O here: bytes in, sections out.

Source: ipld.io/specs/transport/car/carv1. Version 2 is read, too: its envelope is taken off, see `carv2`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sessionctx.content import dagcbor, varint
from sessionctx.content.carv2 import Envelope
from sessionctx.content.cid import CID, MAX_BYTES
from sessionctx.content.codes import MAX_BLOCK
from sessionctx.errors import CarError, CarTruncated, DecodeError, InvalidCID

MAX_HEADER: Final = 64 * 1024
"""Bytes in the largest header that is read."""
MAX_SECTION: Final = MAX_BLOCK + 256
"""Bytes in the largest section, CID and block together, that is read."""
MAX_NAME: Final = MAX_BYTES
"""Bytes at the beginning of a section within which its CID ends."""


def encode_header(roots: Iterable[CID]) -> bytes:
    """Return the beginning of a CAR. A reader may trust *roots* as little as we do."""
    body = dagcbor.encode({"version": 1, "roots": list(roots)})
    return varint.encode(len(body)) + body


def encode_section(cid: CID, data: bytes) -> bytes:
    """Return a block as a section of a CAR."""
    return encode_prefix(cid, len(data)) + data


def encode_prefix(cid: CID, size: int) -> bytes:
    """Return what stands before the *size* bytes of a block, for those who do not want to copy these."""
    raw = bytes(cid)
    return varint.encode(len(raw) + size) + raw


def section_size(head: bytes, at: int, *, header: bool = False) -> tuple[int, int]:
    """Return how many bytes the length takes that *head* begins with, and how many follow it; *at* is where it stands.

    :exc:`CarError` where there is no length, or it is nothing or too much.
    """
    what, limit = ("header", MAX_HEADER) if header else ("section", MAX_SECTION)
    try:
        size, length = varint.decode(head)
    except DecodeError:
        raise CarError(f"CAR: there is no length at byte {at}; the bytes there are {head.hex()}") from None
    if not 0 < size <= limit:
        raise CarError(f"CAR: a {what} of {size} bytes at byte {at}; it should have 1 to {limit}")
    return length, size


def section_name(section: bytes, at: int) -> tuple[CID, int]:
    """Return the CID that a section begins with, and its length; *at* is where the section stands. :exc:`CarError`."""
    try:
        return CID.read(section[:MAX_NAME])
    except InvalidCID as error:
        raise CarError(f"CAR: the section at byte {at} does not begin with a CID: {error}") from None


class CarDecoder:
    """Turns the bytes of a CAR, of either version, into sections while they arrive, however they are cut.

    The blocks are **not verified**: check them with :func:`sessionctx.content.verify` before use. At most one section
    is held (2 MiB and a little) besides what was just fed. After an error every further call raises it again.
    """

    def __init__(self) -> None:
        self.roots: tuple[CID, ...] | None = None
        """What the header names as roots, ``None`` until it has been read. A hint: anyone can write anything there."""
        self._envelope = Envelope()
        self._buffer = bytearray()
        self._need = 1  # bytes to wait for before looking again
        self._offset = 0  # of the buffer, in the stream
        self._error: CarError | None = None

    def feed(self, chunk: bytes | memoryview) -> list[tuple[CID, bytes]]:
        """Take the next bytes and return the sections that are whole now, in order.

        :exc:`CarError` for what is no CAR: where sections came before the fault, they are returned first, and the next
        call raises.
        """
        self._raise_again()
        try:
            self._buffer += self._envelope.open(chunk)
        except CarError as error:
            self._error = error
            raise
        sections: list[tuple[CID, bytes]] = []
        if len(self._buffer) >= self._need:
            try:
                self._read(sections)
            except CarError as error:
                self._error = error
                self._buffer.clear()
                if not sections:
                    raise
        return sections

    def finish(self) -> None:
        """Say that the stream has ended. :exc:`CarTruncated` if it did so inside the header or a section."""
        self._raise_again()
        self._buffer += self._envelope.finish()
        if self.roots is None:
            raise CarTruncated(f"the CAR ends within its header, after {self._offset + len(self._buffer)} bytes")
        if self._buffer:
            raise CarTruncated(
                f"the CAR ends within a section: {len(self._buffer)} bytes of it are there, at byte {self._offset}"
            )

    def _raise_again(self) -> None:
        if self._error is not None:
            raise CarError(str(self._error))

    def _read(self, sections: list[tuple[CID, bytes]]) -> None:
        at = 0
        with memoryview(self._buffer) as view:
            while (bounds := self._bounds(view, at)) is not None:
                start, end = bounds
                if self.roots is None:
                    self.roots = _roots(bytes(view[start:end]))
                else:
                    cid, size = section_name(bytes(view[start : min(end, start + MAX_NAME)]), self._offset + at)
                    sections.append((cid, bytes(view[start + size : end])))
                at = end
        del self._buffer[:at]
        self._offset += at

    def _bounds(self, view: memoryview, at: int) -> tuple[int, int] | None:
        """Return where the next header or section begins and ends, ``None`` if it is not whole yet."""
        head = bytes(view[at : at + varint.MAX_BYTES])
        if len(head) < varint.MAX_BYTES and min(head, default=0x80) >= 0x80:
            self._need = len(head) + 1
            return None
        length, size = section_size(head, self._offset + at, header=self.roots is None)
        end = at + length + size
        if end > len(view):
            self._need = end - at
            return None
        return at + length, end


def _roots(body: bytes) -> tuple[CID, ...]:
    try:
        header = dagcbor.decode(body)
    except DecodeError as error:
        raise CarError(f"CAR: the header cannot be read, so this is no CAR: {error}") from None
    version = header.get("version") if isinstance(header, dict) else None
    if not isinstance(header, dict) or type(version) is not int:
        raise CarError("CAR: the header is no map with a version, so this is no CAR")
    if version != 1:
        raise CarError(f"CAR: this is version {version}, which cannot be read here")
    roots = header.get("roots")
    cids = tuple(root for root in roots if isinstance(root, CID)) if isinstance(roots, list) else None
    if cids is None or header.keys() != {"version", "roots"} or header["roots"] != list(cids):
        raise CarError("CAR: the header must hold a version and a list of CIDs as roots, nothing else")
    return cids
