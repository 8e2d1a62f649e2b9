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
        parser = self._parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = _refuse
        self._handle(parser)

    def _handle(self, parser: expat.XMLParserType) -> None:
        """Set the handlers: closures, because they are called a dozen times for each key of a listing."""
        depth, text, record = 0, "", dict[str, str]()

        def start(name: str, _: object) -> None:
            nonlocal depth, text, record
            depth += 1
            text = ""
            if depth == 2:
                record = {}
            elif depth == 1:
                self.root = name.rpartition(":")[2]

        def characters(data: str) -> None:
            nonlocal text
            text += data

        def end(name: str) -> None:
            nonlocal depth, text
            depth -= 1
            if depth == 2:
                record[name] = text
            elif depth == 1:
                if record:
                    self.records.append((name, record))
                else:
                    self.fields[name] = text
            text = ""

        parser.StartElementHandler, parser.EndElementHandler = start, end
        parser.CharacterDataHandler = characters

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
        if last:  # nobody is left in a circle that only the garbage collector would break
            parser = self._parser
            parser.StartElementHandler = parser.EndElementHandler = parser.CharacterDataHandler = None

    def all(self, name: str) -> Iterable[dict[str, str]]:
        """Return the records called *name*."""
        return (record for kind, record in self.records if kind == name)


def _refuse(*_: object) -> None:
    raise NotXML("it has a document type, which may define entities")


def written(root: str, records: Iterable[tuple[str, Mapping[str, str]]]) -> bytes:
    """Return a document with these records, as requests send it; one without fields is ``true``."""
    inner = "".join(
        f"<{name}>{''.join(f'<{key}>{escape(value)}</{key}>' for key, value in fields.items()) or 'true'}</{name}>"
        for name, fields in records
    )
    return f'<?xml version="1.0" encoding="UTF-8"?><{root} xmlns="{_NAMESPACE}">{inner}</{root}>'.encode()
