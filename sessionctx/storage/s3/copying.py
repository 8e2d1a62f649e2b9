"""Copying within a bucket: no byte comes to us. What is over 5 GiB is copied in ranges."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from sessionctx.storage.base import Entry, WriteOptions
from sessionctx.storage.s3.client import Ask, Client
from sessionctx.storage.s3.multipart import begin
from sessionctx.storage.s3.objects import headers_of, quoted, version_of
from sessionctx.storage.s3.parts import LARGEST, part_size, ranges

_RANGE: Final = 512 * 1024 * 1024
"""Bytes that are copied in one request, if there are several."""


async def copy(client: Client, key: str, target_key: str, entry: Entry, target: str, *, most: int = LARGEST) -> Entry:
    """Copy the object *key*, which is *entry*, to *target_key*; in ranges if it has more than *most* bytes."""
    source = {"x-amz-copy-source": quote(f"/{client.place.bucket}/{key}", safe="/-_.~")}
    if entry.version is not None:
        source["x-amz-copy-source-if-match"] = quoted(entry.version)
    if (entry.size or 0) <= most:
        ask = Ask(method="PUT", key=target_key, path=target, headers=source, slow=True)
        version = (await client.call(ask)).document.fields.get("ETag")
    else:
        version = await _in_ranges(client, source, target_key, entry, target=target, most=most)
    return Entry(
        path=target,
        size=entry.size,
        version=version_of(version),
        content_type=entry.content_type,
        metadata=entry.metadata,
    )


async def _in_ranges(
    client: Client, source: dict[str, str], target_key: str, entry: Entry, *, target: str, most: int
) -> str | None:
    size = entry.size or 0
    kept = headers_of(WriteOptions(content_type=entry.content_type, metadata=entry.metadata))
    upload = await begin(client, target_key, target, kept, checksums=False)
    try:
        parts = ranges(0, size, min(most, part_size(size, _RANGE)))
        for number, (start, end) in enumerate(parts, 1):
            await upload.copy(number, source | {"x-amz-copy-source-range": f"bytes={start}-{end - 1}"}, end - start)
        return await upload.complete({})
    except BaseException:
        await upload.abort()
        raise
