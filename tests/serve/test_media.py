"""What a file is taken for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionctx.serve.media import type_of


@pytest.mark.parametrize(
    ("name", "head", "kind"),
    [
        ("a.txt", b"\x89PNG\r\n\x1a\n", "text/plain; charset=utf-8"),
        ("a.html", b"", "text/html; charset=utf-8"),
        ("a.json", b"", "application/json"),
        ("a.tar.gz", b"", "application/gzip"),
        ("a.jpeg", b"", "image/jpeg"),
        ("", b"\x89PNG\r\n\x1a\n....", "image/png"),
        ("", b"\xff\xd8\xff\xe0", "image/jpeg"),
        ("", b"RIFF....WEBPVP8", "image/webp"),
        ("", b"\x00\x00\x00\x20ftypisom", "video/mp4"),
        ("", b"%PDF-1.7", "application/pdf"),
        ("", b"  <!DOCTYPE html><p>", "text/html; charset=utf-8"),
        ("", b"<?xml version='1.0'?>", "text/xml; charset=utf-8"),
        ("", b"<svg xmlns=''>", "image/svg+xml"),
        ("", b'{"a": 1}', "application/json"),
        ("", b"[1]\n", "application/json"),
        ("", b"[links]", "text/plain; charset=utf-8"),
        ("", "źł".encode(), "text/plain; charset=utf-8"),
        ("", b"", "text/plain; charset=utf-8"),
        ("", b"\x00\x01", None),
        ("", b"\xff\xfe", None),
        ("README", b"hello", "text/plain; charset=utf-8"),
        ("what.is-this", b"\x00", None),
    ],
)
def test_the_name_says_it_or_the_first_bytes(name, head, kind):
    assert type_of(name, head, whole=True) == kind


def test_a_character_may_be_cut_and_json_may_go_on():
    assert type_of("", "aź".encode()[:-1]) == "text/plain; charset=utf-8"
    assert type_of("", b'{"a": ') == "application/json"
    assert type_of("", b"\xffabc def") is None


@given(st.text(max_size=20), st.binary(max_size=40), st.booleans())
def test_anything_is_something_or_nothing(name, head, whole):
    kind = type_of(name, head, whole=whole)
    assert kind is None or "/" in kind
