"""dag-json: JSON with bytes and links, where each value has exactly one encoding.

Source: ipld.io/specs/codecs/dag-json/spec. Links are ``{"/": "cid"}``, bytes ``{"/": {"bytes": "base64"}}``; what could
be taken for either and is none may not be written at all. Python's own parser reads the text once it is known to be
no deeper than the stack allows; writing does not recurse.
"""

from __future__ import annotations

import json
import re
from binascii import Error as NotBase64
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import cache
from json.encoder import encode_basestring as _quote
from math import isfinite
from typing import Final, NoReturn, TypeAlias, cast

from sessionctx.content.cid import CID
from sessionctx.content.codes import MAX_BLOCK
from sessionctx.content.data import MAX_DEPTH, Value
from sessionctx.errors import BlockTooLarge, DecodeError, InvalidCID

_Pairs: TypeAlias = "Callable[[list[tuple[str, Value]]], Value]"
_SLASH: Final = "/"
_BYTES: Final = "bytes"
_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_LONGEST_INT: Final = len(str(-(1 << 64)))
_TOO_DEEP: Final = f"json: lists and maps are nested deeper than {MAX_DEPTH}"


# --- decode


def decode(data: bytes, *, strict: bool = True) -> Value:
    """Read the one value that *data* must be.

    Without *strict*, it may be written in any way that JSON allows: with spaces, keys in any order, other forms of
    numbers. Never allowed are keys that come twice, ints over 64 bits, and maps with ``/`` that are only nearly a link
    or bytes. :exc:`DecodeError`; :exc:`BlockTooLarge` above 2 MiB.
    """
    _check_size(len(data))
    value = _parse(data, _value_of)
    if strict and _written(value) != data:
        raise DecodeError(
            "dag-json: this is not the one way to write this: spaces, the order of keys, forms of numbers"
        )
    return value


def parse(data: bytes) -> Value:
    """Read plain JSON, where ``/`` means nothing. Errors as in `decode`; nothing is asked of how it is written."""
    _check_size(len(data))
    return _parse(data, _map_of)


def _parse(data: bytes, pairs: _Pairs) -> Value:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise DecodeError("json: the text is not UTF-8") from None
    depth = _depth(data)
    try:
        value = cast("Value", _parser(pairs).decode(text))
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"json: {error}") from None
    if depth > MAX_DEPTH or b"\\u" in data:
        _written(value, links=pairs is _value_of)  # or it is too deep all the same, or half a pair of escapes is in it
    return value


@cache
def _parser(pairs: _Pairs) -> json.JSONDecoder:
    return json.JSONDecoder(
        object_pairs_hook=pairs,
        parse_int=_int,
        parse_float=_float,
        parse_constant=_constant,
    )


