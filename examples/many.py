"""Fetch many things at once, as many as come in 30 seconds: python many.py GATEWAY CID..."""

import sys

import trio

from sessionctx import Node, errors, session


async def get(node: Node, cid: str) -> None:
    try:
        await node.files.export(cid, cid)
        print(f"{cid} is here")
    except (errors.NotFound, errors.FetchFailed) as error:
        print(f"{cid} is not: {error}")


async def main(gateway: str, cids: list[str]) -> None:
    async with Node.open("data") as node:
        with trio.move_on_after(30):
            async with session.begin(peers=[gateway]) as s:
                for cid in cids:
                    s.start_soon(get, node, cid)


trio.run(main, sys.argv[1], sys.argv[2:])
