"""Blocks that link: DAGs and paths, files and folders, CAR; over any block store."""

from __future__ import annotations

from sessionctx.dag.car_stream import CarChunks, CarSummary, car_stream
from sessionctx.dag.dag import Dag, Fetched
from sessionctx.dag.files import Files
from sessionctx.dag.opened import Opened
from sessionctx.dag.path import Ref, Resolved, resolve, split_ref
from sessionctx.dag.reader import FileReader
from sessionctx.dag.source import Source
from sessionctx.dag.unixfs import (
    PROFILES,
    V0_2015,
    V1_2025,
    Added,
    Built,
    Chunker,
    Entry,
    Exported,
    FileBuilder,
    Kind,
    OnProgress,
    Profile,
    Progress,
    Stat,
    build_directory,
    make_chunker,
)
from sessionctx.dag.walk import Walk, walk

__all__ = [
    "PROFILES",
    "V0_2015",
    "V1_2025",
    "Added",
    "Built",
    "CarChunks",
    "CarSummary",
    "Chunker",
    "Dag",
    "Entry",
    "Exported",
    "Fetched",
    "FileBuilder",
    "FileReader",
    "Files",
    "Kind",
    "OnProgress",
    "Opened",
    "Profile",
    "Progress",
    "Ref",
    "Resolved",
    "Source",
    "Stat",
    "Walk",
    "build_directory",
    "car_stream",
    "make_chunker",
    "resolve",
    "split_ref",
    "walk",
]
