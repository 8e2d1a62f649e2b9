"""Requests are signed by botocore, with keys that were given or that its usual chain finds and renews."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final, Protocol

import attrs
import trio

from sessionctx.errors import AccessDenied
from sessionctx.storage.s3.extra import module
from sessionctx.storage.s3.location import Location
from sessionctx.storage.s3.threads import THREADS

UNSIGNED: Final = "UNSIGNED-PAYLOAD"
NOTHING: Final = sha256(b"").hexdigest()
"""The hash of no body."""
_HEADERS: Final = ("Authorization", "X-Amz-Date", "X-Amz-Security-Token", "X-Amz-Content-SHA256")


class Signer(Protocol):
    """Whoever signs requests."""

    async def signed(
        self, method: str, url: str, headers: Mapping[str, str], payload: str, region: str
    ) -> dict[str, str]:
        """Return *headers* and what authorizes them. *payload* is the body's SHA-256, or `UNSIGNED`."""
        ...


class Anonymous:
    """Signs nothing: for public buckets."""

    async def signed(
        self,
        method: str,  # noqa: ARG002
        url: str,  # noqa: ARG002
        headers: Mapping[str, str],
        payload: str,  # noqa: ARG002
        region: str,  # noqa: ARG002
    ) -> dict[str, str]:
        """Return *headers* as they are."""
        return dict(headers)


@attrs.define(eq=False)
class Signing:
    """Signs with keys that may have to be renewed, which happens in a thread, whoever needs them waiting."""

    _credentials: Any = attrs.field(repr=False)
    _auth: type[Any] = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._auth = _signature()

    async def signed(
        self, method: str, url: str, headers: Mapping[str, str], payload: str, region: str
    ) -> dict[str, str]:
        """Return *headers* with date, hash and signature. Source: AWS Signature Version 4."""
        request = module("botocore.awsrequest").AWSRequest(method, url, headers=headers)
        request.context["payload"] = payload
        self._auth(await self._keys(), "s3", region).add_auth(request)
        return {name: str(value) for name, value in request.headers.items()}

    async def _keys(self) -> Any:
        try:
            if getattr(self._credentials, "refresh_needed", bool)():
                return await trio.to_thread.run_sync(
                    self._credentials.get_frozen_credentials, abandon_on_cancel=True, limiter=THREADS
                )
            return self._credentials.get_frozen_credentials()
        except module("botocore.exceptions").BotoCoreError as error:
            raise AccessDenied(f"the credentials for S3 cannot be renewed: {error}") from None


@attrs.frozen
class Found:
    """What the environment and the configuration files say."""

    signer: Signer
    region: str | None
    endpoint: str | None


async def look(location: Location, token: str | None = None) -> Found:
    """Find out how to sign requests for *location*, and what else is configured there. :exc:`AccessDenied`.

    Keys of the location's own come first, and need no more than the package. Otherwise the profile, environment,
    shared files, container and instance are asked as the command ``aws`` does it: in a thread, because that may take a
    while. If the caller does not wait, it ends by itself, and nothing comes of it.
    """
    return await trio.to_thread.run_sync(_look, location, token, abandon_on_cancel=True, limiter=THREADS)


def _look(location: Location, token: str | None) -> Found:
    try:
        if location.unsigned:
            signer: Signer | None = Anonymous()
        elif location.access_key:
            keys = module("botocore.credentials").Credentials(location.access_key, location.secret_key or "", token)
            signer = Signing(keys)
        else:
            signer = None
        if signer is not None and location.endpoint and location.region:
            return Found(signer, location.region, location.endpoint)
        return _configured(location, signer)
    except module("botocore.exceptions").BotoCoreError as error:
        raise AccessDenied(f"{location.public}: the credentials cannot be read: {error}") from None


def _configured(location: Location, signer: Signer | None) -> Found:
    session = module("botocore.session").Session(profile=location.profile)
    region = location.region or session.get_config_variable("region")
    endpoint = location.endpoint or _configured_endpoint(session)
    if signer is None and (keys := session.get_credentials()) is not None:
        signer = Signing(keys)
    if signer is None:
        raise AccessDenied(
            f"{location.public}: there are no credentials: set AWS_PROFILE or AWS_ACCESS_KEY_ID, give access_key= and"
            " secret_key=, or say unsigned=1 for a public bucket",
            storage=location.public,
        )
    return Found(signer, region, endpoint)


def _configured_endpoint(session: Any) -> str | None:
    provider = module("botocore.configprovider").ConfiguredEndpointProvider(
        full_config=session.full_config, scoped_config=session.get_scoped_config(), client_name="s3"
    )
    return provider.provide() or None


def _signature() -> type[Any]:
    """Return botocore's signature for S3, which takes our word for the hash of the body."""

    class Signature(module("botocore.auth").S3SigV4Auth):  # type: ignore[misc]
        def payload(self, request: Any) -> str:
            return str(request.context["payload"])

    return Signature
