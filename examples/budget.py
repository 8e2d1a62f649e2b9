"""Read files as long as they are small, through whatever session is there: python budget.py GATEWAY CID/PATH..."""

import sys

import trio

from sessionctx import Node, errors, session


async def preview(node: Node, name: str) -> bytes:
    """Read a file from the peers of whoever calls this, if it takes no more than half a megabyte."""
    with session.fork(limits=session.Limits(bytes=500_000), name="the preview"):
        return await node.files.read_bytes(name)


async def main(gateway: str, names: list[str]) -> None:
    async with Node.open() as node:
        with session.begin(peers=[gateway]):
            for name in names:
                try:
                    print(f"{name}: {await preview(node, name)!r}")
                except errors.LimitReached as error:
                    print(f"{name}: {error}")


trio.run(main, sys.argv[1], sys.argv[2:])
