"""See what each gateway does, and has done: python who_served.py CID GATEWAY..."""

import sys

import trio

from sessionctx import Node, peers, session
from sessionctx.session import events


def show(event: events.Event) -> None:
    match event:
        case events.Answered(peer=peer, name=name, seconds=seconds):
            print(f"{peer} sent {name} after {seconds * 1000:.1f} ms")
        case events.Refused(peer=peer, reason=reason) | events.Failed(peer=peer, reason=reason):
            print(f"{peer} did not: {reason}")


async def main(cid: str, gateways: list[str]) -> None:
    async with Node.open() as node:
        with session.begin(peers=gateways) as s:
            s.subscribe(show)
            await node.files.export(cid, "fetched")
        for peer in peers.statistics(s):
            print(f"{peer.url} is {peer.state}: {peer.found} of {peer.asked} requests served, {peer.bytes} bytes")


trio.run(main, sys.argv[1], sys.argv[2:])
