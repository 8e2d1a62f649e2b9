"""What needs no server: URLs, the arithmetic of parts, back-off, documents, credentials."""

from __future__ import annotations

import datetime as dt
import gc
import math
import sys
import weakref
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionctx.errors import AccessDenied, Busy, InvalidLocation, MissingExtra, PeerFailed
from sessionctx.storage import open_storage
from sessionctx.storage.s3 import Patience, extra, parts
from sessionctx.storage.s3.checksums import Crc
from sessionctx.storage.s3.documents import Document, NotXML, written
from sessionctx.storage.s3.location import Location, Place
from sessionctx.storage.s3.profile import MOST, profile_of
from sessionctx.storage.s3.signing import Signing

TB5 = 5 * 1024**4

# --- URLs


@pytest.mark.parametrize(
    ("url", "normalised"),
    [
        ("s3://bucket", None),
        ("s3://bucket/", "s3://bucket"),
        ("s3://bucket/a/b/", "s3://bucket/a/b"),
        ("s3://bucket/a%20b?endpoint=http://127.0.0.1:9000/&style=path", None),
        ("s3://key:sec%2Fret@bucket/x?region=eu-central-1&unsigned=0&profile=p", None),
        ("s3://bucket?endpoint=https://[::1]:9000", None),
    ],
)
def test_a_url_is_read_and_written(url, normalised):
    location = Location.parse(url)
    assert Location.parse(location.url) == location
    if normalised:
        assert location.url == normalised
    assert "sec" not in location.public
    assert "sec" not in repr(location)


@pytest.mark.parametrize(
    "url",
    [
        "s3://",
        "s3:///x",
        "s3://b",
        "s3://bucket/a//b",
        "s3://bucket/../b",
        "s3://bucket?endpoint=ftp://x",
        "s3://bucket?endpoint=http://geheim@x",
        "s3://bucket?endpoint=http://x:port",
        "s3://bucket?colour=blue",
        "s3://bucket?style=none",
        "s3://bucket?unsigned=perhaps",
        "s3://bucket?region=a/b",
        "s3://key:geheim@[bucket",
    ],
)
def test_what_is_no_bucket_is_refused(url):
    with pytest.raises(InvalidLocation) as caught:
        Location.parse(url)
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    ("bucket", "region", "endpoint", "style", "url"),
    [
        ("bucket", "eu-west-1", None, None, "https://bucket.s3.eu-west-1.amazonaws.com/a%20b/%2B?x=1%262"),
        ("b.u.c", "eu-west-1", None, None, "https://s3.eu-west-1.amazonaws.com/b.u.c/a%20b/%2B?x=1%262"),
        ("bucket", "cn-north-1", None, "path", "https://s3.cn-north-1.amazonaws.com.cn/bucket/a%20b/%2B?x=1%262"),
        ("bucket", "r", "http://x:9000", None, "http://x:9000/bucket/a%20b/%2B?x=1%262"),
        ("bucket", "r", "http://x/minio", "virtual", "http://bucket.x/minio/a%20b/%2B?x=1%262"),
    ],
)
def test_a_key_has_a_url(bucket, region, endpoint, style, url):
    assert Place.of(bucket, region, endpoint, style).url("a b/+", [("x", "1&2")]) == url


@pytest.mark.parametrize(
    ("endpoint", "private"),
    [
        ("https://x", True),
        ("http://127.0.0.1:9", True),
        ("http://localhost", True),
        ("http://localhost.x", False),
        ("http://10.0.0.1", False),
    ],
)
def test_where_nobody_listens_a_body_needs_no_hash(endpoint, private):
    assert Place.of("bucket", "r", endpoint, None).private_line == private


# --- parts


@given(size=st.integers(0, TB5))
def test_any_file_fits_into_ten_thousand_parts(size):
    part = parts.part_size(size)
    assert math.ceil(size / part) <= parts.MOST_PARTS
    assert parts.SMALLEST <= part <= parts.LARGEST
    assert part % parts.MIB == 0


def test_any_stream_fits_into_ten_thousand_parts_too():
    """Nobody knows how long it is: parts grow slowly, and 5 TiB are reached."""
    gone, count, before = 0, 0, 0
    while gone < TB5:
        part = parts.next_size(gone)
        assert before <= part <= parts.LARGEST
        if gone < 10 * 1024**3:
            assert part == parts.PART
        gone, count, before = gone + part, count + 1, part
    assert count <= parts.MOST_PARTS


@given(size=st.integers(parts.SMALLEST, parts.LARGEST), most=st.integers(1, 100))
def test_memory_is_bounded(size, most):
    count = parts.at_once(size, most)
    assert 1 <= count <= most
    assert count == 1 or count * size <= parts.MEMORY


@given(start=st.integers(0, 10**6), length=st.integers(0, 10**6), size=st.integers(10**4, 10**6))
def test_ranges_cover_what_they_cut(start, length, size):
    covered = parts.ranges(start, start + length, size)
    assert [at for at, _ in covered] == [start, *[end for _, end in covered]][: len(covered)]
    assert sum(end - at for at, end in covered) == length
    assert all(0 < end - at <= size for at, end in covered)


