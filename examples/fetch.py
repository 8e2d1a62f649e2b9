"""Fetch a file or folder from several gateways at once, and say how far it is: python fetch.py CID GATEWAY..."""

import sys

import trio

from sessionctx import Node
from sessionctx.dag import Progress


def show(done: Progress) -> None:
    print(f"{done.files} files, {done.bytes} bytes of about {done.total}")


async def main(cid: str, gateways: list[str]) -> None:
    async with Node.open(peers=gateways) as node:
        exported = await node.files.export(cid, "fetched", progress=show)
        print(f"{exported.files} files are in {exported.path}")


trio.run(main, sys.argv[1], sys.argv[2:])
