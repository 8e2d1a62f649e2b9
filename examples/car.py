"""Keep a folder as one CAR file, and read it back into another node: python car.py FOLDER"""

import sys

import trio

from sessionctx import Node


async def main(folder: str) -> None:
    async with Node.open() as alice, Node.open() as bob:
        added = await alice.files.add(folder)
        await alice.dag.export_car(added.cid, "folder.car")

        summary = await bob.dag.import_car("folder.car")  # which verifies every block
        print(f"{summary.blocks} blocks below {summary.roots[0]}")
        await bob.files.export(added.cid, "fetched")


trio.run(main, sys.argv[1])
