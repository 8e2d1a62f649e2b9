"""Tokens and presigned URLs open what they are for, and nothing else."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from sessionctx.errors import InvalidObject, TokenRefused
from sessionctx.objects import Place
from sessionctx.objects.tokens import KnownKey, SigningKey, Verifier

NOW = 1_800_000_000.0
HERE = Place.of("attachments", {"org": 1, "project": 2})


def pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


KEY = SigningKey.from_pem("k1", pem(Ed25519PrivateKey.generate()))
OTHER = SigningKey.from_pem("k1", pem(Ed25519PrivateKey.generate()))
VERIFIER = Verifier({"k1": KnownKey(KEY.public), "reader": KnownKey(KEY.public, frozenset({"object.read"}))})


def packed(fields):
    return urlsafe_b64encode(json.dumps(fields).encode()).rstrip(b"=").decode()


def signed(header, claims):
    text = f"{packed(header)}.{packed(claims)}"
    return f"{text}.{urlsafe_b64encode(KEY._key.sign(text.encode())).rstrip(b'=').decode()}"


CLAIMS = {"exp": NOW + 10, "res": {"os:usecase": "attachments", "org": "1"}, "permissions": ["object.read"]}


def test_a_token_allows_what_it_says_where_it_says():
    grant = VERIFIER.check(KEY.token(HERE, ["object.read"], now=NOW), now=NOW + 3600)
    assert grant.allows(HERE, "object.read")
    assert not grant.allows(HERE, "object.write")
    assert not grant.allows(Place.of("attachments", {"org": 1, "project": 3}), "object.read")
    assert not grant.allows(Place.of("other", {"org": 1, "project": 2}), "object.read")


def test_scopes_are_held_exactly():
    """A token for an organisation and a project opens neither the organisation as a whole nor what lies further in."""
    grant = VERIFIER.check(KEY.token(HERE, now=NOW), now=NOW)
    assert not grant.allows(Place.of("attachments", {"org": 1}), "object.read")
    assert not grant.allows(Place.of("attachments", {"org": 1, "project": 2, "more": 3}), "object.read")
    assert not grant.allows(Place.of("attachments"), "object.read")


def test_a_star_stands_for_any_value():
    grant = VERIFIER.check(
        signed({"alg": "EdDSA", "kid": "k1"}, CLAIMS | {"res": {"os:usecase": "attachments", "org": "*"}}), now=NOW
    )
    assert grant.allows(Place.of("attachments", {"org": 7}), "object.read")
    assert not grant.allows(Place.of("attachments", {"project": 7}), "object.read")


def test_a_key_bounds_what_its_tokens_may():
    token = SigningKey("reader", KEY._key).token(HERE, now=NOW)
    grant = VERIFIER.check(token, now=NOW)
    assert grant.permissions == {"object.read"}


@pytest.mark.parametrize(
    ("header", "claims", "status"),
    [
        ({"alg": "EdDSA"}, {}, 400),
        ({"alg": "EdDSA", "kid": "unknown"}, {}, 401),
        ({"alg": "none", "kid": "k1"}, {}, 401),
        ({"alg": "HS256", "kid": "k1"}, {}, 401),
        ({"alg": "EdDSA", "kid": "k1"}, {"exp": NOW - 61}, 401),
        ({"alg": "EdDSA", "kid": "k1"}, {"exp": None}, 401),
        ({"alg": "EdDSA", "kid": "k1"}, {"exp": True}, 401),
        ({"alg": "EdDSA", "kid": "k1"}, {"aud": "else"}, 401),
        ({"alg": "EdDSA", "kid": "k1"}, {"iss": "else"}, 401),
        ({"alg": "EdDSA", "kid": "k1"}, {"res": {}}, 400),
        ({"alg": "EdDSA", "kid": "k1"}, {"res": "all"}, 400),
        ({"alg": "EdDSA", "kid": "k1"}, {"permissions": None}, 400),
    ],
)
def test_what_is_wrong_with_a_token_is_told_apart(header, claims, status):
    with pytest.raises(TokenRefused) as caught:
        VERIFIER.check(signed(header, CLAIMS | claims), now=NOW)
    assert caught.value.status == status


@pytest.mark.parametrize(
    "token", ["", "a.b", "a.b.c", "a.b.c.d", "é.é.é", "x" * 20_000, f"{packed([1])}.{packed({})}.x"]
)
def test_what_is_no_token_is_refused(token):
    with pytest.raises(TokenRefused) as caught:
        VERIFIER.check(token, now=NOW)
    assert caught.value.status == 400


def test_a_token_of_another_key_or_that_was_changed_is_refused():
    with pytest.raises(TokenRefused, match="signature"):
        VERIFIER.check(OTHER.token(HERE, now=NOW), now=NOW)
    head, _, signature = KEY.token(HERE, now=NOW).split(".")
    with pytest.raises(TokenRefused, match="signature"):
        VERIFIER.check(f"{head}.{packed(CLAIMS)}.{signature}", now=NOW)


def test_a_presigned_url_opens_its_path_for_reading_for_its_time():
    path, _, query = KEY.presigned("/v1/objects/u/_/k", now=NOW, seconds=60).partition("?")
    for method in ("GET", "HEAD"):
        VERIFIER.check_presigned(path, query, method=method, now=NOW + 119)
    VERIFIER.check_presigned(path, "&".join(reversed(query.split("&"))), method="GET", now=NOW)
    refused = {
        (path, "PUT", NOW): 403,
        (path, "GET", NOW + 121): 401,
        (path, "GET", NOW - 61): 401,
        (path + "x", "GET", NOW): 401,
    }
    for (asked, method, now), status in refused.items():
        with pytest.raises(TokenRefused) as caught:
            VERIFIER.check_presigned(asked, query, method=method, now=now)
        assert caught.value.status == status


@given(st.data())
def test_no_part_of_a_presigned_query_can_be_changed(data):
    path, _, query = KEY.presigned("/p", "response=x", now=NOW, seconds=60).partition("?")
    pairs = query.split("&")
    n = data.draw(st.integers(0, len(pairs) - 1))
    name, _, value = pairs[n].partition("=")
    changed = data.draw(st.text("0123456789abcdef", max_size=12).filter(lambda text: text != value))
    for other in ([*pairs[:n], f"{name}={changed}", *pairs[n + 1 :]], [*pairs, "extra=1"], pairs[:n] + pairs[n + 1 :]):
        with pytest.raises(TokenRefused):
            VERIFIER.check_presigned(path, "&".join(other), method="GET", now=NOW)


def test_a_url_that_is_good_for_too_long_is_neither_made_nor_taken():
    with pytest.raises(InvalidObject):
        KEY.presigned("/p", now=NOW, seconds=8 * 86_400)
    for query in (
        "os_duration=999999999&os_timestamp=2026-01-01T00:00:00Z",
        "os_duration=9",
        "os_duration=9&os_timestamp=x",
    ):
        with pytest.raises(TokenRefused) as caught:
            VERIFIER.check_presigned("/p", query, method="GET", now=NOW)
        assert caught.value.status == 400


def test_a_key_that_is_none_is_refused_and_none_is_shown():
    for text in ("", "no key", pem(generate_private_key(SECP256R1()))):
        with pytest.raises(InvalidObject):
            SigningKey.from_pem("k", text)
    assert "Private" not in repr(KEY)
