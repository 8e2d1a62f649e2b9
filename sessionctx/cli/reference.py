"""``CID[/path]``, the way people write it."""

from __future__ import annotations

from urllib.parse import unquote

import attrs
import click

from sessionctx.cli.output import printable
from sessionctx.content import CID
from sessionctx.dag import split_ref
from sessionctx.errors import InvalidCID


@attrs.frozen
class Reference:
    """A CID, and a path below it."""

    cid: CID
    path: str = ""

    def __str__(self) -> str:
        return f"{self.cid}/{self.path}" if self.path else str(self.cid)

    @property
    def name(self) -> str:
        """What a file that it names is called by default."""
        return self.path.rpartition("/")[2] or str(self.cid)


def reference(text: str) -> Reference:
    """``CID``, ``CID/path``, ``/ipfs/CID/path`` or ``ipfs://CID/path`` (the last percent-encoded)."""
    try:
        cid, path = split_ref(unquote(text, errors="surrogateescape") if text.startswith("ipfs://") else text)
        return Reference(cid, path.strip("/"))
    except InvalidCID as error:
        raise click.BadParameter(printable(str(error))) from None
