"""The addresses of peers: many spellings, one address; and never a secret in a message."""

from __future__ import annotations

import base64
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionctx.errors import InvalidPeer
from sessionctx.transports.address import Address, normalised


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("https://Example.ORG", "https://example.org"),
        ("HTTPS://example.org:443/", "https://example.org"),
        ("http://example.org:80", "http://example.org"),
        ("http://example.org:443", "http://example.org:443"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("http://[::0001]:8080/", "http://[::1]:8080"),
        ("https://host/Some/Prefix//", "https://host/Some/Prefix"),
        ("https://host/a%20b/ü", "https://host/a%20b/%C3%BC"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("https://BÜCHER.example", "https://xn--bcher-kva.example"),
        ("https://faß.example", "https://xn--fa-hia.example"),
        ("http://under_score.local", "http://under_score.local"),
    ],
)
def test_spellings_of_an_address(text, public):
    assert Address.parse(text).public == Address.parse(text).url == public
    assert Address.parse(public) == Address.parse(text)
    assert normalised(text) == normalised(public) == public


def test_an_address_of_another_kind_is_in_no_other_form():
    assert normalised("shelf://Mine/") == "shelf://Mine/"


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("example.org", "'example.org' has no scheme: write https://example.org"),
        ("example.org:8080/x", "'example.org:8080/x' has no scheme: write https://example.org:8080/x"),
        ("localhost:8080", "'localhost:8080' has no scheme: write http://localhost:8080"),
        ("[::1]:8080", "'[::1]:8080' has no scheme: write http://[::1]:8080"),
        ("user:secret@example.org", "'...@example.org' has no scheme: write https://example.org"),
        ("/dns4/example.org/tcp/443", "is no URL"),
        ("", "is no URL"),
        ("ftp://example.org", "write http:// or https://"),
        ("https://", "has no host"),
        ("https:///path", "has no host"),
        ("https://exa mple.org", "has a space"),
        ("https://example.org/\n", "control character"),
        ("https://example.org:port", "a port that is none"),
        ("https://example.org:99999", "a port that is none"),
        ("https://[::1", "a host or a port that is none"),
        ("https://[::1%25eth0]", "a host that is no name"),
        ("https://[:::1]", "a host"),
        ("https://a..b", "a host that is no name"),
        ("https://" + "a" * 64 + ".org", "a host that is no name"),
        ("https://" + ".".join(["abcdefg"] * 40), "a host that is no name"),
        ("https://\u2028.org", "a host that is none"),
        ("https://example.org?format=raw", "has a query or a fragment"),
        ("https://example.org/#x", "has a query or a fragment"),
    ],
)
def test_what_is_no_address_says_how_to_write_one(text, advice):
    with pytest.raises(InvalidPeer) as caught:
        Address.parse(text)
    assert advice in str(caught.value)
    assert repr(caught.value.peer) in str(caught.value)


def test_credentials_are_kept_apart():
    address = Address.parse("https://user%40home:p%C3%A4ss:word@example.org/x")
    assert address.url == "https://user%40home:p%C3%A4ss:word@example.org/x"
    assert address.public == "https://example.org/x"
    assert address.authorization == "Basic " + base64.b64encode("user@home:päss:word".encode()).decode()
    assert "word" not in repr(address)
    assert Address.parse("https://example.org").authorization is None


@given(
    secret=st.from_regex(r"[A-Z]{6,9}", fullmatch=True),
    text=st.sampled_from(
        [
            "https://user:{}@example.org:x",
            "https://user:{}@",
            "https://user:{}@example.org?x",
            "https://{}@exa mple.org",
            "https://user:{}/more@example.org",
            "https://user:{}?#@example.org#",
            "https://user:{}@a..b",
            "https://user:{}@[::1",
            "ftp://user:{}@example.org",
            "user:{}@example.org",
            "https//user:{}@example.org",
            "https://example.org?token={}",
            "https://example.org#{}",
        ]
    ),
)
def test_no_message_holds_a_secret(secret, text):
    """However broken an address is, what stood before its "@" or behind its "?" is not shown."""
    with pytest.raises(InvalidPeer) as caught:
        Address.parse(text.format(secret))
    assert secret.lower() not in "".join(traceback.format_exception(caught.value, limit=0)).lower()
    assert secret.lower() not in (repr(caught.value) + caught.value.peer).lower()


@given(st.text() | st.text().map("https://{}".format) | st.text("[]:@/?#%.1a", max_size=12).map("http://{}".format))
def test_any_text_is_an_address_or_is_refused(text):
    """Reading an address ends in an address that reads back as itself, or in InvalidPeer."""
    try:
        address = Address.parse(text)
    except InvalidPeer:
        return
    assert Address.parse(address.url) == address
    assert "@" not in address.public.split("/")[2]
