"""Filters on what a router tells: sent to it, and applied again here, since not all of them know filters. Pure.

Source: IPIP-484.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import attrs

from sessionctx.transports.routing.multiaddr import protocols as protocols_of

UNKNOWN: Final = "unknown"
_ADDR: Final = re.compile(r"!?[a-z0-9-]{1,63}")
_PROTOCOL: Final = re.compile(r"[a-z0-9._/-]{1,63}")


def _lower(names: Iterable[str]) -> tuple[str, ...]:
    if isinstance(names, str):
        raise TypeError(f"a filter is a list of names, not one text: write [{names!r}]")
    return tuple(name.lower() for name in names)


@attrs.frozen
class Filter:
    """Which records are wanted, and which of their addresses. Upper and lower case are the same."""

    addrs: tuple[str, ...] = attrs.field(default=(), converter=_lower)
    """An address passes if it has one of the names, and none of the ``!names``; `UNKNOWN` lets records without any
    address pass."""
    protocols: tuple[str, ...] = attrs.field(default=(), converter=_lower)
    """A record passes if it has one of the names; `UNKNOWN` lets those without any protocol pass."""

    def __attrs_post_init__(self) -> None:
        for pattern, names in ((_ADDR, self.addrs), (_PROTOCOL, self.protocols)):
            for name in names:
                if not pattern.fullmatch(name):
                    raise ValueError(f"{name!r} cannot be filtered by: it is no name of a protocol")

    @property
    def query(self) -> str:
        """What stands behind the path of a URL."""
        both = (("filter-addrs", self.addrs), ("filter-protocols", self.protocols))
        sent = "&".join(f"{name}={','.join(names)}" for name, names in both if names)
        return sent and f"?{sent}"

    def passing(self, addrs: tuple[str, ...], protocols: Iterable[str]) -> tuple[str, ...] | None:
        """Return those *addrs* of a record that pass; ``None`` if the record does not."""
        if self.protocols and not ({each.lower() for each in protocols} or {UNKNOWN}) & set(self.protocols):
            return None
        if not self.addrs or (not addrs and UNKNOWN in self.addrs):
            return addrs
        return tuple(addr for addr in addrs if self._passes(addr)) or None

    def _passes(self, addr: str) -> bool:
        names = protocols_of(addr)
        wanted = {name for name in self.addrs if name[0] != "!"}
        if any(name[0] == "!" and name[1:] in names for name in self.addrs):
            return False
        return not wanted or bool(wanted & names)
