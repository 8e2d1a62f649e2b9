"""One multipart upload: begun, filled part by part, put together; or taken back, whatever happens meanwhile."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from hashlib import md5
from types import MappingProxyType
from typing import Final

import attrs
import trio

from sessionctx.errors import BadAnswer, NoSuchFile, SessionctxError
from sessionctx.storage.s3.checksums import OURS, Crc
from sessionctx.storage.s3.client import Ask, Client, complaint_of
from sessionctx.storage.s3.crew import crew
from sessionctx.storage.s3.documents import written
from sessionctx.storage.s3.gathering import Part
from sessionctx.storage.s3.journal import Note
from sessionctx.storage.s3.objects import checksum_header, number_of, version_of
from sessionctx.storage.s3.parts import MOST_PARTS
from sessionctx.storage.s3.threads import THREADS
from sessionctx.transports import Body

BUDGET: Final = 5.0
"""Seconds for taking an upload back after it was given up, and for learning its id if it has just begun."""


@attrs.frozen
class Sent:
    """A part that the server has."""

    etag: str
    crc: int
    length: int


@attrs.define(eq=False)
class Upload:
    """An upload that the server knows by *id*."""

    client: Client
    key: str
    path: str
    id: str
    checksums: bool
    """Whether the server was told that checksums will come."""
    sent: dict[int, Sent] = attrs.field(factory=dict[int, Sent])
    there: Mapping[int, tuple[int, str]] = MappingProxyType({})
    """Parts that were there before: their sizes and ETags."""
    note: Note | None = None
    """Of the journal, if there is one."""

    async def send(self, number: int, part: Part) -> None:
        """Send the part with this *number*, unless it is there already."""
        size, etag = self.there.get(number, (-1, ""))
        if size != part.length or etag != await trio.to_thread.run_sync(_etag, part, limiter=THREADS):
            etag = await self._put(number, part)
        self.sent[number] = Sent(etag, part.crc.value, part.length)

    async def copy(self, number: int, headers: Mapping[str, str], length: int) -> None:
        """Let the server take a part from another object, as *headers* say."""
        query = (("partNumber", str(number)), ("uploadId", self.id))
        answer = await self.client.call(self._ask("PUT", headers=headers, query=query, slow=True))
        self.sent[number] = Sent(version_of(answer.document.fields.get("ETag")) or "", 0, length)

    async def complete(self, guards: Mapping[str, str]) -> str | None:
        """Put the parts together where *guards* allow it; return the version of the file that they make."""
        parts = [(number, self.sent[number]) for number in sorted(self.sent)]
        records = [("Part", {"PartNumber": str(number), "ETag": f'"{part.etag}"'}) for number, part in parts]
        headers = dict(guards)
        if self.checksums:
            whole = Crc.of_all(OURS, [(part.crc, part.length) for _, part in parts])
            headers |= {checksum_header(OURS): whole.text, "x-amz-checksum-type": "FULL_OBJECT"}
        body = Body.of(written("CompleteMultipartUpload", records))
        ask = self._ask("POST", headers=headers, body=body, slow=True)
        try:
            answer = await self.client.call(ask, safe=not guards)
        except NoSuchFile as error:
            version: str | None = await self._completed(error, [part.etag for _, part in parts])
        else:
            version = await self._version(version_of(answer.document.fields.get("ETag")))
        if self.note is not None:
            self.note.strike()
        return version

    async def _version(self, said: str | None) -> str | None:
        """Return the version of the file that was made; not every server gives it right when it makes the file."""
        profile = self.client.profile
        if profile.complete_etag and said is not None:
            return said
        head = await self.client.call(Ask(method="HEAD", key=self.key, path=self.path, part=True))
        found = version_of(head.headers.get("etag"))
        profile.complete_etag = said == found
        return found

    async def _completed(self, error: NoSuchFile, etags: list[str]) -> str:
        """Return the version of the file if it is this upload that has made it, in a request whose answer was lost."""
        if complaint_of(error).code == "NoSuchUpload" and all(len(etag) == 32 for etag in etags):
            digest = md5(b"".join(bytes.fromhex(etag) for etag in etags), usedforsecurity=False)
            head = await self.client.call(Ask(method="HEAD", key=self.key, path=self.path, part=True))
            version = f"{digest.hexdigest()}-{len(etags)}"
            if version_of(head.headers.get("etag")) == version:
                return version
        raise error

    async def abort(self) -> bool:
        """Take it back, with all its parts, even if the caller is cancelled or its session has ended.

        It tries for some seconds; return whether it was successful.
        """
        gone = await self._aborted()
        if self.note is not None:
            (self.note.strike if gone else self.note.leave)()
        return gone

    async def _aborted(self) -> bool:
        with trio.move_on_after(BUDGET, shield=True):
            try:
                for _ in range(3):  # parts that were still on their way may have come in between
                    await self.client.call(attrs.evolve(self._ask("DELETE"), unseen=True))
            except NoSuchFile:
                return True
            except SessionctxError:
                return False
            return True
        return False

    async def _put(self, number: int, part: Part) -> str:
        headers = {checksum_header(OURS): part.crc.text} if self.checksums else {}
        query = (("partNumber", str(number)), ("uploadId", self.id))
        ask = self._ask("PUT", headers=headers, body=part.body, query=query, size=part.length)
        answer = await self.client.call(ask)
        etag = version_of(answer.headers.get("etag"))
        if etag is None:
            raise BadAnswer(f"{self.client.public} took a part and gave no ETag", peer=self.client.public)
        return etag

    def _ask(
        self,
        method: str,
        *,
        headers: Mapping[str, str] = MappingProxyType({}),
        body: Body | None = None,
        query: tuple[tuple[str, str], ...] | None = None,
        size: int = 0,
        slow: bool = False,
    ) -> Ask:
        asked = (("uploadId", self.id),) if query is None else query
        return Ask(
            method=method,
            key=self.key,
            path=self.path,
            query=asked,
            headers=headers,
            body=body,
            size=size,
            part=True,
            slow=slow,
        )


async def begin(
    client: Client, key: str, path: str, headers: Mapping[str, str], *, checksums: bool, part: bool = False
) -> Upload:
    """Begin an upload. If the caller is cancelled meanwhile, its id is still waited for, and it is taken back."""
    told = {"x-amz-checksum-algorithm": OURS.upper(), "x-amz-checksum-type": "FULL_OBJECT"} if checksums else {}
    ask = Ask(method="POST", key=key, path=path, query=(("uploads", ""),), headers={**headers, **told}, part=part)
    upload: Upload | None = None
    try:
        async with _to_the_end(BUDGET):
            answer = await client.call(ask)
            upload = Upload(client, key, path, _id(client, answer.document.fields), checksums)
        await trio.lowlevel.checkpoint_if_cancelled()
        assert upload is not None  # or else it was cancelled
    except BaseException:
        if upload is not None:
            await upload.abort()
        raise
    return upload


async def known_parts(upload: Upload) -> dict[int, tuple[int, str]]:
    """Return the parts that the server has of *upload*: their sizes and ETags, by their numbers."""
    found: dict[int, tuple[int, str]] = {}
    marker = 0
    while True:
        query = (("max-parts", "1000"), ("part-number-marker", str(marker)), ("uploadId", upload.id))
        ask = Ask(method="GET", key=upload.key, path=upload.path, query=query, part=True)
        page = (await upload.client.call(ask)).document
        for record in page.all("Part"):
            number, size = number_of(record.get("PartNumber")), number_of(record.get("Size"))
            if number is not None and size is not None:
                found[number] = size, version_of(record.get("ETag")) or ""
        following = number_of(page.fields.get("NextPartNumberMarker")) or 0
        if page.fields.get("IsTruncated") != "true" or not marker < following <= MOST_PARTS:
            return found
        marker = following


@asynccontextmanager
async def _to_the_end(seconds: float) -> AsyncGenerator[None]:
    """Let the block go on for some *seconds* after it was cancelled."""

    async def watch(scope: trio.CancelScope) -> None:
        try:
            await trio.sleep_forever()
        finally:
            scope.deadline = min(scope.deadline, trio.current_time() + seconds)

    async with crew(wait=False) as tasks:
        with trio.CancelScope(shield=True) as scope:
            tasks.start(watch, scope)
            yield


def _id(client: Client, fields: Mapping[str, str]) -> str:
    if not (found := fields.get("UploadId")):
        raise BadAnswer(f"{client.public} began an upload and gave no id of it", peer=client.public)
    return found


def _etag(part: Part) -> str:
    """Return the ETag that most servers give a part."""
    digest = md5(usedforsecurity=False)
    for buffer in part.buffers:
        digest.update(buffer)
    return digest.hexdigest()
