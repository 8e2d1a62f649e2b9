"""Share a folder from one node and fetch it with another: python share_and_fetch.py [FOLDER]."""

import sys
from pathlib import Path

import trio

from sessionctx import Node, serve, session


async def main(folder: Path) -> None:
    async with trio.open_nursery() as nursery, Node.open() as alice, Node.open() as bob:
        added = await alice.files.add(folder)
        url = await nursery.start(serve.run, serve.gateway(alice.store))
        print(f"{added.cid} is served at {url}")

        with session.begin(peers=[url]) as s:
            await bob.files.export(added.cid, "fetched")
        print(f"fetched {s.statistics().bytes} bytes")
        nursery.cancel_scope.cancel()


trio.run(main, Path(sys.argv[1] if len(sys.argv) > 1 else __file__))
