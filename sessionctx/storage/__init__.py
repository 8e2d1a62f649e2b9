"""Files by path, streamed in and out: in memory, on disks, in buckets, on shares. One protocol, a backend per kind."""

from __future__ import annotations

from sessionctx.storage.base import Backend, Can, Entry, Listing, Reader, Source, WriteOptions
from sessionctx.storage.downloading import download
from sessionctx.storage.endpoint import Endpoint, Request
from sessionctx.storage.local import LocalStorage
from sessionctx.storage.memory import MemoryStorage
from sessionctx.storage.paths import checked
from sessionctx.storage.registry import open_storage

__all__ = [
    "Backend",
    "Can",
    "Endpoint",
    "Entry",
    "Listing",
    "LocalStorage",
    "MemoryStorage",
    "Reader",
    "Request",
    "Source",
    "WriteOptions",
    "checked",
    "download",
    "open_storage",
]
