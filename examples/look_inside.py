"""List a folder, and read one file in it: python look_inside.py FOLDER FILE GATEWAY..."""

import sys

import trio

from sessionctx import Node, session


async def main(folder: str, file: str, gateways: list[str]) -> None:
    async with Node.open() as node:
        with session.begin(peers=gateways):
            async with node.files.ls(folder, detail=True) as entries:
                async for entry in entries:
                    print(f"{entry.kind:10} {entry.size or 0:12} {entry.name}")

            content = await node.files.read_bytes(f"{folder}/{file}")
            print(content.decode())


trio.run(main, sys.argv[1], sys.argv[2], sys.argv[3:])
