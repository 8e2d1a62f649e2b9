"""UnixFS: files and folders as blocks."""

from __future__ import annotations

from sessionctx.dag.unixfs.add import Added
from sessionctx.dag.unixfs.build import Built, FileBuilder
from sessionctx.dag.unixfs.chunk import Chunker, make_chunker
from sessionctx.dag.unixfs.directory import build_directory
from sessionctx.dag.unixfs.export import Exported
from sessionctx.dag.unixfs.node import Kind, Node, open_node
from sessionctx.dag.unixfs.profile import PROFILES, V0_2015, V1_2025, Profile
from sessionctx.dag.unixfs.progress import OnProgress, Progress
from sessionctx.dag.unixfs.read import Entry, Stat

__all__ = [
    "PROFILES",
    "V0_2015",
    "V1_2025",
    "Added",
    "Built",
    "Chunker",
    "Entry",
    "Exported",
    "FileBuilder",
    "Kind",
    "Node",
    "OnProgress",
    "Profile",
    "Progress",
    "Stat",
    "build_directory",
    "make_chunker",
    "open_node",
]
