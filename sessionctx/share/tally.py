"""What has come of one blob, in order, and from whom; and who was it, if the whole was wrong. Pure.

Where several services have brought parts of a wrong whole, the digest of each beginning is kept that ends with a part.
The right whole has other digests from the first wrong byte on: so the part is found that holds it, and who sent that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import attrs

from sessionctx.share.blob import Hash


@attrs.frozen
class Mark:
    """All bytes up to *end* have this *digest*, if those that *source* sent last are right."""

    end: int
    source: str
    digest: bytes


@attrs.define(eq=False)
class Tally:
    """Bytes as they come, from any number of sources, which may overlap."""

    suspects: Sequence[Mark] = ()
    """The marks of another whole, which was wrong."""
    at: int = attrs.field(default=0, init=False)
    """So many bytes are here."""
    marks: list[Mark] = attrs.field(factory=list[Mark], init=False)
    """Where one source ended and another went on."""
    _hash: Hash = attrs.field(factory=hashlib.sha256, init=False)
    _source: str | None = attrs.field(default=None, init=False)
    _checked: dict[int, bytes] = attrs.field(factory=dict[int, bytes], init=False)

    @property
    def digest(self) -> str:
        """That of all that is here: ``sha256:`` and 64 digits."""
        return f"sha256:{self._hash.hexdigest()}"

    @property
    def sources(self) -> set[str]:
        """Who has brought some of it."""
        return {mark.source for mark in self.marks} | ({self._source} if self._source is not None else set())

    def fresh(self, offset: int, piece: memoryview) -> memoryview:
        """Return what of a *piece* that begins at *offset* is not here yet; one that leaves a gap is an error."""
        if offset > self.at:
            raise ValueError(f"bytes from {offset} on came, where {self.at} was next")
        return piece[self.at - offset :]

    def add(self, source: str, fresh: memoryview) -> None:
        """Take the bytes that come next, from *source*."""
        if self._source not in (None, source):
            self.close()
        self._source = source
        for part in self._split(fresh):
            self._hash.update(part)
            self.at += len(part)
            if any(mark.end == self.at for mark in self.suspects):
                self._checked[self.at] = self._hash.digest()

    def close(self) -> None:
        """Mark where the source that sent last has ended."""
        if self._source is not None:
            self.marks.append(Mark(self.at, self._source, self._hash.digest()))
            self._source = None

    def liar(self) -> str | None:
        """Return who among the *suspects* sent the first byte that differs from what is here, which is right."""
        for mark in self.suspects:
            if self._checked.get(mark.end) != mark.digest:
                return mark.source
        return None

    def _split(self, fresh: memoryview) -> Iterator[memoryview]:
        """Cut where another whole had its marks."""
        ends = sorted({mark.end - self.at for mark in self.suspects if 0 < mark.end - self.at < len(fresh)})
        for begin, end in zip([0, *ends], [*ends, len(fresh)], strict=True):
            yield fresh[begin:end]
