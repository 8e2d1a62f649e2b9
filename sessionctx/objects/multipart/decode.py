"""Read a body of many parts as it comes, on the push parser of the package *multipart*. Pure.

That is linear in what comes, knows delimiters only at the beginning of a line, and notices where a body is cut. A fault
in the framing is final: nothing that follows can be trusted.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, Final, TypeAlias

import attrs

from sessionctx.errors import DecodeError, MissingExtra

MOST_HEADERS: Final = 128
MOST_HEADER: Final = 16 * 1024
"""Bytes of one header of a part."""


@attrs.frozen
class Head:
    """A part begins; its headers, names in lower case. The *index* counts parts from 0."""

    index: int
    headers: tuple[tuple[str, str], ...]

    def get(self, name: str, default: str = "") -> str:
        """Return the first header of this name."""
        return next((value for each, value in self.headers if each == name), default)


@attrs.frozen
class Data:
    """Some of the body of the part that has begun last."""

    data: bytes


@attrs.frozen
class End:
    """That part is whole."""


Event: TypeAlias = Head | Data | End


@cache
def _parser() -> Any:
    """Return the push parser, for parts that need not be fields of a form, whatever they say of themselves."""
    multipart = _library()

    class Parser(multipart.PushMultipartParser):  # type: ignore[misc, name-defined]  # the package has no types
        def _create_segment(self, headerlist: list[tuple[str, str]]) -> object:
            return multipart.MultipartSegment(headerlist)

    return Parser


def _library() -> Any:
    try:
        import multipart  # pyright: ignore[reportMissingTypeStubs]
    except ImportError:
        raise MissingExtra(
            "bodies of many parts need the package multipart: pip install 'sessionctx[objects]'"
        ) from None
    return multipart


@attrs.define(eq=False)
class Decoder:
    """One body. Feed it with what comes, then `close` it."""

    boundary: str
    max_parts: int = 1000
    """One more is a fault of the framing."""
    _parser: Any = attrs.field(init=False)
    _index: int = attrs.field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self._parser = _parser()(
            self.boundary,
            max_header_count=MOST_HEADERS,
            max_header_size=MOST_HEADER,
            max_segment_count=self.max_parts,
        )

    def feed(self, data: bytes) -> Iterator[Event]:
        """Yield what *data* brings, to be read to its end before more is fed. :exc:`DecodeError`, which is final."""
        if not data:
            return
        try:
            for event in self._parser.parse(data):
                yield self._told(event)
        except _library().MultipartError as error:
            raise DecodeError(f"a body of many parts is broken: {error}") from error

    def close(self) -> None:
        """Nothing more comes. :exc:`DecodeError` if it is not whole."""
        try:
            self._parser.close()
        except _library().MultipartError as error:
            raise DecodeError(f"a body of many parts ends after {self._index} parts, and is not whole") from error

    def _told(self, event: object) -> Event:
        if event is None:
            return End()
        if isinstance(event, bytes | bytearray):
            return Data(bytes(event))
        segment: Any = event
        head = Head(self._index, tuple((name.lower(), value) for name, value in segment.headerlist))
        self._index += 1
        return head
