"""What names a blob on the command line: its id, and its digest."""

from __future__ import annotations

import click

from sessionctx.cli.output import printable
from sessionctx.errors import InvalidLocation
from sessionctx.share import checked_id, parsed


def blob_id(text: str) -> str:
    """An id: one name, without slashes."""
    try:
        return checked_id(text)
    except InvalidLocation as error:
        raise click.BadParameter(printable(str(error))) from None


def digest(text: str) -> str:
    """``sha256:`` and 64 digits."""
    try:
        return parsed(text)
    except ValueError as error:
        raise click.BadParameter(printable(str(error))) from None
