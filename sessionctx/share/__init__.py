"""Blobs by id, shared between services: each gives what it has, and loads the rest from the others, verified."""

from __future__ import annotations

from sessionctx.share.blob import Blob, checked_id, id_at, parsed, path_of
from sessionctx.share.metrics import CommandStatistics, ShareStatistics, SourceStatistics
from sessionctx.share.reader import BlobReader
from sessionctx.share.share import BlobShare, Listen

__all__ = [
    "Blob",
    "BlobReader",
    "BlobShare",
    "CommandStatistics",
    "Listen",
    "ShareStatistics",
    "SourceStatistics",
    "checked_id",
    "id_at",
    "parsed",
    "path_of",
]
