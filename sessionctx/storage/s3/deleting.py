"""Deleting many files: a thousand in one request, or one by one where the server does not do that."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator
from hashlib import md5
from itertools import islice
from typing import Final

import trio

from sessionctx.errors import BadRequest, NotOffered, SessionctxError
from sessionctx.storage.paths import checked
from sessionctx.storage.s3.client import Ask, Client, Refused
from sessionctx.storage.s3.documents import written
from sessionctx.storage.s3.faults import Complaint
from sessionctx.transports import Body

BATCH: Final = 1000
"""Keys that one request deletes."""


async def delete(client: Client, root: str, path: str) -> None:
    """Delete one file."""
    await client.call(Ask(method="DELETE", key=root + path, path=path))


async def delete_many(client: Client, root: str, paths: Iterable[str]) -> dict[str, SessionctxError]:
    """Delete files, and return those that failed, and why. What is no path fails by itself."""
    await trio.lowlevel.checkpoint()
    failed: dict[str, SessionctxError] = {}
    for batch in _batches(paths, failed):
        try:
            if client.profile.batch_delete:
                failed |= await _delete_batch(client, root, batch)
                continue
        except (BadRequest, NotOffered):
            client.profile.batch_delete = False
        except SessionctxError as error:
            if error.personal:
                raise
            failed |= dict.fromkeys(batch, error)
            continue
        await _one_by_one(client, root, batch, failed)
    return failed


async def _delete_batch(client: Client, root: str, paths: list[str]) -> dict[str, SessionctxError]:
    records: list[tuple[str, dict[str, str]]] = [("Quiet", {})]
    records += [("Object", {"Key": root + path}) for path in paths]
    body = written("Delete", records)
    digest = b64encode(md5(body, usedforsecurity=False).digest()).decode()
    headers = {"Content-MD5": digest, "Content-Type": "application/xml"}
    ask = Ask(method="POST", path=paths[0], query=(("delete", ""),), headers=headers, body=Body.of(body))
    answer = await client.call(ask)
    failed: dict[str, SessionctxError] = {}
    for record in answer.document.all("Error"):
        path, complaint = record.get("Key", "")[len(root) :], Complaint.of_record(record)
        if complaint.code != "NoSuchKey":
            error = complaint.error(client.public, path)
            error.__cause__ = Refused(complaint)
            failed[path] = error
    return failed


async def _one_by_one(client: Client, root: str, paths: list[str], failed: dict[str, SessionctxError]) -> None:
    for path in paths:
        try:
            await delete(client, root, path)
        except SessionctxError as error:
            if error.personal:
                raise
            failed[path] = error


def _batches(paths: Iterable[str], failed: dict[str, SessionctxError]) -> Iterator[list[str]]:
    good = _good(paths, failed)
    while batch := list(islice(good, BATCH)):
        yield batch


def _good(paths: Iterable[str], failed: dict[str, SessionctxError]) -> Iterator[str]:
    for path in paths:
        try:
            yield checked(path)
        except SessionctxError as error:
            failed[path] = error
