"""See what a session does, as it does it: python events.py CID URL..."""

import sys

import trio

from sessionctx import CID, Node, session
from sessionctx.session import events


def show(event: events.Event) -> None:
    match event:
        case events.Answered(peer=peer, name=name, seconds=seconds):
            print(f"{peer} sent {name} after {seconds * 1000:.1f} ms")
        case events.Refused(peer=peer, reason=reason) | events.Failed(peer=peer, reason=reason):
            print(f"{peer} did not: {reason}")


async def main(cid: CID, urls: list[str]) -> None:
    async with Node.open() as node:
        with session.begin(peers=urls) as s:
            s.subscribe(show)
            await node.files.export(cid, "fetched")


trio.run(main, CID.parse(sys.argv[1]), sys.argv[2:])
