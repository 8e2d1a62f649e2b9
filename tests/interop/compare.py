"""What two gateways have to agree on, made comparable. Pure."""

from __future__ import annotations

import re
import tarfile
from email.message import Message
from html import unescape
from io import BytesIO
from urllib.parse import unquote

import attrs
import httpx

from sessionctx.content import CarDecoder
from sessionctx.errors import CarError

HEADERS = ("content-range", "cache-control", "ipfs-uri", "location", "x-ipfs-roots", "access-control-allow-origin")
GENERATED = re.compile(r'(W/)?"(DirIndex|DirJSON|DagIndex)-[0-9a-z]+_CID-(\w+)"')
ROW = re.compile(r'href="/ipfs/(\w+)\?filename=([^"]*)"')


@attrs.frozen
class Asked:
    """A request, without the gateway."""

    root: str
    """What the path begins with, by its name in the site."""
    path: str
    method: str = "GET"
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        said = "".join(f" {name}: {value}" for name, value in self.headers)
        return f"{self.method} {self.root}{self.path}{self.query}{said}"

    def header(self, name: str) -> str:
        return dict(self.headers).get(name, "")


def told(answer: httpx.Response | None) -> dict[str, object]:
    """What an *answer* says, in the form in which both have to say the same. ``None`` is one that broke off."""
    if answer is None or answer.status_code >= 400:
        return {"status": answer.status_code if answer is not None and answer.status_code == 412 else "refused"}
    found: dict[str, object] = {"status": answer.status_code}
    found |= {name: answer.headers[name] for name in HEADERS if name in answer.headers}
    if answer.status_code in (301, 304):
        return found | {"etag": answer.headers.get("etag")}
    kind, params = _content_type(answer)
    found |= {"content-type": kind, "etag": _etag(answer), "content-disposition": _disposition(answer)}
    if kind == "application/vnd.ipld.car":
        blocks = _blocks(answer)
        return {"status": "refused"} if blocks is None else found | {"dups": params.get("dups"), "blocks": blocks}
    if kind == "application/x-tar":
        members = _members(answer)
        return {"status": "refused"} if members is None else found | {"members": members}
    if kind == "text/html" and GENERATED.fullmatch(answer.headers.get("etag", "")):
        return found | {"rows": _rows(answer.text)}
    return found | {"content-length": answer.headers.get("content-length"), "body": answer.content}


def _content_type(answer: httpx.Response) -> tuple[str, dict[str, str]]:
    message = Message()
    message["content-type"] = answer.headers.get("content-type", "")
    return message.get_content_type(), dict(message.get_params([])[1:])


def _etag(answer: httpx.Response) -> str:
    """The tag; of what a gateway makes itself, only of what it is."""
    tag = answer.headers.get("etag", "")
    if match := GENERATED.fullmatch(tag):
        return f"{match[2]} {match[3]}"
    return re.sub(r'W/".*(ba\w+|Qm\w+)\.(car|x-tar).*"', r"\1.\2", tag)


def _disposition(answer: httpx.Response) -> tuple[str, str] | None:
    if "content-disposition" not in answer.headers:
        return None
    message = Message()
    message["content-disposition"] = re.sub(
        r'; filename="[^"]*"; (?=filename\*)', "; ", answer.headers["content-disposition"]
    )
    name = message.get_filename("")
    if name.endswith(".car"):
        name = ".car"  # after the path, or after the CID: any name will do
    return message.get_content_disposition() or "", name


def _blocks(answer: httpx.Response) -> list[tuple[str, bytes]] | None:
    """The blocks of a CAR; ``None`` if it broke off: boxo says why at its end, which is no CAR any more."""
    decoder = CarDecoder()
    try:
        found = [(str(cid), data) for cid, data in decoder.feed(answer.content)]
        if answer.content:
            decoder.finish()
    except CarError:
        return None
    return found


def _members(answer: httpx.Response) -> list[tuple[object, ...]] | None:
    """What is in an archive; ``None`` if it broke off."""
    if not answer.content:
        return []
    found = []
    try:
        with tarfile.open(fileobj=BytesIO(answer.content)) as archive:
            for member in archive.getmembers():
                data = archive.extractfile(member).read() if member.isfile() else b""
                found.append((member.name, member.type, member.linkname, member.mode, data))
    except tarfile.ReadError:
        return None
    return found


def _rows(text: str) -> list[tuple[str, str]]:
    return [(cid, unquote(unquote(unescape(name)))) for cid, name in ROW.findall(text)]
