"""Keys on the command line: the name by which a service knows them, and the file that they are in."""

from __future__ import annotations

from pathlib import Path

import click

from sessionctx.errors import SessionctxError
from sessionctx.objects import KnownKey, SigningKey


def _read(text: str) -> tuple[str, bytes]:
    kid, equals, name = text.partition("=")
    if not (equals and kid and name):
        raise click.BadParameter("write it as KID=FILE")
    try:
        return kid, Path(name).read_bytes()
    except OSError as error:
        raise click.BadParameter(f"{name} cannot be read: {error.strerror or error}") from None


class _SigningKey(click.ParamType[SigningKey]):
    """An Ed25519 private key."""

    name = "KID=PEM-FILE"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> SigningKey:  # noqa: ARG002
        kid, pem = _read(value)
        try:
            return SigningKey.from_pem(kid, pem)
        except SessionctxError as error:
            raise click.BadParameter(str(error)) from None


class _PublicKey(click.ParamType[tuple[str, KnownKey]]):
    """An Ed25519 public key."""

    name = "KID=PEM-FILE"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, KnownKey]:  # noqa: ARG002
        kid, pem = _read(value)
        try:
            return kid, KnownKey.from_pem(pem)
        except SessionctxError as error:
            raise click.BadParameter(str(error)) from None


signing_key = _SigningKey()
public_key = _PublicKey()
