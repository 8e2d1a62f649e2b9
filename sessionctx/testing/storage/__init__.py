"""The contract of storage backends: the tests that we run against our own, for those that others write.

::

    from sessionctx.testing.storage import BackendContract

    class TestMyStorage(BackendContract):
        @pytest.fixture
        async def backend(self, tmp_path):
            async with MyStorage(tmp_path) as backend:
                yield backend

Of a backend that only reads, it is `ReadOnlyContract`; its fixture `writer` gives another one, which puts files there.
Passing it is what "is a `sessionctx.storage.Backend`" means. It needs pytest, pytest-trio and hypothesis.
"""

from __future__ import annotations

import pytest

from sessionctx.storage import Backend
from sessionctx.testing.storage.checkpoints import CheckpointsContract
from sessionctx.testing.storage.conditions import ConditionsContract
from sessionctx.testing.storage.files import FilesContract
from sessionctx.testing.storage.reading import ReadingContract, ReadOnlyContract
from sessionctx.testing.storage.sources import Broken, Pieces, content, everything, listed, nothing_at
from sessionctx.testing.storage.tree import TreeContract

__all__ = [
    "BackendContract",
    "Broken",
    "Pieces",
    "ReadOnlyContract",
    "content",
    "everything",
    "listed",
    "nothing_at",
]


class BackendContract(ReadingContract, FilesContract, ConditionsContract, TreeContract, CheckpointsContract):
    """Subclass this, and override the fixture `backend`; for a backend with large parts, `large`, too."""

    @pytest.fixture
    def backend(self) -> Backend:
        """Give an empty storage that can be written. To be overridden, by an async fixture if need be."""
        raise NotImplementedError("a backend's tests override the fixture 'backend'")
