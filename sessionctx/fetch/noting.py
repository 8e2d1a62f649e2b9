"""The scope of one request: an error of the peer ends there, and is noted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

from sessionctx.content import CID
from sessionctx.errors import BadAnswer, BlockTooLarge, Denied, HashMismatch, NotHere, PeerError, PeerFailed
from sessionctx.fetch.ends import Ends
from sessionctx.fetch.job import Job
from sessionctx.peers import Ask


class Noting:
    """Around one request: an error of the peer ends here, noted; any other passes, and the request was dropped."""

    __slots__ = ("_ask", "_ends", "_fail", "_job", "_lacked", "harmless", "kept")

    def __init__(
        self,
        ends: Ends,
        job: Job,
        ask: Ask,
        *,
        lacked: Callable[[CID], None],
        fail: Callable[[Job, Exception], None],
    ) -> None:
        self._ends, self._job, self._ask = ends, job, ask
        self._lacked, self._fail = lacked, fail
        self.kept = 0
        """Bytes that are of use even if it does not end well."""
        self.harmless = False
        """Whether its failure is no reason to leave the peer alone."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> bool:
        if error is None:
            return False
        ends, job, ask = self._ends, self._job, self._ask
        public = ask.record.peer.public
        match error:
            case HashMismatch():
                ends.lied(job, ask, error, kept=self.kept)
            case NotHere() | Denied():
                ends.refused(job, ask, error)
                self._lacked(job.cid)
            case BlockTooLarge():
                ends.failed(job, ask, BadAnswer(str(error), peer=public), kept=self.kept)
            case PeerError():
                ends.failed(job, ask, error, kept=self.kept, rest=not (self.harmless or self.kept))
            case OSError():  # a transport of somebody's own, which leaves it at that
                ends.failed(job, ask, PeerFailed(str(error) or repr(error), peer=public), kept=self.kept)
            case Exception():  # a fault in a transport: raised where the want is
                ends.failed(job, ask, PeerFailed(f"its transport raised {error!r}", peer=public), kept=self.kept)
                self._fail(job, error)
            case _:
                ends.dropped(job, ask, kept=self.kept)
                return False
        return True
