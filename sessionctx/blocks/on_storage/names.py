"""What the objects are called. Where there are many, two characters of the name are a folder: so they spread. Pure.

::

    log/000000000042                            what commit 42 changed: rows
    base/000000000040                           which object says where everything was after commit 40
    rows/3f/9b0c5e21d2a4773f                    that object, or one of those that it names: sorted rows
    packs/e1/0d5f6a7b8c9d00e1.car               small blocks: a CAR of version 2, with its index
    blocks/ka/ciq...pkaq.0d5f6a7b8c9d00e1       a large block: its bytes; the multihash in base32, and a number
"""

from __future__ import annotations

import re
from typing import Final

from sessionctx.blocks.on_storage.rows import Place
from sessionctx.content import multibase

LOG: Final = "log"
BASE: Final = "base"
ROWS: Final = "rows"
PACKS: Final = "packs"
BLOCKS: Final = "blocks"
_NUMBER: Final = re.compile(r"(?:^|[/.])([0-9a-f]{16})(?:\.car)?$")
_SEQ: Final = re.compile(r"(?:^|/)([0-9]{12})$")


def log(seq: int) -> str:
    """The entry *seq* of the log."""
    return f"{LOG}/{seq:012d}"


def base(seq: int) -> str:
    """What names the base that sums up the log up to *seq*."""
    return f"{BASE}/{seq:012d}"


def rows(number: int) -> str:
    """A base, or one of its shards."""
    return f"{ROWS}/{number & 0xFF:02x}/{number:016x}"


def pack(number: int) -> str:
    """A pack."""
    return f"{PACKS}/{number & 0xFF:02x}/{number:016x}.car"


def block(name: bytes, number: int) -> str:
    """An object that is one block, by its multihash."""
    text = multibase.encode("base32", name)[1:]
    return f"{BLOCKS}/{text[-3:-1]}/{text}.{number:016x}"


def holder(name: bytes, place: Place) -> str:
    """The object in which the block with this multihash is."""
    return pack(place.object) if place.offset else block(name, place.object)


def number_of(path: str) -> int | None:
    """The number in the name of rows, a pack or a block; None if it is none of ours."""
    match = _NUMBER.search(path)
    return None if match is None else int(match[1], 16)


def seq_of(path: str) -> int | None:
    """Which entry or base this is; None if it is none of ours."""
    match = _SEQ.search(path)
    return None if match is None else int(match[1])
