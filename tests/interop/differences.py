"""Where our gateway and boxo's may differ, each with its reason. Pure.

The conformance suite asks for none of what boxo does differently here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs

from tests.interop.compare import Asked

Told = dict[str, object]


@attrs.frozen
class Difference:
    """A reason to differ."""

    why: str
    applies: Callable[[Asked, Told, Told], bool]
    """Given what was asked, what ours said and what theirs."""
    about: frozenset[str] | None = None
    """What may differ then; ``None``: everything."""


def _is(asked: Asked, *names: str) -> bool:
    """Whether one of these formats is asked for, by either way."""
    asks = asked.query.lstrip("?").split("&")[0]
    return any(asks == f"format={name}" or f"/{name}" in asked.header("accept") for name in names)


def _only_ours_refuses(ours: Told, theirs: Told) -> bool:
    return ours["status"] == "refused" and theirs["status"] == 200


def _in_data(asked: Asked) -> bool:
    return asked.root in ("dag-json", "dag-cbor", "json", "cbor") and bool(asked.path.strip("/"))


KNOWN: Final = (
    Difference(
        "A range is for GET only (RFC 9110, 14.2).",
        lambda asked, ours, theirs: asked.method == "HEAD" and bool(asked.header("range")),
    ),
    Difference(
        "A unit that is not known is ignored, and the last bytes may be more than there are (RFC 9110, 14.1.2, 14.2).",
        lambda asked, ours, theirs: (
            asked.header("range") in ("lines=1-2", "bytes=-99999") and theirs["status"] == "refused"
        ),
    ),
    Difference(
        "No range is in an empty file (RFC 9110, 14.1.2).",
        lambda asked, ours, theirs: (
            bool(asked.header("range")) and _only_ours_refuses(ours, theirs) and theirs["body"] == b""
        ),
    ),
    Difference(
        "There is nothing in the answer to OPTIONS, which is 204.",
        lambda asked, ours, theirs: asked.method == "OPTIONS" and ours["status"] == 204,
    ),
    Difference(
        "As JSON, a directory is a list of names and CIDs: our own.",
        lambda asked, ours, theirs: _is(asked, "json") and str(ours.get("etag")).startswith("DirJSON"),
    ),
    Difference(
        "What is not here, or is no content, has not stayed the same: it is looked for first.",
        lambda asked, ours, theirs: (
            bool(asked.header("if-none-match")) and theirs["status"] == 304 and ours["status"] in ("refused", 301, 304)
        ),
    ),
    Difference(
        "A page has its own tag and its own time to be kept, when it has not changed, too.",
        lambda asked, ours, theirs: bool(asked.header("if-none-match")) and ours["status"] == theirs["status"] == 304,
        frozenset({"etag", "cache-control"}),
    ),
    Difference(
        "The query is repeated as it was sent.",
        lambda asked, ours, theirs: "%" in asked.query and ours["status"] == theirs["status"] == 301,
        frozenset({"location"}),
    ),
    Difference(
        "What leads nowhere, or into a block of data, is known before a CAR begins: no CAR of the way is sent.",
        lambda asked, ours, theirs: (
            _is(asked, "car", "vnd.ipld.car") and _only_ours_refuses(ours, theirs) and "blocks" in theirs
        ),
    ),
    Difference(
        "Of a file that is not all here, a range is served that is, and HEAD looks at its beginning only.",
        lambda asked, ours, theirs: (
            asked.root == "holes"
            and (asked.method == "HEAD" or (ours["status"] == 206 and theirs["status"] == "refused"))
        ),
    ),
    Difference(
        "Bytes that are wholly outside a file are none: as with dag-scope=block, only its first block is sent.",
        lambda asked, ours, theirs: (
            asked.query.endswith("entity-bytes=512:-256") and theirs["status"] == "refused" and ours["status"] == 200
        ),
    ),
    Difference(
        "A path within one block of data has one root, and its block is sent once.",
        lambda asked, ours, theirs: _in_data(asked),
        frozenset({"x-ipfs-roots", "blocks"}),
    ),
    Difference(
        "The page of data is there with and without a slash at its end.",
        lambda asked, ours, theirs: "DagIndex" in str(ours.get("etag")) and theirs["status"] == 301,
    ),
    Difference(
        "A tar in which a name leads elsewhere is refused before it begins.",
        lambda asked, ours, theirs: (
            asked.root in ("slash", "outside") and _only_ours_refuses(ours, theirs) and "members" in theirs
        ),
    ),
    Difference(
        "With download=true a file is to be kept, whatever it is called.",
        lambda asked, ours, theirs: asked.query == "?download=true",
        frozenset({"content-disposition"}),
    ),
    Difference(
        "A path that leads nowhere in blocks that are here is not found, cached or not.",
        lambda asked, ours, theirs: (
            asked.header("cache-control") == "only-if-cached"
            and ours["status"] == "refused"
            and theirs["status"] == 412
        ),
    ),
)


def unexplained(asked: Asked, ours: Told, theirs: Told) -> list[str]:
    """Name what differs without a reason."""
    differing = {key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)}
    for reason in KNOWN:
        if differing and reason.applies(asked, ours, theirs):
            differing -= differing if reason.about is None else reason.about
    return sorted(differing)
