"""``sessionctx verify``: whether the blocks of the store are what they are called."""

from __future__ import annotations

import click

from sessionctx.blocks import BadBlock, DiskBlockstore
from sessionctx.cli.exits import Exit
from sessionctx.cli.options import Settings, common, settings
from sessionctx.cli.output import printable
from sessionctx.cli.verb import Result, perform
from sessionctx.errors import InvalidCID
from sessionctx.node import STORE_NAME


@click.command("verify")
@click.option("--drop", is_flag=True, help="Delete what is bad, so that it can be fetched again.")
@common
def command(*, drop: bool) -> int:
    """Read and hash every block of the store again, and print those that are bad (exit code 6)."""
    chosen = settings()
    return perform("verify", chosen, lambda: _verify(chosen, drop=drop))


async def _verify(chosen: Settings, *, drop: bool) -> Result:
    bad = 0
    async with DiskBlockstore.open(chosen.store_path() / STORE_NAME) as store:
        audit = store.verify()
        async for block in audit:
            bad += 1
            name = _name(block)
            await chosen.output.data("bad", f"bad\t{name}\t{printable(block.why)}", cid=name, reason=block.why)
            if drop:
                await store.drop(block)
    if not bad:
        chosen.output.note(f"{audit.blocks} blocks are good.")
    fields = {"blocks": audit.blocks, "bytes": audit.bytes, "bad": bad, "dropped": bad if drop else 0}
    return Result({**fields}, Exit.MISMATCH if bad else Exit.DONE)


def _name(block: BadBlock) -> str:
    try:
        return str(block.cid)
    except InvalidCID:  # it is the name that is damaged
        return block.multihash.hex()
