"""Where blocks are kept: in memory, on the disk, in a CAR, in several places as one. All are a `Blockstore`."""

from __future__ import annotations

from sessionctx.blocks.base import BATCH_BLOCKS, BATCH_BYTES, Blockstore, Caching, StoreStatistics
from sessionctx.blocks.car import CarBlockstore
from sessionctx.blocks.disk import DiskBlockstore
from sessionctx.blocks.garbage import GRACE, Collected
from sessionctx.blocks.memory import MemoryBlockstore
from sessionctx.blocks.network import NetworkBlocks
from sessionctx.blocks.on_storage import Cleared, StorageBlockstore
from sessionctx.blocks.pins import HasPins, Pin, Pins, pins_of
from sessionctx.blocks.scan import Audit, BadBlock, CIDs
from sessionctx.blocks.tiered import TieredBlockstore
from sessionctx.blocks.upstream import NEAR, HasUpstream, Upstream, default_limits, upstream_of

__all__ = [
    "BATCH_BLOCKS",
    "BATCH_BYTES",
    "GRACE",
    "NEAR",
    "Audit",
    "BadBlock",
    "Blockstore",
    "CIDs",
    "Caching",
    "CarBlockstore",
    "Cleared",
    "Collected",
    "DiskBlockstore",
    "HasPins",
    "HasUpstream",
    "MemoryBlockstore",
    "NetworkBlocks",
    "Pin",
    "Pins",
    "StorageBlockstore",
    "StoreStatistics",
    "TieredBlockstore",
    "Upstream",
    "default_limits",
    "pins_of",
    "upstream_of",
]
