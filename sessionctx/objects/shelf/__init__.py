"""Where an object service keeps its objects: an index, and a storage for what is large."""

from __future__ import annotations

from sessionctx.objects.shelf.index import Index, Part, Upload
from sessionctx.objects.shelf.rows import Blob, Row, packed, unpacked
from sessionctx.objects.shelf.shelf import Put, Shelf, fresh_key, open_shelf

__all__ = ["Blob", "Index", "Part", "Put", "Row", "Shelf", "Upload", "fresh_key", "open_shelf", "packed", "unpacked"]
