"""Opening a bucket: what the URL says, what the options say, and what is configured around us, put together."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import attrs

from sessionctx.errors import InvalidLocation
from sessionctx.peers import Peer
from sessionctx.storage.endpoint import Endpoint
from sessionctx.storage.s3.client import Client
from sessionctx.storage.s3.conditions import Conditions
from sessionctx.storage.s3.journal import Journal
from sessionctx.storage.s3.location import Location, Place, Style, checked_endpoint, checked_region
from sessionctx.storage.s3.patience import Patience
from sessionctx.storage.s3.profile import profile_of
from sessionctx.storage.s3.signing import look
from sessionctx.storage.s3.storage import S3Storage, Sizes
from sessionctx.transports import HTTP

REGION: Final = "us-east-1"
"""Where nobody says another: of servers that are not Amazon's, most do not mind."""


@asynccontextmanager
async def open_s3(
    url: str,
    *,
    endpoint: str | None = None,
    region: str | None = None,
    style: Style | None = None,
    unsigned: bool | None = None,
    profile: str | None = None,
    access_key: str | None = None,
    secret_key: str | None = None,
    token: str | None = None,
    sizes: Sizes = Sizes(),  # noqa: B008 - it is frozen
    patience: Patience = Patience(),  # noqa: B008
    conditional_writes: bool | None = None,
    journal: Path | None = None,
    http: HTTP = HTTP(),  # noqa: B008
) -> AsyncGenerator[S3Storage]:
    """Open the bucket of ``s3://bucket/prefix``, for the length of a block; nothing is asked of the server yet.

    *endpoint*, *region*, *style* (``"path"`` or ``"virtual"``), *unsigned* and *profile* may stand in the URL, too
    (``?endpoint=http://127.0.0.1:9000&style=path``). What neither says comes from where the command ``aws`` finds it:
    the environment (``AWS_ENDPOINT_URL``, ``AWS_PROFILE``, ``AWS_ACCESS_KEY_ID``, ...), the shared files, the
    container, the instance. *access_key*, *secret_key* and a session's *token* go before that.

    *conditional_writes*: whether the server heeds ``If-None-Match`` and ``If-Match``; None tries it out on a file of
    our own, before the first write that relies on it.

    *journal*: a folder in which uploads are noted while they are under way. Those of a program that was killed are
    then resumed by who writes the same file again, or taken back by `S3Storage.sweep`.

    Raises:
        InvalidLocation: the URL or an option cannot be.
        AccessDenied: there are no credentials, or they cannot be read.
        MissingExtra: botocore or awscrt is not installed.
    """
    given: dict[str, Any] = {
        "endpoint": endpoint and checked_endpoint(endpoint),
        "region": region and checked_region(region),
        "style": style,
        "unsigned": unsigned,
        "profile": profile,
        "access_key": access_key,
        "secret_key": secret_key,
    }
    parsed = Location.parse(url)
    location = attrs.evolve(parsed, **{name: value for name, value in given.items() if value is not None})
    if bool(location.access_key) != bool(location.secret_key):
        raise InvalidLocation(f"{location.public}: an access key and a secret key go together")
    found = await look(location, token)
    location = attrs.evolve(location, endpoint=found.endpoint and checked_endpoint(found.endpoint))
    place = Place.of(location.bucket, found.region or REGION, location.endpoint, location.style)
    habits = profile_of(place.endpoint, amazon=place.amazon)
    if conditional_writes is not None:
        habits.conditional_put = habits.conditional_complete = conditional_writes
    peer = Peer(location.url, location.public, most=8, endpoint=place.endpoint)
    client = Client(place, location.public, Endpoint(peer), habits, patience, found.signer, http)
    root = f"{location.prefix}/" if location.prefix else ""
    yield S3Storage(location, client, Conditions(client, root), sizes, None if journal is None else Journal(journal))
