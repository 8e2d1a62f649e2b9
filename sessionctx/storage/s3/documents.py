"""The XML that S3 speaks: read by expat as it comes, two levels deep, without entities; and written. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final
from xml.parsers import expat
from xml.sax.saxutils import escape

MOST: Final = 16 * 1024 * 1024
"""Bytes of a document: a page of 1,000 keys of 1,024 bytes, each encoded, takes a quarter of it."""
_NAMESPACE: Final = "http://s3.amazonaws.com/doc/2006-03-01/"


class NotXML(ValueError):
    """What came is no XML, or not of the plain kind that S3 speaks."""


class Document:
    """The name of the root, its fields, and its records: those of its children that have fields themselves."""

    def __init__(self) -> None:
        self.root = ""
        self.fields: dict[str, str] = {}
        self.records: list[tuple[str, dict[str, str]]] = []
        self._depth = 0
        self._text: list[str] = []
        self._record: dict[str, str] = {}
        parser = self._parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text.append
        parser.StartDoctypeDeclHandler = _refuse

    @classmethod
    def parse(cls, data: bytes) -> Document:
        """Read a whole one. :exc:`NotXML`."""
        self = cls()
        self.feed(data, last=True)
        return self

    def feed(self, data: bytes, *, last: bool = False) -> None:
        """Read on; *last* if that is the end. :exc:`NotXML`."""
        try:
            self._parser.Parse(data, last)
        except expat.ExpatError as error:
            raise NotXML(str(error)) from None

    def all(self, name: str) -> Iterable[dict[str, str]]:
        """Return the records called *name*."""
        return (record for kind, record in self.records if kind == name)

    def _start(self, name: str, attributes: dict[str, str]) -> None:  # noqa: ARG002
        self._depth += 1
        self._text.clear()
        if self._depth == 2:
            self._record = {}
        elif self._depth == 1:
            self.root = name.rpartition(":")[2]

    def _end(self, name: str) -> None:
        self._depth -= 1
        if self._depth == 2:
            self._record[name] = "".join(self._text)
        elif self._depth == 1:
            if self._record:
                self.records.append((name, self._record))
            else:
                self.fields[name] = "".join(self._text)
        self._text.clear()


def _refuse(*_: object) -> None:
    raise NotXML("it has a document type, which may define entities")


def written(root: str, records: Iterable[tuple[str, Mapping[str, str]]]) -> bytes:
    """Return a document with these records, as requests send it; one without fields is ``true``."""
    inner = "".join(
        f"<{name}>{''.join(f'<{key}>{escape(value)}</{key}>' for key, value in fields.items()) or 'true'}</{name}>"
        for name, fields in records
    )
    return f'<?xml version="1.0" encoding="UTF-8"?><{root} xmlns="{_NAMESPACE}">{inner}</{root}>'.encode()
