"""Files by path, streamed in and out: in memory, on disks, in buckets, on shares. One protocol, a backend per kind."""

from __future__ import annotations

from sessionctx.storage.base import Backend, Can, Entry, Kind, Listing, Reader, Source, WriteOptions
from sessionctx.storage.copying import Outcome, Summary, copy
from sessionctx.storage.downloading import download
from sessionctx.storage.endpoint import Endpoint, Request
from sessionctx.storage.local import LocalStorage
from sessionctx.storage.memory import MemoryStorage
from sessionctx.storage.paths import checked
from sessionctx.storage.patience import PASSING, Patience
from sessionctx.storage.registry import open_storage
from sessionctx.storage.source import pieces
from sessionctx.storage.transfer import Location

__all__ = [
    "PASSING",
    "Backend",
    "Can",
    "Endpoint",
    "Entry",
    "Kind",
    "Listing",
    "LocalStorage",
    "Location",
    "MemoryStorage",
    "Outcome",
    "Patience",
    "Reader",
    "Request",
    "Source",
    "Summary",
    "WriteOptions",
    "checked",
    "copy",
    "download",
    "open_storage",
    "pieces",
]
