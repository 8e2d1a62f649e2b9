"""Media types: what a file is, by its name or else by its first bytes. Pure.

Source: mimesniff.spec.whatwg.org, of which this is the part that files of this web need.
"""

from __future__ import annotations

import json
import mimetypes
from typing import Final

HEAD: Final = 1024
"""Bytes that are looked at."""

_NAMES: Final = mimetypes.MimeTypes()  # what Python knows; what a machine has beside it would differ between machines
_ENCODED: Final = {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz"}
_MAGIC: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    (b"\x1f\x8b\x08", "application/gzip"),
    (b"\x00asm", "application/wasm"),
    (b"OggS\x00", "application/ogg"),
    (b"ID3", "audio/mpeg"),
    (b"fLaC", "audio/flac"),
    (b"\x1a\x45\xdf\xa3", "video/webm"),
)
_HTML: Final = "text/html; charset=utf-8"
_TEXTS: Final = (
    (b"<!doctype html", _HTML),
    (b"<html", _HTML),
    (b"<head", _HTML),
    (b"<body", _HTML),
    (b"<svg", "image/svg+xml"),
    (b"<?xml", "text/xml; charset=utf-8"),
)
_TEXT: Final = "text/plain; charset=utf-8"


def type_of(name: str, head: bytes | None = None, *, whole: bool = False) -> str | None:
    """Return the type of a file called *name*, or else of one that begins with *head* (is that, if *whole*)."""
    kind, encoding = _NAMES.guess_type(name, strict=False) if name else (None, None)
    if encoding is not None:
        return _ENCODED.get(encoding, "application/octet-stream")
    if kind is not None:
        return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind
    return None if head is None else _sniffed(head, whole=whole)


def _sniffed(head: bytes, *, whole: bool) -> str | None:
    known = next((kind for magic, kind in _MAGIC if head.startswith(magic)), None)
    if known is None and head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        known = "image/webp"
    elif known is None and head[4:8] == b"ftyp":
        known = "video/mp4"
    return known or (_kind_of_text(head, whole=whole) if _is_text(head, whole=whole) else None)


def _kind_of_text(head: bytes, *, whole: bool) -> str:
    begin = head.lstrip(b"\t\n\r ").lower()
    for start, kind in _TEXTS:
        if begin.startswith(start):
            return kind
    return "application/json" if begin[:1] in (b"{", b"[") and _is_json(head, whole=whole) else _TEXT


def _is_text(head: bytes, *, whole: bool) -> bool:
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        if whole or error.start < len(head) - 3:
            return False
        text = head[: error.start].decode()  # the last character was cut
    return all(character >= " " or character in "\t\n\r\f\x1b" for character in text)


def _is_json(head: bytes, *, whole: bool) -> bool:
    if not whole:
        return True
    try:
        json.loads(head)
    except (ValueError, RecursionError):
        return False
    return True
