"""Keep data that links to other data and to files, and follow paths through it: python documents.py"""

import trio

from sessionctx import Node


async def main() -> None:
    async with Node.open() as node:
        photo = await node.files.add(b"pretend that this is a photo")
        walk = await node.dag.put({"title": "A walk", "photos": [photo.cid]})
        diary = await node.dag.put({"year": 2026, "days": {"may 1": walk}})

        print(f"the diary is called {diary}")
        print(await node.dag.get(f"{diary}/days/may 1/title"))
        print(await node.files.read_bytes(f"{diary}/days/may 1/photos/0"))


trio.run(main)
