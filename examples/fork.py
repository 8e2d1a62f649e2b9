"""Give a part of the work its own budget: python fork.py CID URL..."""

import sys

import trio

from sessionctx import CID, Node, session
from sessionctx.errors import LimitReached


async def main(cid: CID, urls: list[str]) -> None:
    async with Node.open() as node:
        with session.begin(peers=urls):
            try:
                with session.fork(limits=session.Limits(requests=2), name="a quick look"):
                    await node.files.export(cid, "fetched")
            except LimitReached as error:
                print(error)
            await node.files.export(cid, "fetched")  # the rest; what the fork got is kept
            print("now it is whole")


trio.run(main, CID.parse(sys.argv[1]), sys.argv[2:])
