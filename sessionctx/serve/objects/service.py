"""What the routes of the object service share: the shelf, who may do what, and what is not allowed to grow."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Final

import attrs
import trio

from sessionctx.errors import InvalidObject, TokenRefused
from sessionctx.objects import Grant, Metadata, Permission, Place, Shelf, Verifier, metadata
from sessionctx.serve.objects.call import Call, Problem, refused, token_of
from sessionctx.serve.objects.exchange import Gone

MOST_OBJECT: Final = 5 * 1024**4
"""Bytes of an object, unless a service says otherwise."""


@attrs.define(eq=False)
class _Turn:
    """One request that writes to an upload."""

    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    over: trio.Event = attrs.field(factory=trio.Event)


@attrs.define(eq=False)
class Service:
    """One object service."""

    shelf: Shelf
    verifier: Verifier | None = None
    """Whom it trusts; None lets everybody do everything, which is for this machine only."""
    most: int = MOST_OBJECT
    """Bytes of one object."""
    draining: bool = False
    """Whether it is about to stop, so that nobody should send it more."""
    _turns: dict[str, _Turn] = attrs.field(factory=dict[str, "_Turn"], init=False)

    @asynccontextmanager
    async def alone(self, upload: str) -> AsyncGenerator[None]:
        """Be the only one who writes to an upload: who did so before is on a connection that its client has left.

        `Gone` when somebody else takes over in turn.
        """
        mine, before = _Turn(), self._turns.get(upload)
        self._turns[upload] = mine
        try:
            if before is not None:
                before.scope.cancel()
                await before.over.wait()
            with mine.scope:
                yield
            if mine.scope.cancelled_caught:
                raise Gone
        finally:
            mine.over.set()
            if self._turns.get(upload) is mine:
                del self._turns[upload]

    def grant(self, call: Call) -> Grant | None:
        """Return what the request's token allows; None where everything is allowed. `Problem` 400, 401, 403."""
        if self.verifier is None:
            return None
        try:
            if call.asked("os_sig") is not None:
                self.verifier.check_presigned(call.raw_path, call.raw_query, method=call.method, now=self.shelf.now())
                return Grant(call.place.usecase, dict(call.place.scopes), frozenset({"object.read"}))
            token = token_of(call)
            if token is None:
                raise Problem(400, "there is no token: send it as 'x-os-auth: Bearer ...'")
            return self.verifier.check(token, now=self.shelf.now())
        except TokenRefused as error:
            raise refused(error) from None


def allow(grant: Grant | None, place: Place, permission: Permission) -> None:
    """Let pass what the grant allows. `Problem` 403."""
    if grant is not None and not grant.allows(place, permission):
        raise Problem(403, f"the token does not allow {permission} in {place}")


def metadata_of(headers: Mapping[str, str]) -> Metadata:
    """Return the metadata that a client gives. `Problem` 400. What only the server says is left alone."""
    try:
        given = metadata.from_headers(
            (name, value) for name, value in headers.items() if not name.startswith("x-sn-time-")
        )
    except InvalidObject as error:
        raise Problem(400, str(error)) from None
    return attrs.evolve(given, created=None, expires=None, size=None)
