"""Keep a copy of everything below a CID: python mirror.py CID GATEWAY..."""

import sys

import trio

from sessionctx import CID, Node


async def main(name: str, gateways: list[str]) -> None:
    cid = CID.parse(name)
    async with Node.open("data", peers=gateways) as node:
        await node.pins.add(cid, "mirrored")  # before it comes, so that none of it is ever collected
        fetched = await node.dag.fetch(cid)
        print(f"{fetched.blocks} blocks, {fetched.bytes} bytes are kept")


trio.run(main, sys.argv[1], sys.argv[2:])
