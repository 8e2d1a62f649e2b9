"""Read both ends of a big file, without fetching what lies between: python seek.py CID/PATH GATEWAY..."""

import io
import sys

import trio

from sessionctx import Node, session


async def main(name: str, gateways: list[str]) -> None:
    async with Node.open() as node:
        with session.begin(peers=gateways) as s:
            async with node.files.open(name) as f:
                print(f"it begins with {(await f.read(8)).hex()}")
                f.seek(-8, io.SEEK_END)
                print(f"and ends with  {(await f.read()).hex()}")
            print(f"{f.size} bytes, of which {s.statistics().bytes} were fetched")


trio.run(main, sys.argv[1], sys.argv[2:])
