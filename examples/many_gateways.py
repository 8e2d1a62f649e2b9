"""Fetch from several gateways at once, and see how each did: python many_gateways.py CID URL..."""

import sys

import trio

from sessionctx import CID, Node, peers, session


async def main(cid: CID, urls: list[str]) -> None:
    async with Node.open() as node:
        with session.begin(peers=urls) as s:
            await node.files.export(cid, "fetched")
        for peer in peers.statistics(s):
            print(peer)


trio.run(main, CID.parse(sys.argv[1]), sys.argv[2:])
