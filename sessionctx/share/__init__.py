"""Blobs by id, shared between services: each gives what it has, and loads the rest from the others, verified."""

from __future__ import annotations

from sessionctx.share.blob import ROUTE, Blob, id_at
from sessionctx.share.metrics import CommandStatistics, ShareStatistics, SourceStatistics
from sessionctx.share.reader import BlobReader
from sessionctx.share.share import BlobShare, Listen

__all__ = [
    "ROUTE",
    "Blob",
    "BlobReader",
    "BlobShare",
    "CommandStatistics",
    "Listen",
    "ShareStatistics",
    "SourceStatistics",
    "id_at",
]