def _depth(data: bytes) -> int:
    """Return how deep the text is nested. What could overrun the stack is refused; other faults the parser finds."""
    depth = deepest = 0
    for bracket in _STRING.sub(b"", data).translate(None, _NOT_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > deepest:
            deepest = depth
            if deepest > MAX_DEPTH + 2:  # bytes take two
                raise DecodeError(_TOO_DEEP)
    return deepest


def _map_of(pairs: list[tuple[str, Value]]) -> dict[str, Value]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise DecodeError(f"json: the map key {twice[:80]!r} comes twice")
    return found


def _value_of(pairs: list[tuple[str, Value]]) -> Value:
    """Return the map, link or bytes that these *pairs* mean."""
    found = _map_of(pairs)
    if not pairs or pairs[0][0] != _SLASH:
        return found
    inner = pairs[0][1]
    if isinstance(inner, str):
        if len(pairs) == 1:
            return _link(inner)
    elif isinstance(inner, dict) and isinstance(content := _first(inner), str):
        if len(pairs) == len(inner) == 1:
            return _bytes(content)
    else:
        return found
    raise DecodeError("dag-json: a map begins as a link or bytes do, with '/', and goes on")


def _first(inner: dict[str, Value]) -> Value:
    """Return what stands under ``bytes``, if that comes first."""
    key = next(iter(inner), None)
    return inner[key] if key == _BYTES else None


def _link(text: str) -> CID:
    try:
        return CID.parse(text)
    except InvalidCID as error:
        raise DecodeError(f"dag-json: a link is no CID: {error}") from None


def _bytes(text: str) -> bytes:
    try:
        content = a2b_base64(text + "=" * (-len(text) % 4), strict_mode=True)
    except (NotBase64, ValueError):
        content = None
    if content is None or _base64(content) != text:
        raise DecodeError(f"dag-json: bytes are not written in base64 without padding: {text[:80]!r}")
    return content


def _base64(content: bytes) -> str:
    return b2a_base64(content, newline=False).rstrip(b"=").decode()


def _int(text: str) -> int:
    if len(text) > _LONGEST_INT or not -1 << 64 <= (number := int(text)) < 1 << 64:
        raise DecodeError(f"json: ints have up to 64 bits here, {text[:40]} has more")
    return number


def _float(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise DecodeError(f"json: the number {text[:40]} is too large")
    return number + 0.0  # adding 0.0 turns -0.0 into 0.0


def _constant(text: str) -> NoReturn:
    raise DecodeError(f"json: {text} is no value")


# --- encode


def encode(value: Value, *, links: bool = True) -> bytes:
    """Return the bytes of *value*; without *links* as plain JSON, which has neither links nor bytes.

    :exc:`TypeError` for what it cannot hold; :exc:`ValueError` for NaN, infinities, ints over 64 bits, what is too deep
    or loops, text that UTF-8 cannot hold, and maps that would read as links or bytes; :exc:`BlockTooLarge` above 2 MiB.
    """
    out: list[str] = []
    size = 0
    level: list[Iterator[str | tuple[Value]]] = [iter([(value,)])]
    while level:
        for item in level[-1]:
            piece, inside = (item, None) if isinstance(item, str) else _write(item[0], links=links)
            out.append(piece)
            size += len(piece)
            _check_size(size)
            if inside is not None:
                if len(level) > MAX_DEPTH:
                    raise ValueError(f"lists and maps are nested deeper than {MAX_DEPTH}")
                level.append(inside)
                break
        else:
            level.pop()
    data = "".join(out).encode()
    _check_size(len(data))
    return data


def _write(item: Value, *, links: bool) -> tuple[str, Iterator[str | tuple[Value]] | None]:
    """Return what *item* begins with, and what comes behind that if it is a list or map."""
    kind = type(item)
    if kind is list:
        return "[", _listed(cast("list[Value]", item))
    if kind is dict:
        entries = cast("dict[str, Value]", item)
        return "{", _mapped(entries, links=links)
    if kind is bytes or isinstance(item, CID):
        if not links:
            raise TypeError("JSON has neither bytes nor links; dag-json has")
        return f'{{"/":{_inner(cast("bytes | CID", item))}}}', None
    return _scalar(item), None


def _inner(item: bytes | CID) -> str:
    return _quote(str(item)) if isinstance(item, CID) else f'{{"bytes":"{_base64(item)}"}}'


def _scalar(item: Value) -> str:
    if item is None or item is True or item is False:
        return "null" if item is None else "true" if item else "false"
    if type(item) is int:
        if not -1 << 64 <= item < 1 << 64:
            raise ValueError(f"ints have up to 64 bits here, {item:#x} has more")
        return str(item)
    if type(item) is str:
        return _quote(item)
    if type(item) is float:
        return _number(item)
    raise TypeError(f"dag-json cannot hold a {type(item).__name__}")


def _number(number: float) -> str:
    """Write a float in as few digits as identify it, as ECMAScript does (Number::toString), but never as an int."""
    if not isfinite(number):
        raise ValueError(f"JSON cannot hold the float {number}")
    exact = Decimal(repr(number + 0.0))  # adding 0.0 turns -0.0 into 0.0
    if exact and not -7 < exact.adjusted() < 21:
        return format(exact, "e")
    text = format(exact, "f")
    return text if "." in text else f"{text}.0"


def _listed(items: list[Value]) -> Iterator[str | tuple[Value]]:
    for n, item in enumerate(items):
        if n:
            yield ","
        yield (item,)
    yield "]"


def _mapped(entries: dict[str, Value], *, links: bool) -> Iterator[str | tuple[Value]]:
    for key in entries:
        if type(key) is not str:
            raise TypeError(f"dag-json has texts for map keys, not a {type(key).__name__}")
    keys = sorted(entries)  # by code points, which is the order of their bytes in UTF-8
    if links and keys[:1] == [_SLASH] and _misleads(entries[_SLASH]):
        raise ValueError("dag-json cannot hold a map that begins with '/' as links and bytes do")
    for n, key in enumerate(keys):
        yield f"{',' if n else ''}{_quote(key)}:"
        yield (entries[key],)
    yield "}"


def _misleads(inner: Value) -> bool:
    """Whether this, after ``{"/":``, would begin a link or bytes."""
    if isinstance(inner, dict) and inner:
        return min(inner) == _BYTES and isinstance(inner[_BYTES], str)
    return isinstance(inner, str)


def _written(value: Value, *, links: bool = True) -> bytes:
    try:
        return encode(value, links=links)
    except ValueError as error:
        raise DecodeError(f"json: {error}") from None


def _check_size(size: int) -> None:
    if size > MAX_BLOCK:
        raise BlockTooLarge(f"{size} bytes of JSON are over the limit of {MAX_BLOCK}")
