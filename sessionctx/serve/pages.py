"""The pages that the gateway makes itself: a directory, and data. Nothing on them is loaded from elsewhere. Pure.

Names, texts and links come from strangers: all of them are escaped, and no script runs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Iterable, Iterator
from html import escape
from io import StringIO
from typing import Final, TypeAlias
from urllib.parse import quote, unquote

from sessionctx.content import CID, Value, code_name, dagjson, decode, links
from sessionctx.dag import Entry

Entries: TypeAlias = AsyncIterator[Entry]

_STYLE: Final = """
:root { color-scheme: light dark; --line: #8883; --soft: #7a7a85; --link: #0b62c4; }
@media (prefers-color-scheme: dark) { :root { --link: #6cb2ff; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 64rem; padding: 1.5rem 1rem 4rem; font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.1rem; font-weight: 600; overflow-wrap: anywhere; margin: 0 0 1rem; }
a { color: var(--link); text-decoration: none; }
a:hover, a:focus { text-decoration: underline; }
table { width: 100%; border-collapse: collapse; }
td { padding: .45rem .5rem; border-top: 1px solid var(--line); vertical-align: top; }
td.name { overflow-wrap: anywhere; width: 60%; }
td.size { text-align: right; white-space: nowrap; color: var(--soft); font-variant-numeric: tabular-nums; }
td.cid { font: 12px/2 ui-monospace, monospace; white-space: nowrap; }
.ipfs-hash { color: var(--soft); }
footer { margin-top: 1.5rem; color: var(--soft); font-size: .85rem; }
pre { overflow-x: auto; padding: 1rem; border: 1px solid var(--line); border-radius: .5rem; font-size: .85rem; }
ul { padding-left: 1.2rem; overflow-wrap: anywhere; }
@media (max-width: 40rem) { td.cid { display: none; } td.name { width: auto; } }
"""
VERSION: Final = hashlib.sha256(b"3" + _STYLE.encode()).hexdigest()[:16]
"""Changes with how pages look, so that a browser asks again."""
HEADERS: Final = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'",
}
"""What a page is, and that nothing of a stranger's runs on it even if it got there."""
MOST_DECODED: Final = 256 * 1024
"""Bytes of a block that is shown on a page; of a larger one, only how large it is."""
MOST_TEXT: Final = 256 * 1024
"""Characters of data that a page shows."""
_UNITS: Final = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def _head(title: str) -> str:
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
    )


# --- a directory


def listing_head(content_path: str, cid: CID) -> str:
    """Return the page of a directory up to its entries; *content_path* is that of the request, percent-encoded."""
    names = [name for name in content_path.removeprefix("/ipfs/").split("/") if name]
    crumbs: list[str] = []
    for count, name in enumerate(names, 1):
        crumbs.append(f'<a href="/ipfs/{escape("/".join(names[:count]))}">{escape(unquote(name))}</a>')
    where = unquote(content_path)
    up = ""
    if len(names) > 1:
        up = f'<tr><td class="name" colspan="3"><a href="/ipfs/{escape("/".join(names))}/..">..</a></td></tr>\n'
    return (
        f"{_head(f'Index of {where}')}<h1>Index of /ipfs/{'/'.join(crumbs)}</h1>\n"
        f"<!-- the directory {cid} -->\n<table>\n<tbody>\n{up}"
    )


def listing_row(content_path: str, entry: Entry) -> str:
    """Return the row of an *entry*."""
    name = quote(entry.name, safe="")
    size = "" if entry.dag_size is None else _size(entry.dag_size)
    # That the file name is encoded twice is what the conformance suite of gateways asks for.
    return (
        f'<tr><td class="name"><a href="{escape(content_path.rstrip("/"))}/{name}">{escape(entry.name)}</a></td>'
        f'<td class="cid"><a class="ipfs-hash" translate="no" href="/ipfs/{entry.cid}?filename={quote(name)}">'
        f'{_short(entry.cid)}</a></td><td class="size">{size}</td></tr>\n'
    )


def listing_foot(rows: int, *, more: bool) -> str:
    """Return the end of the page; with *more*, there are entries that it does not show."""
    said = f"The first {rows} entries; all of them are in the JSON." if more else f"Entries: {rows}."
    return f"</tbody>\n</table>\n<footer>{said} {_forms('json', 'tar', 'car')}</footer>\n</body>\n</html>\n"


def _forms(*names: str) -> str:
    """Return links to what the same is in other formats."""
    return "As " + " ".join(f'<a href="?format={name}">{name}</a>' for name in names)


def _short(cid: CID) -> str:
    text = str(cid)
    return f"{text[:8]}…{text[-4:]}"


def _size(count: float) -> str:
    unit = 0
    while count >= 1024 and unit < len(_UNITS) - 1:
        count, unit = count / 1024, unit + 1
    return f"{count:.0f} {_UNITS[unit]}" if unit == 0 or count >= 100 else f"{count:.1f} {_UNITS[unit]}"


# --- the same as JSON


def json_head(cid: CID) -> str:
    """Return the listing of a directory up to its entries."""
    return f'{{"cid":"{cid}","entries":['


def json_row(entry: Entry, *, first: bool) -> str:
    """Return an *entry*: its name, its CID, and the bytes of all its blocks as the directory says, if it does."""
    row: dict[str, str | int] = {"name": entry.name, "cid": str(entry.cid)}
    if entry.dag_size is not None:
        row["dag_size"] = entry.dag_size
    return ("" if first else ",") + json.dumps(row, ensure_ascii=False, separators=(",", ":"))


# --- data


def data_page(content_path: str, cid: CID, held: bytes) -> str:
    """Return the page of a block of data: what it *held*, and where its links lead.

    A page is short whatever the block is: indentation can make a thousand times as much of it.

    Raises:
        DecodeError: the block is none of its codec; large ones are not looked at.
    """
    return (
        f"{_head(unquote(content_path))}<h1>{cid}</h1>\n"
        f"{_decoded(cid.codec, held) if len(held) <= MOST_DECODED else _too_large(cid.codec, held)}"
        f"<footer>{_forms('raw', code_name(cid.codec), 'car')}</footer>\n</body>\n</html>\n"
    )


def _too_large(codec: int, held: bytes) -> str:
    return f"<p>{_size(len(held))} of {code_name(codec)}, which is too much for a page.</p>\n"


def _decoded(codec: int, held: bytes) -> str:
    text, more = _beginning(_indented(decode(codec, held)))
    note = "<p>This is the beginning only.</p>\n" if more else ""
    shown = "".join(f'<li><a href="/ipfs/{link}">{link}</a></li>\n' for link in dict.fromkeys(links(codec, held)))
    leads = f"<h1>Links</h1>\n<ul>\n{shown}</ul>\n" if shown else ""
    return f"<pre>{escape(text)}</pre>\n{note}{leads}"


def _indented(value: Value) -> Iterator[str]:
    """Return the text of a *value* in pieces."""
    try:
        plain = json.loads(dagjson.encode(value))
    except ValueError:  # what JSON cannot say, such as numbers that are none
        return iter((repr(value),))
    return json.JSONEncoder(indent=2, ensure_ascii=False).iterencode(plain)


def _beginning(pieces: Iterable[str]) -> tuple[str, bool]:
    """Return what a page shows of a text, and whether there is more."""
    text = StringIO()
    for piece in pieces:
        if text.tell() > MOST_TEXT:
            break
        text.write(piece[: MOST_TEXT + 1])
    return text.getvalue()[:MOST_TEXT], text.tell() > MOST_TEXT
