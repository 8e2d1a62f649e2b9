"""Share a file under an id; or load it from who does, and share it, too: python blobs.py ID FILE (or ID URL...)"""

import sys
from contextlib import suppress
from pathlib import Path

import trio

from sessionctx import serve
from sessionctx.share import BlobShare

MINE = Path("share").absolute().as_uri()


async def main(name: str, places: list[str]) -> None:
    async with BlobShare.open(MINE, listen=serve.listening("127.0.0.1:0"), max_bytes=10 << 30) as share:
        if "://" in places[0]:
            async with share.load(name, places) as reader:
                blob = reader.blob
        else:
            blob = await share.share(name, places[0])
        print(f"{blob.id}, {blob.size} bytes, {blob.digest}, is at {share.url}", flush=True)
        await trio.sleep_forever()


with suppress(KeyboardInterrupt):
    trio.run(main, sys.argv[1], sys.argv[2:])
