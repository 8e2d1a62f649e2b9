"""Who may do what: tokens (JWT, RFC 8037 Ed25519) and presigned URLs, made and checked. Pure; time is an argument.

The protocol's section 4. Keys and tokens are secrets: nothing here shows them.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast
from urllib.parse import parse_qsl, quote

import attrs

from sessionctx.errors import InvalidObject, MissingExtra, TokenRefused
from sessionctx.objects.paths import Place

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

Permission: TypeAlias = Literal["object.read", "object.write", "object.delete"]

PERMISSIONS: Final[tuple[Permission, ...]] = ("object.read", "object.write", "object.delete")
AUDIENCE: Final = "objectstore"
ISSUERS: Final = frozenset({"sentry", "relay"})
SKEW: Final = 60.0
"""Seconds by which clocks may differ."""
LONGEST: Final = 7 * 86_400
"""Seconds that a presigned URL may be good for."""
MOST_TOKEN: Final = 16 * 1024


@attrs.frozen
class Grant:
    """What a token allows: these permissions in these scopes of a use case; a value ``*`` stands for any."""

    usecase: str
    scopes: Mapping[str, str]
    permissions: frozenset[str]

    def allows(self, place: Place, permission: Permission) -> bool:
        """Whether it reaches to *place*: its scopes are exactly those of the token, no wider and no narrower."""
        here = dict(place.scopes)
        return (
            permission in self.permissions
            and self.usecase in {place.usecase, "*"}
            and here.keys() == self.scopes.keys()
            and all(self.scopes[name] in {value, "*"} for name, value in here.items())
        )


@attrs.frozen
class SigningKey:
    """What tokens and presigned URLs are made with: an Ed25519 key, and the name by which the service knows it."""

    kid: str
    _key: Ed25519PrivateKey = attrs.field(repr=False)

    @classmethod
    def from_pem(cls, kid: str, pem: str | bytes) -> SigningKey:
        """Read a PKCS 8 key without a password. :exc:`InvalidObject`, :exc:`MissingExtra`."""
        ed25519, serialization = _cryptography()
        try:
            key: Any = serialization.load_pem_private_key(pem.encode() if isinstance(pem, str) else pem, password=None)
        except (ValueError, TypeError):
            key = None
        if not isinstance(key, ed25519.Ed25519PrivateKey):
            raise InvalidObject("this is no Ed25519 private key in PEM (PKCS 8, without a password)")
        return cls(kid, cast("Ed25519PrivateKey", key))

    @property
    def public(self) -> Ed25519PublicKey:
        """What the service checks with."""
        return self._key.public_key()

    def token(
        self, place: Place, permissions: Iterable[Permission] = PERMISSIONS, *, now: float, seconds: float = 3600.0
    ) -> str:
        """Return a token for *place* that is good for so many *seconds* from *now* (seconds since 1970)."""
        header = {"alg": "EdDSA", "kid": self.kid, "typ": "JWT"}
        claims = {
            "aud": AUDIENCE,
            "exp": int(now + seconds),
            "iat": int(now),
            "permissions": list(permissions),
            "res": {"os:usecase": place.usecase, **dict(place.scopes)},
        }
        signed = f"{_packed(header)}.{_packed(claims)}"
        return f"{signed}.{_unpadded(self._key.sign(signed.encode()))}"

    def presigned(self, path: str, query: str = "", *, now: float, seconds: int) -> str:
        """Return *path* with a query that lets anybody GET or HEAD it for so many *seconds*; both percent-encoded."""
        if not 0 < seconds <= LONGEST:
            raise InvalidObject(f"a presigned URL is good for up to {LONGEST} seconds, not for {seconds}")
        stamp = datetime.fromtimestamp(int(now), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        kid = quote(self.kid, safe="")
        every = "&".join(filter(None, [query, f"os_kid={kid}&os_timestamp={stamp}&os_duration={seconds}"]))
        return f"{path}?{every}&os_sig={_unpadded(self._key.sign(_signed_text(path, every)))}"


@attrs.frozen
class KnownKey:
    """A key that a service trusts, and the most that it may be used for."""

    key: Ed25519PublicKey
    permissions: frozenset[str] = frozenset(PERMISSIONS)

    @classmethod
    def from_pem(cls, pem: str | bytes, permissions: Iterable[Permission] = PERMISSIONS) -> KnownKey:
        """Read a public key (SubjectPublicKeyInfo). :exc:`InvalidObject`, :exc:`MissingExtra`."""
        ed25519, serialization = _cryptography()
        try:
            key: Any = serialization.load_pem_public_key(pem.encode() if isinstance(pem, str) else pem)
        except ValueError:
            key = None
        if not isinstance(key, ed25519.Ed25519PublicKey):
            raise InvalidObject("this is no Ed25519 public key in PEM")
        return cls(cast("Ed25519PublicKey", key), frozenset(permissions))


@attrs.frozen
class Verifier:
    """What a service checks tokens and signatures with: the keys that it knows, by their names."""

    keys: Mapping[str, KnownKey]

    def check(self, token: str, *, now: float) -> Grant:
        """Return what *token* allows. :exc:`TokenRefused`."""
        parts = token.split(".")
        if len(parts) != 3 or len(token) > MOST_TOKEN:
            raise TokenRefused("the token is no JWT", status=400)
        header, claims = _unpacked(parts[0]), _unpacked(parts[1])
        if header.get("alg") != "EdDSA":
            raise TokenRefused("the token is not signed with Ed25519", status=401)
        known = self._known(header.get("kid"))
        self._check_signature(known, parts[2], f"{parts[0]}.{parts[1]}".encode())
        _check_claims(claims, now)
        resource = _strings(claims.get("res"))
        permissions = claims.get("permissions")
        if not isinstance(permissions, list) or "os:usecase" not in resource:
            raise TokenRefused("the token names no use case, or no permissions", status=400)
        usecase = resource.pop("os:usecase")
        given = {text for text in cast("list[object]", permissions) if isinstance(text, str)}
        return Grant(usecase, resource, frozenset(given) & known.permissions)

    def check_presigned(self, path: str, query: str, *, method: str, now: float) -> None:
        """Let a request with a signed query pass; *path* and *query* are as they were sent. :exc:`TokenRefused`."""
        given = {name.lower(): value for name, value in parse_qsl(query, keep_blank_values=True, max_num_fields=100)}
        if method not in {"GET", "HEAD"}:
            raise TokenRefused("a presigned URL is for GET and HEAD only", status=403)
        seconds, stamp = _whole(given.get("os_duration")), _moment(given.get("os_timestamp"))
        if seconds > LONGEST:
            raise TokenRefused(f"a presigned URL may be good for {LONGEST} seconds, not for {seconds}", status=400)
        known = self._known(given.get("os_kid"))
        self._check_signature(known, given.get("os_sig", ""), _signed_text(path, query))
        if not stamp - SKEW <= now <= stamp + seconds + SKEW:
            raise TokenRefused("the presigned URL is not good any more, or not yet", status=401)
        if "object.read" not in known.permissions:
            raise TokenRefused("the key of this URL may not read", status=403)

    def _known(self, kid: object) -> KnownKey:
        if not isinstance(kid, str) or not kid:
            raise TokenRefused("the token or URL does not name its key (kid)", status=400)
        known = self.keys.get(kid)
        if known is None:
            raise TokenRefused("the key of the token or URL is not known here", status=401)
        return known

    @staticmethod
    def _check_signature(known: KnownKey, signature: str, signed: bytes) -> None:
        from cryptography.exceptions import InvalidSignature

        try:
            known.key.verify(_padded(signature), signed)
        except (InvalidSignature, ValueError):
            raise TokenRefused("the signature is not that of the key", status=401) from None


def _check_claims(claims: Mapping[str, object], now: float) -> None:
    expires = claims.get("exp")
    if isinstance(expires, bool) or not isinstance(expires, int | float):
        raise TokenRefused("the token does not say when it expires", status=401)
    if now > expires + SKEW:
        raise TokenRefused("the token has expired", status=401)
    if claims.get("aud", AUDIENCE) != AUDIENCE or claims.get("iss", "sentry") not in ISSUERS:
        raise TokenRefused("the token is meant for somebody else, or comes from somebody unknown", status=401)


def _signed_text(path: str, query: str) -> bytes:
    """Return what is signed: the pairs of the query in order, their names in lower case, the signature left out."""
    split = [pair.partition("=") for pair in query.split("&") if pair]
    pairs = sorted(f"{name.lower()}{equals}{value}" for name, equals, value in split if name.lower() != "os_sig")
    return f"GET\n{path}\n{'&'.join(pairs)}".encode()


def _whole(text: str | None) -> int:
    if text is None or not text.isascii() or not text.isdigit() or len(text) > 15:
        raise TokenRefused("the presigned URL lacks its duration", status=400)
    return int(text)


def _moment(text: str | None) -> float:
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        raise TokenRefused("the presigned URL lacks its time (RFC 3339)", status=400) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _packed(fields: Mapping[str, object]) -> str:
    return _unpadded(json.dumps(fields, separators=(",", ":")).encode())


def _unpacked(text: str) -> dict[str, Any]:
    try:
        fields: object = json.loads(_padded(text))
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise TokenRefused("the token is no JWT", status=400)
    return cast("dict[str, Any]", fields)


def _strings(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise TokenRefused("the token does not say what it is for", status=400)
    return {str(name): str(each) for name, each in cast("dict[object, object]", value).items()}


def _unpadded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _padded(text: str) -> bytes:
    if not text.isascii() or "=" in text:
        raise ValueError("not base64url without padding")
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _cryptography() -> tuple[Any, Any]:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError:
        raise MissingExtra("tokens need the package cryptography: pip install 'sessionctx[objects]'") from None
    return ed25519, serialization
