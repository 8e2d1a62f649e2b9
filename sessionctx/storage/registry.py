"""Which backend opens which kind of URL: by scheme. Other packages add theirs through an entry point."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from importlib.metadata import entry_points
from typing import Any, Final, TypeAlias, cast

from sessionctx.errors import InvalidLocation, InvalidPeer
from sessionctx.storage.base import Backend
from sessionctx.transports import redacted, scheme_of

GROUP: Final = "sessionctx.storage"
"""The entry-point group: the name is a scheme, the object an `Opener`."""

Opener: TypeAlias = Callable[..., AbstractAsyncContextManager[Backend]]
"""Takes the URL, and options by keyword; opens the backend that is rooted there."""

_BUILT_IN: Final[dict[str, str]] = {
    "file": "local:open_local",
    "http": "http:open_http",
    "https": "http:open_http",
    "memory": "memory:open_memory",
    "sftp": "sftp:open_sftp",
    "smb": "smb:open_smb",
    "s3": "s3:open_s3",
}
"""Scheme: module of this folder, and its opener. Each is imported when it is used, with what it needs."""

_openers: Final[dict[str, Opener]] = {}


def open_storage(url: str, **options: Any) -> AbstractAsyncContextManager[Backend]:
    """Open the storage that is rooted at *url*, for the length of a block::

        async with open_storage("s3://bucket/photos", region="eu-central-1") as photos:
            await photos.write("2026/cat.jpg", data)

    ``memory``, ``file``, ``s3``, ``sftp``, ``smb`` and, read-only, ``http`` and ``https`` are built in; some need an
    extra. Another scheme looks for an installed
    package that has an entry point of that name in the group ``sessionctx.storage``. *options* are the backend's own.

    Raises:
        InvalidLocation: *url* is none, or nothing serves its scheme.
        MissingExtra: the backend needs a package that is not installed.
    """
    try:
        scheme = scheme_of(url)
    except InvalidPeer:
        raise InvalidLocation(f"{redacted(url)!r} has no scheme: write file:///folder, or s3://bucket") from None
    if scheme not in _openers:
        _openers[scheme] = _load(scheme, redacted(url))
    return _openers[scheme](url, **options)


def _load(scheme: str, shown: str) -> Opener:
    if scheme in _BUILT_IN:
        module, _, name = _BUILT_IN[scheme].partition(":")
        return cast("Opener", getattr(importlib.import_module(f"sessionctx.storage.{module}"), name))
    for point in entry_points(group=GROUP, name=scheme):
        try:
            return cast("Opener", point.load())
        except Exception as error:
            raise InvalidLocation(
                f"{shown!r}: the backend for {scheme}:// ({point.value}) cannot be loaded: {error!r}"
            ) from error
    raise InvalidLocation(
        f"{shown!r}: no storage serves {scheme}://; known are {', '.join(sorted(_BUILT_IN))}."
        f" Install a package that offers it in the entry-point group {GROUP!r}"
    )
