"""By whose leave a client asks: a token that it was given, or tokens that it makes, and keeps until they run out."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import attrs

from sessionctx.objects.paths import Place
from sessionctx.objects.tokens import PERMISSIONS, SigningKey

LASTS: Final = 600.0
"""Seconds that a token of our making is good for."""
EARLY: Final = 60.0
"""Seconds before its end at which the next one is made."""


@attrs.define(eq=False)
class Authority:
    """What goes along with each request, and is never shown."""

    place: Place
    _token: str | None = attrs.field(default=None, repr=False)
    _key: SigningKey | None = attrs.field(default=None, repr=False)
    _clock: Callable[[], float] = time.time
    _made: str = attrs.field(default="", init=False, repr=False)
    _good_until: float = attrs.field(default=0.0, init=False)

    def headers(self) -> dict[str, str]:
        """Return the header of a request."""
        token = self._token if self._key is None else self._minted(self._key)
        return {} if token is None else {"x-os-auth": f"Bearer {token}"}

    def _minted(self, key: SigningKey) -> str:
        now = self._clock()
        if now >= self._good_until - EARLY:
            self._made = key.token(self.place, PERMISSIONS, now=now, seconds=LASTS)
            self._good_until = now + LASTS
        return self._made

    def presigned(self, path: str, seconds: int) -> str:
        """Return *path* with a signed query. :exc:`ValueError` if there is no key to sign it with."""
        if self._key is None:
            raise ValueError("a URL is signed with a key: connect with key=SigningKey...")
        return self._key.presigned(path, now=self._clock(), seconds=seconds)
