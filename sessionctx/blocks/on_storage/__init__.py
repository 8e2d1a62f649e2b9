"""Blocks in a storage, for many nodes at once: small ones in packs, a log of changes, an index to find them."""

from __future__ import annotations

from sessionctx.blocks.on_storage.collect import Cleared
from sessionctx.blocks.on_storage.store import StorageBlockstore

__all__ = ["Cleared", "StorageBlockstore"]
