"""Files, directories and symlinks of UnixFS, as browsers know them.

Source: path gateway specification, https://specs.ipfs.tech/http-gateways/path-gateway/.
"""

from __future__ import annotations

from sessionctx.dag import FileReader, Files, Resolved, resolve
from sessionctx.errors import FetchFailed, NotFound, PathNotFound
from sessionctx.serve import answer, pages
from sessionctx.serve.exchange import Exchange
from sessionctx.serve.media import HEAD, type_of
from sessionctx.serve.request import Request

LISTED = "public, max-age=604800, stale-while-revalidate=2678400"
"""How long a page may be kept that is made here, and may look better some day."""
MOST_ROWS = 10_000
"""Entries that a page shows; as JSON there are all."""
PIECE = 16 * 1024


async def send(exchange: Exchange, request: Request, found: Resolved) -> None:
    """Answer with the file, directory or symlink that was *found*."""
    about = await Files(exchange.blocks).stat(found.cid)
    if about.kind == "directory":
        await _directory(exchange, request, found)
    elif about.kind == "symlink":
        headers = _headers(request, found, f'"{found.cid}"') | {"Content-Type": "inode/symlink"}
        if not await exchange.unmodified(request, headers):
            await exchange.whole(request, headers, (about.target or "").encode("utf-8", "surrogateescape"))
    elif request.wanted.format in ("", "json", "cbor"):  # the last two name a form of data, which a file is none of
        await _file(exchange, request, found, found, request.path.rpartition("/")[2])


def _headers(request: Request, found: Resolved, tag: str) -> dict[str, str]:
    headers = {
        "ETag": tag,
        "Cache-Control": answer.IMMUTABLE,
        **answer.negotiated(request),
        **answer.located(request, found.roots),
    }
    name = request.query.get("filename")
    download = request.query.get("download") == "true"
    if name or download:
        headers["Content-Disposition"] = answer.disposition(
            "attachment" if download else "inline", name or request.path.rpartition("/")[2] or str(found.cid)
        )
    return headers


# --- files


async def _file(exchange: Exchange, request: Request, found: Resolved, file: Resolved, name: str) -> None:
    """Send *file*, which is what was *found* or the index of it."""
    headers = _headers(request, found, f'"{found.cid}"')
    if await exchange.unmodified(request, headers):
        return
    async with Files(exchange.blocks).open(file.cid, ahead=exchange.ahead) as reader:
        part = answer.byte_range(request, reader.size, headers["ETag"])
        begin, end = part or (0, reader.size)
        headers["Content-Type"] = await _type(reader, request.query.get("filename") or name, partial=part is not None)
        headers |= {"Content-Length": str(end - begin), "Accept-Ranges": "bytes"}
        if part is not None:
            headers["Content-Range"] = f"bytes {begin}-{end - 1}/{reader.size}"
        reader.seek(begin)
        first = await _next(reader, end) if request.method == "GET" else b""  # errors up to here have their status
        await exchange.start(200 if part is None else 206, headers)
        if first:
            await exchange.piece(first)
            while piece := await _next(reader, end):
                await exchange.piece(piece)
    await exchange.end()


async def _next(reader: FileReader, end: int) -> bytes:
    """Return the bytes up to the end of their block, but none from *end* on."""
    left = end - reader.tell()
    return (await anext(reader, b""))[:left] if left > 0 else b""


async def _type(reader: FileReader, name: str, *, partial: bool) -> str:
    """Return the media type of a file, by its *name* or else its first bytes. It moves the cursor."""
    if (known := type_of(name)) is not None:
        return known
    head = b""
    try:
        head = await anext(reader, b"")
    except (NotFound, FetchFailed):
        if not partial:  # a range can be served where the beginning is lost
            raise
    return type_of(name, head[:HEAD], whole=len(head) == reader.size) or "application/octet-stream"


# --- directories


async def _directory(exchange: Exchange, request: Request, found: Resolved) -> None:
    if request.wanted.format == "json":
        await _as_json(exchange, request, found)
    elif not request.content_path.endswith("/"):  # or relative links on the page would lead elsewhere
        where = f"{request.content_path}/{'?' + request.search if request.search else ''}"
        headers = {"Location": where, **answer.negotiated(request), **answer.located(request, found.roots)}
        await exchange.start(301, headers | {"Content-Length": "0"})
        await exchange.end()
    else:
        try:
            index = await resolve(exchange.blocks, found.cid, "index.html")
        except PathNotFound:
            await _as_page(exchange, request, found)
        else:
            await _file(exchange, request, found, index, "index.html")


async def _as_page(exchange: Exchange, request: Request, found: Resolved) -> None:
    headers = {
        **pages.HEADERS,
        "ETag": f'"DirIndex-{pages.VERSION}_CID-{found.cid}"',
        "Cache-Control": LISTED,
        **answer.negotiated(request),
        **answer.located(request, found.roots),
    }
    if await exchange.unmodified(request, headers, f'"{found.cid}"'):
        return
    await exchange.start(200, headers)
    if request.method == "GET":
        await exchange.piece(pages.listing_head(request.content_path, found.cid).encode())
        rows, more = 0, False
        async with Files(exchange.blocks).ls(found.cid, ahead=exchange.ahead) as entries:
            text = ""
            async for entry in entries:
                if more := rows >= MOST_ROWS:
                    break
                text += pages.listing_row(request.content_path, entry)
                rows += 1
                if len(text) >= PIECE:
                    await exchange.piece(text.encode())
                    text = ""
        await exchange.piece((text + pages.listing_foot(rows, more=more)).encode())
    await exchange.end()


async def _as_json(exchange: Exchange, request: Request, found: Resolved) -> None:
    headers = {
        "Content-Type": "application/json",
        **_headers(request, found, f'W/"DirJSON-{pages.VERSION}_CID-{found.cid}"'),
    }
    if await exchange.unmodified(request, headers):
        return
    await exchange.start(200, headers)
    if request.method == "GET":
        await exchange.piece(pages.json_head(found.cid).encode())
        async with Files(exchange.blocks).ls(found.cid, ahead=exchange.ahead) as entries:
            await _rows_as_json(exchange, entries)
        await exchange.piece(b"]}\n")
    await exchange.end()


async def _rows_as_json(exchange: Exchange, entries: pages.Entries) -> None:
    text, first = "", True
    async for entry in entries:
        text += pages.json_row(entry, first=first)
        first = False
        if len(text) >= PIECE:
            await exchange.piece(text.encode())
            text = ""
    if text:
        await exchange.piece(text.encode())
