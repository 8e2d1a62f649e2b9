"""Give a folder to whoever asks for it, until Ctrl-C: python publish.py FOLDER"""

import sys

import trio

from sessionctx import Node, serve


async def main(folder: str) -> None:
    async with Node.open("data") as node, trio.open_nursery() as nursery:
        added = await node.files.add(folder)  # and pinned: it stays when garbage is collected
        url = await nursery.start(serve.run, serve.gateway(node.store))
        print(f"{added.files} files are at {url}/ipfs/{added.cid}", flush=True)


trio.run(main, sys.argv[1])
