"""The part of the protobuf wire format that UnixFS is written in.

Source: protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from sessionctx.content.varint import written
from sessionctx.errors import DecodeError

_FIXED = {1: 8, 5: 4}


def varint(number: int) -> bytes:
    """Return *number* as a varint of up to 64 bits. :exc:`ValueError` if it needs more or is negative."""
    if not 0 <= number < 1 << 64:
        raise ValueError(f"{number} is no unsigned number of 64 bits")
    return written(number)


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the number at *at* and the offset behind it. :exc:`DecodeError` if it is cut off or over 64 bits."""
    number = 0
    for shift, byte in enumerate(data[at : at + 10]):
        number |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            if number >> 64:
                break
            return number, at + shift + 1
    raise DecodeError(f"the number at byte {at} is cut off or has over 64 bits")


def read_field(data: bytes, at: int) -> tuple[int, int | bytes, int]:
    """Return key (``number << 3 | wire type``) and value of the field at *at*, and the offset behind it.

    The value is an int for varints and bytes for all else. :exc:`DecodeError`.
    """
    key, at = read_varint(data, at)
    wire = key & 7
    if wire == 0:
        number, at = read_varint(data, at)
        return key, number, at
    if wire == 2:
        size, at = read_varint(data, at)
    elif wire in _FIXED:
        size = _FIXED[wire]
    else:
        raise DecodeError(f"there is no wire type {wire}, as at byte {at}")
    if at + size > len(data):
        raise DecodeError(f"the field of {size} bytes at byte {at} is cut off")
    return key, data[at : at + size], at + size
