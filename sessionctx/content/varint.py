"""Unsigned varints: 7 bits a byte, least significant first, minimal, at most 9 bytes (63 bits).

Source: github.com/multiformats/unsigned-varint.
"""

from __future__ import annotations

import functools

from sessionctx.errors import DecodeError

MAX_BYTES = 9
"""Bytes in the longest varint."""


@functools.lru_cache(maxsize=1024)  # a DAG says the same few sizes again and again
def encode(number: int) -> bytes:
    """Return *number* as a varint. :exc:`ValueError` below 0 or from 2**63 on."""
    if not 0 <= number < 1 << 63:
        raise ValueError(f"a varint holds 0 to 2**63 - 1, not {number}")
    return written(number)


def written(number: int) -> bytes:
    """Return *number*, which is not negative, in groups of 7 bits."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def decode(data: bytes | memoryview, offset: int = 0) -> tuple[int, int]:
    """Return the number that begins at *offset*, and the offset behind it. :exc:`DecodeError` if there is none."""
    number = shift = 0
    at = offset
    try:
        while (byte := data[at]) > 0x7F:
            number |= (byte & 0x7F) << shift
            shift += 7
            at += 1
            if shift == 7 * MAX_BYTES:
                raise DecodeError(f"the varint at byte {offset} is longer than {MAX_BYTES} bytes")
    except IndexError:
        raise DecodeError(f"the varint at byte {offset} is cut off") from None
    if byte == 0 and shift:
        raise DecodeError(f"the varint at byte {offset} is longer than it has to be")
    return number | byte << shift, at + 1
