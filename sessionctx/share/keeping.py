"""How blobs come to be kept: given by the caller, or loaded from services. Each by one caller at a time."""

from __future__ import annotations

import random

import attrs

from sessionctx.errors import FileExists
from sessionctx.share.blob import Blob
from sessionctx.share.course import Course, Manners, Wish
from sessionctx.share.download import Download
from sessionctx.share.metrics import Metrics, Tracked
from sessionctx.share.names import Names
from sessionctx.share.pieces import Pieces
from sessionctx.share.shelf import Kept, Shelf
from sessionctx.share.sources import Hashed, Sized


async def keep_given(shelf: Shelf, resource_id: str, source: Sized, expected: str | None, counts: Tracked) -> Blob:
    """Keep what *source* gives under an id; or see that it is the same as what is kept there already."""
    kept = await shelf.find(resource_id)
    with shelf.reserving() as reservation:

        async def came(size: int) -> None:
            counts.bytes += size
            if kept is None:
                await shelf.make_room(reservation, size)

        hashed = Hashed(source.pieces, expected, came)
        if kept is None:
            try:
                return (await shelf.write(resource_id, hashed, size=source.size, loaded=False)).blob
            except FileExists:  # another process was faster
                kept = await shelf.find(resource_id)
        await hashed.drain()
    return await _adopted(shelf, resource_id, kept, hashed.digest)


async def _adopted(shelf: Shelf, resource_id: str, kept: Kept | None, digest: str) -> Blob:
    """What is kept already counts as given from now on, if it is the same."""
    if kept is None or kept.blob.digest != digest:
        what = "something else" if kept is None else f"a blob with the digest {kept.blob.digest}"
        raise FileExists(f"{shelf.backend.public}: {what} is shared as {resource_id!r}, and not {digest}")
    if kept.loaded:
        await shelf.note(attrs.evolve(kept, loaded=False))
    return kept.blob


@attrs.define(eq=False)
class Loader:
    """Loads blobs from services, unless they are here. Of each id one at a time, by *names*."""

    _shelf: Shelf
    _metrics: Metrics
    _names: Names
    _manners: Manners = attrs.field(factory=Manners, init=False)
    _chance: random.Random = attrs.field(factory=random.Random, init=False)

    async def get(self, wish: Wish) -> Kept:
        """Return what is wished for. Raises as `BlobShare.load` does."""
        kept = await self._shelf.find(wish.id)
        if kept is None:
            async with self._names.only(wish.id):  # others who want it, but in another way, look again after this
                kept = await self._shelf.find(wish.id)
                if kept is None:
                    return await self._download(wish)
        self._metrics.hits += 1
        return self._checked(wish, kept)

    async def _download(self, wish: Wish) -> Kept:
        download = Download(Course(wish, self._manners, self._chance), self._metrics)

        async def write(pieces: Pieces, size: int) -> Kept:
            with self._shelf.reserving() as reservation:
                await self._shelf.make_room(reservation, size)
                return await self._shelf.write(wish.id, pieces, size=size, loaded=True)

        try:
            return await download.into(write)
        except FileExists:  # another process was faster
            kept = await self._shelf.find(wish.id)
            if kept is None:
                raise
            return self._checked(wish, kept)

    def _checked(self, wish: Wish, kept: Kept) -> Kept:
        if wish.digest in (None, kept.blob.digest):
            return kept
        what = f"the blob {wish.id!r} is here with the digest {kept.blob.digest}, and not {wish.digest}"
        raise FileExists(f"{self._shelf.backend.public}: {what}")
