"""``sessionctx cid``: what is in a name."""

from __future__ import annotations

from contextlib import suppress

import click
import trio

from sessionctx.cli.exits import Exit
from sessionctx.cli.options import Settings, common, settings
from sessionctx.cli.verb import Result, perform
from sessionctx.content import CID, code_name, hash_name
from sessionctx.errors import InvalidCID


@click.group("cid")
def command() -> None:
    """Read CIDs."""


@command.command("show")
@click.argument("cid", nargs=-1, required=True)
@common
def show(cid: tuple[str, ...]) -> int:
    """Say what each CID is made of: version, codec, hash function, digest; and how it is written in other bases."""
    chosen = settings()
    return perform("cid show", chosen, lambda: _show(chosen, cid))


async def _show(chosen: Settings, texts: tuple[str, ...]) -> Result:
    shown = 0
    for text in texts:
        await trio.lowlevel.checkpoint()
        try:
            cid = CID.parse(text)
        except InvalidCID as error:
            chosen.output.error(error, Exit.USAGE)
            continue
        facts = _facts(cid)
        lines = "\n".join(f"{name.removeprefix('cid_')}\t{value}" for name, value in facts.items())
        await chosen.output.data("cid", lines if shown == 0 else "\n" + lines, **facts)
        shown += 1
    exit_code = Exit.DONE if shown == len(texts) else Exit.PARTLY if shown else Exit.USAGE
    return Result({"shown": shown, "failed": len(texts) - shown}, exit_code)


def _facts(cid: CID) -> dict[str, object]:
    facts: dict[str, object] = {
        "cid": str(cid),
        "cid_version": cid.version,
        "codec": code_name(cid.codec),
        "hash": hash_name(cid.hash_code),
        "digest": cid.digest.hex(),
        "bits": len(cid.digest) * 8,
    }
    v1 = cid.to_v1()
    facts |= {base: v1.encode(base=base) for base in ("base32", "base36", "base58btc", "base64url")}
    with suppress(InvalidCID):  # only sha2-256 of dag-pb has one
        facts["v0"] = str(cid.to_v0())
    return facts