@given(pieces=st.lists(st.binary(max_size=50), max_size=8))
def test_the_checksum_of_the_whole_is_put_together_from_those_of_its_parts(pieces):
    whole, single = Crc(), []
    for piece in pieces:
        whole.add(piece)
        part = Crc()
        part.add(piece)
        single.append((part.value, part.length))
    assert Crc.of_all("crc64nvme", single).text == whole.text


# --- patience


@given(failed=st.integers(1, 50), chance=st.floats(0, 1))
def test_pauses_grow_and_are_bounded(failed, chance):
    patience = Patience()
    pause = patience.pause(failed, PeerFailed(""), chance)
    assert 0 <= pause <= min(patience.most, patience.base * 2 ** (failed - 1))
    assert patience.pause(failed, Busy("", retry_after=100.0), chance) == 100.0


# --- documents


def test_a_document_is_read_in_pieces_and_written():
    data = b'<?xml version="1.0"?><R xmlns="x"><A>a&amp;b</A><E/><C><K>k &lt;</K><V/><O><I>deep</I></O></C><C><K>l</K></C></R>'
    for size in (1, 3, 1000):
        document = Document()
        for at in range(0, len(data), size):
            document.feed(data[at : at + size])
        document.feed(b"", last=True)
        assert (document.root, document.fields) == ("R", {"A": "a&b", "E": ""})
        assert [record["K"] for record in document.all("C")] == ["k <", "l"]
    again = Document.parse(written("Delete", [("Quiet", {}), ("Object", {"Key": "a&<b>"})]))
    assert (again.fields, again.records) == ({"Quiet": "true"}, [("Object", {"Key": "a&<b>"})])


def test_a_document_is_gone_when_nobody_has_it():
    gc.disable()
    try:
        document = Document.parse(b"<R><A>a</A></R>")
        gone = weakref.ref(document)
        del document
        assert gone() is None
    finally:
        gc.enable()


@given(st.binary(max_size=200))
def test_what_is_no_document_is_refused(data):
    with suppress(NotXML):
        Document.parse(data)


# --- credentials


async def opened(url, **options):
    async with open_storage(url, **options) as storage:
        return storage


async def test_credentials_and_endpoint_come_from_where_aws_finds_them(tmp_path, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    config, shared = tmp_path / "config", tmp_path / "credentials"
    config.write_text("[profile work]\nregion = eu-north-1\nendpoint_url = http://127.0.0.1:7\n")
    shared.write_text("[work]\naws_access_key_id = WORKKEY\naws_secret_access_key = geheim\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(shared))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-3")
    with pytest.raises(AccessDenied, match="unsigned=1"):
        await opened("s3://bucket")
    with pytest.raises(AccessDenied, match="nobody"):
        await opened("s3://bucket?profile=nobody")
    with pytest.raises(InvalidLocation, match="go together"):
        await opened("s3://bucket", access_key="x")
    storage = await opened("s3://bucket", profile="work")
    assert (storage.endpoint, storage.public) == ("http://127.0.0.1:7", "s3://bucket?endpoint=http://127.0.0.1:7")
    signed = await storage._client._signer.signed("GET", "http://127.0.0.1:7/bucket/", {}, "hash", "eu-north-1")
    assert "Credential=WORKKEY/" in signed["Authorization"]
    assert "geheim" not in repr(storage)
    assert (await opened("s3://bucket?unsigned=1")).endpoint == "https://s3.eu-west-3.amazonaws.com"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:8")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ENVKEY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "geheim")
    assert (await opened("s3://bucket")).endpoint == "http://127.0.0.1:8"


async def test_a_signature_is_that_of_the_documentation(monkeypatch):
    """Source: Amazon S3 API Reference, "Signature calculations: Examples", GET Object."""
    import botocore.auth
    import botocore.credentials

    now = dt.datetime(2013, 5, 24, tzinfo=dt.UTC)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: now)
    keys = botocore.credentials.Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    url = "https://examplebucket.s3.amazonaws.com/test.txt"
    signed = await Signing(keys).signed("GET", url, {"Range": "bytes=0-9"}, nothing, "us-east-1")
    assert signed["Authorization"].endswith("f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41")
    assert signed["Range"] == "bytes=0-9"


async def test_keys_are_renewed_when_they_must_be():
    class Keys:
        renewed = 0

        def refresh_needed(self):
            return not self.renewed

        def get_frozen_credentials(self):
            import botocore.credentials

            self.renewed += 1
            return botocore.credentials.ReadOnlyCredentials("KEY", "geheim", f"token{self.renewed}")

    signing = Signing(Keys())
    for n in (1, 2):
        signed = await signing.signed("GET", "http://x/", {}, "hash", "r")
        assert signed["X-Amz-Security-Token"] == f"token{n}"


async def test_without_its_packages_it_says_what_to_install(monkeypatch):
    extra.module.cache_clear()
    monkeypatch.setitem(sys.modules, "botocore.exceptions", None)
    monkeypatch.setitem(sys.modules, "botocore.credentials", None)
    with pytest.raises(MissingExtra, match=r"sessionctx\[s3\]"):
        await opened("s3://bucket", access_key="x", secret_key="y")
    extra.module.cache_clear()


def test_profiles_are_kept_per_endpoint_and_bounded():
    first = profile_of("http://first", amazon=False)
    assert profile_of("http://first", amazon=False) is first
    for n in range(MOST):
        profile_of(f"http://{n}", amazon=True)
    assert profile_of("http://first", amazon=False) is not first
