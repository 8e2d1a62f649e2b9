"""Which bucket an ``s3://`` URL names, and under which URLs its server has it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final, Literal, Self, TypeAlias
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

import attrs

from sessionctx.errors import InvalidLocation
from sessionctx.storage.paths import checked, fault_of
from sessionctx.transports import redacted

Style: TypeAlias = Literal["path", "virtual"]
Query: TypeAlias = Iterable[tuple[str, str]]

_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_HOST_LABEL: Final = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
_REGION: Final = re.compile(r"[A-Za-z0-9-]{1,63}")
_OPTIONS: Final = {"endpoint", "region", "style", "unsigned", "profile"}
_YES: Final = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


@attrs.frozen(kw_only=True)
class Location:
    """What an URL says; None is what it leaves open."""

    bucket: str
    prefix: str = ""
    """The folder in the bucket that is the root; without slashes around it."""
    endpoint: str | None = None
    region: str | None = None
    style: Style | None = None
    unsigned: bool | None = None
    profile: str | None = None
    access_key: str | None = attrs.field(default=None, repr=False)
    secret_key: str | None = attrs.field(default=None, repr=False)

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read ``s3://bucket/prefix?endpoint=http://127.0.0.1:9000&region=eu-central-1&style=path&unsigned=1``.

        Keys may stand before the bucket, percent-encoded: ``s3://access:secret@bucket``. :exc:`InvalidLocation`.
        """
        try:
            parts = urlsplit(url)
        except ValueError:
            raise InvalidLocation(f"{redacted(url)!r} is no URL: write s3://bucket/prefix") from None
        userinfo, _, bucket = parts.netloc.rpartition("@")
        access_key, _, secret_key = userinfo.partition(":")
        prefix = unquote(parts.path).strip("/")
        if not _BUCKET.fullmatch(bucket):
            raise InvalidLocation(f"{redacted(url)!r} names no bucket: write s3://bucket/prefix")
        if fault := fault_of(prefix):
            raise InvalidLocation(f"{redacted(url)!r} has a prefix that is no path: {fault}")
        return cls(
            bucket=bucket,
            prefix=checked(prefix),
            access_key=unquote(access_key) or None,
            secret_key=unquote(secret_key) or None,
            **_options(parts.query, redacted(url)),
        )

    @property
    def public(self) -> str:
        """The URL without secrets: bucket, prefix, and the endpoint if it is another than Amazon's own."""
        query = f"?{urlencode({'endpoint': self.endpoint}, safe=':/')}" if self.endpoint else ""
        return f"s3://{quote(_joined(self.bucket, self.prefix))}{query}"

    @property
    def url(self) -> str:
        """The whole URL, with the keys if it has some: never show it."""
        names = ("endpoint", "region", "style", "profile")
        query = {name: getattr(self, name) for name in names if getattr(self, name)}
        query |= {} if self.unsigned is None else {"unsigned": str(int(self.unsigned))}
        keys = f"{quote(self.access_key, safe='')}:{quote(self.secret_key or '', safe='')}@" if self.access_key else ""
        tail = f"?{urlencode(query, safe=':/')}" if query else ""
        return f"s3://{keys}{quote(_joined(self.bucket, self.prefix))}{tail}"


@attrs.frozen
class Place:
    """Where the requests for a bucket go."""

    bucket: str
    endpoint: str
    """Scheme, host and port of the server, and a path if it has one."""
    region: str
    style: Style

    @classmethod
    def of(cls, bucket: str, region: str, endpoint: str | None, style: Style | None) -> Self:
        """Return the place of *bucket*: at Amazon's own endpoint of the *region* if none is given.

        There buckets have hosts of their own, if their names can be in one; elsewhere they are the first name of the
        path, unless *style* says otherwise.
        """
        if endpoint is None:
            fitting: Style = "virtual" if _HOST_LABEL.fullmatch(bucket) else "path"
            tail = ".cn" if region.startswith("cn-") else ""
            return cls(bucket, f"https://s3.{region}.amazonaws.com{tail}", region, style or fitting)
        return cls(bucket, endpoint.rstrip("/"), region, style or "path")

    def url(self, key: str = "", query: Query = ()) -> str:
        """Return the URL of *key*, or of the bucket, encoded as a signature needs it."""
        scheme, _, host = self.endpoint.partition("://")
        root = f"{scheme}://{self.bucket}.{host}" if self.style == "virtual" else f"{self.endpoint}/{self.bucket}"
        asked = "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in query)
        return f"{root}/{quote(key, safe='/-_.~')}" + (f"?{asked}" if asked else "")

    @property
    def shared(self) -> str:
        """What it shares with other buckets: its endpoint."""
        return self.endpoint

    @property
    def amazon(self) -> bool:
        """Whether it is the original, which does all that its documentation says."""
        return self.endpoint.removesuffix(".cn").endswith(".amazonaws.com")

    @property
    def private_line(self) -> bool:
        """Whether nobody on the way can change what is sent: TLS, or this machine itself."""
        scheme, _, host = self.endpoint.partition("://")
        return scheme == "https" or re.fullmatch(r"(localhost|127\.[\d.]+|\[::1\])(:\d+)?(/.*)?", host) is not None


def _joined(bucket: str, prefix: str) -> str:
    return f"{bucket}/{prefix}" if prefix else bucket


def _options(query: str, shown: str) -> dict[str, Any]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    if unknown := options.keys() - _OPTIONS:
        raise InvalidLocation(f"{shown!r}: unknown option {min(unknown)!r}; known are {sorted(_OPTIONS)}")
    found: dict[str, Any] = dict(options)
    if "endpoint" in options:
        found["endpoint"] = checked_endpoint(options["endpoint"])
    if "region" in options:
        found["region"] = checked_region(options["region"])
    if options.get("style", "path") not in {"path", "virtual"}:
        raise InvalidLocation(f"{shown!r}: style is path or virtual")
    if "unsigned" in options:
        if options["unsigned"].lower() not in _YES:
            raise InvalidLocation(f"{shown!r}: unsigned is 1 or 0")
        found["unsigned"] = _YES[options["unsigned"].lower()]
    return found


def checked_endpoint(endpoint: str) -> str:
    """Return an endpoint's URL if it can be one. :exc:`InvalidLocation`."""
    try:
        parts = urlsplit(endpoint)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise InvalidLocation(f"{redacted(endpoint)!r} is no endpoint: write https://host, or http://host:port")
    if "@" in parts.netloc:
        raise InvalidLocation(f"{redacted(endpoint)!r}: keys belong into the bucket's URL, or options")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}{parts.path.rstrip('/')}"


def checked_region(region: str) -> str:
    """Return a region's name if it can be one. :exc:`InvalidLocation`."""
    if not _REGION.fullmatch(region):
        raise InvalidLocation(f"{region[:80]!r} is no region: write something like eu-central-1")
    return region
