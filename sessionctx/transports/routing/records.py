"""What a router tells, decoded: records by the line as they arrive, or all in one document. Pure; memory is bounded."""

from __future__ import annotations

import json
from typing import Final, Protocol, cast

import attrs

from sessionctx.transports.routing.filters import Filter
from sessionctx.transports.routing.multiaddr import gateway_url

MOST_LINE: Final = 64 * 1024
"""Bytes of a line; a record with a hundred addresses has a tenth of it."""
MOST_ADDRS: Final = 64
"""Addresses of one record that are looked at."""


@attrs.frozen
class Provider:
    """Somebody who is said to have what was asked for. None of it is proved."""

    id: str
    """Its peer ID, as the router wrote it; empty if it told none."""
    protocols: tuple[str, ...] = ()
    """How it says blocks can be had from it, such as ``transport-ipfs-gateway-http``; often empty, or wrong."""
    addrs: tuple[str, ...] = ()
    """Its multiaddrs, as the router wrote them: those that pass the filter, the first 64 at most."""
    gateways: tuple[str, ...] = ()
    """The addresses among them at which an HTTP server can be asked, as URLs; a `GatewayTransport` takes them."""


class Decoder(Protocol):
    """Bytes in, records out. It raises ValueError, with the reason, when nothing more can be made of the bytes."""

    def feed(self, data: bytes) -> list[object]:
        """Take the next bytes; return the records that they complete."""
        ...

    def finish(self) -> list[object]:
        """Return the records that only the end completes."""
        ...


@attrs.define(eq=False)
class Lines:
    """Newline-delimited JSON: a line that is broken is left out, unless nothing else comes."""

    _rest: bytearray = attrs.field(factory=bytearray)
    _good: int = 0
    _broken: int = 0

    def feed(self, data: bytes) -> list[object]:
        """Take the next bytes; an endless line is refused once the records before it are out."""
        self._refuse_endless()
        self._rest += data
        if b"\n" not in data:  # so that a line which comes byte by byte is not looked through each time
            return []
        *lines, self._rest = self._rest.split(b"\n")
        return self._read(lines)

    def finish(self) -> list[object]:
        """Return what the last line holds; it needs no newline."""
        self._refuse_endless()
        records = self._read([self._rest])
        self._rest = bytearray()
        if self._broken and not self._good:
            raise ValueError("not one line is a record")
        return records

    def _refuse_endless(self) -> None:
        if len(self._rest) > MOST_LINE:
            raise ValueError(f"a line has more than {MOST_LINE} bytes")

    def _read(self, lines: list[bytearray]) -> list[object]:
        records: list[object] = []
        for line in filter(bytearray.strip, lines):
            try:
                records.append(_json(line if len(line) <= MOST_LINE else b""))
                self._good += 1
            except ValueError:
                self._broken += 1
        return records


@attrs.define(eq=False)
class Document:
    """One JSON document, which holds its records as a list under ``Providers``. Its size is for the caller to bound."""

    _data: bytearray = attrs.field(factory=bytearray)

    def feed(self, data: bytes) -> list[object]:
        """Take the next bytes; nothing is known before the end."""
        self._data += data
        return []

    def finish(self) -> list[object]:
        """Return the records."""
        document = _json(self._data)
        if not isinstance(document, dict):
            raise ValueError("it is no JSON object")  # noqa: TRY004 - what was sent is wrong, not what was passed
        records = cast("dict[str, object]", document).get("Providers")
        return cast("list[object]", records) if isinstance(records, list) else []


def provider_of(record: object, wanted: Filter, *, allow_private: bool) -> Provider | None:
    """Return what a record says, as far as it is known and wanted; ``None`` if it is neither.

    The addresses tell whether it can be asked over HTTP, and not its protocols: those are what somebody wrote.
    """
    if not isinstance(record, dict):
        return None
    fields = cast("dict[str, object]", record)
    if fields.get("Schema") != "peer":
        return None
    protocols = _texts(fields.get("Protocols"))
    addrs = wanted.passing(_texts(fields.get("Addrs"))[:MOST_ADDRS], protocols)
    if addrs is None:
        return None
    name = fields.get("ID")
    urls = (gateway_url(addr, allow_private=allow_private) for addr in addrs)
    gateways = tuple(dict.fromkeys(url for url in urls if url is not None))
    return Provider(name if isinstance(name, str) else "", protocols, addrs, gateways)


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        return ()
    return tuple(each for each in cast("list[object]", value) if isinstance(each, str))


def _json(data: bytes | bytearray) -> object:
    try:
        return cast("object", json.loads(data))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
