"""Where an object is: its use case, its scopes in order, its key; and the paths of the protocol made of them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias, cast
from urllib.parse import quote, unquote

import attrs

from sessionctx.errors import InvalidObject

_USECASE: Final = re.compile(r"[A-Za-z0-9_-]{3,64}")
_SCOPE: Final = re.compile(r"[A-Za-z0-9_()$!+'-]+")
_SAFE: Final = "/:@!$&'()*+,;="
"""What stands in a path as it is, besides the unreserved characters of RFC 3986."""
MOST_KEY: Final = 4096
"""Bytes of a key, in UTF-8."""

Scopes: TypeAlias = Mapping[str, object] | Iterable[tuple[str, object]]


@attrs.frozen
class Place:
    """A use case, and the scopes in it, outermost first: ``org=42;project=1337``. Each place has keys of its own."""

    usecase: str
    scopes: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, usecase: str, scopes: Scopes = ()) -> Place:
        """Check and return a place. :exc:`InvalidObject` says what cannot be in it."""
        if not _USECASE.fullmatch(usecase):
            raise InvalidObject(f"the use case {usecase!r} is not 3 to 64 letters, digits, '_' or '-'")
        items = cast("Mapping[str, object]", scopes).items() if isinstance(scopes, Mapping) else scopes
        pairs = tuple((name, str(value)) for name, value in items)
        for text in (text for pair in pairs for text in pair):
            if not _SCOPE.fullmatch(text):
                raise InvalidObject(
                    f"{text!r} in the scopes: it may hold letters, digits and _-()$!+' and not be empty"
                )
        names = [name for name, _ in pairs]
        if len(set(names)) < len(names):
            raise InvalidObject(f"the scopes name {', '.join(sorted(names))}: each name once")
        return cls(usecase, pairs)

    @classmethod
    def parse(cls, usecase: str, scopes: str) -> Place:
        """Read the two segments of a path, percent-decoded. :exc:`InvalidObject`."""
        if scopes == "_":
            return cls.of(usecase)
        pairs = [pair.partition("=") for pair in scopes.split(";")]
        if any(not equals for _, equals, _ in pairs):
            raise InvalidObject(f"the scopes {scopes!r} are not written as name=value;name=value, or _ for none")
        return cls.of(usecase, [(name, value) for name, _, value in pairs])

    def __str__(self) -> str:
        written = ";".join(f"{name}={value}" for name, value in self.scopes)
        return f"{self.usecase}/{written or '_'}"

    def path(self, resource: str, key: str = "") -> str:
        """Return the path of *key* as a *resource* (``objects``, ``objects:batch``), percent-encoded."""
        return f"/v1/{resource}/{quote(str(self), safe=_SAFE)}/{encoded(key)}"


def checked_key(key: str) -> str:
    """Return *key* if it can be one; the empty one lets the server choose. :exc:`InvalidObject`."""
    try:
        length = len(key.encode())
    except UnicodeEncodeError:
        raise InvalidObject(f"the key {key!r} is not Unicode") from None
    if length > MOST_KEY:
        raise InvalidObject(f"a key has {length} bytes, and may have {MOST_KEY}")
    return key


def encoded(key: str) -> str:
    """Return *key* as it stands in a path."""
    return quote(checked_key(key), safe=_SAFE)


def decoded(path: str) -> str:
    """Return the key that stands in a path. :exc:`InvalidObject` if it is not UTF-8."""
    try:
        return checked_key(unquote(path, errors="strict"))
    except UnicodeDecodeError:
        raise InvalidObject(f"the key {path!r} is not UTF-8") from None
