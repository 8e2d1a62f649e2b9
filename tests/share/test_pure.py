"""The thinking of a share: ids and digests, heads, tallies, pauses, room."""

from __future__ import annotations

import hashlib
import subprocess
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionctx.errors import BadAnswer, Denied, InvalidLocation, NotHere
from sessionctx.share.blob import (
    Blob,
    checked_id,
    digest_file,
    digest_path_of,
    id_at,
    parsed,
    path_of,
    read_digest_file,
    route_of,
    told_by,
)
from sessionctx.share.head import Head, read_head
from sessionctx.share.pauses import LONGEST, backoff, next_round
from sessionctx.share.room import Reservation, Room
from sessionctx.share.tally import Tally
from sessionctx.storage.paths import fault_of
from tests.share.conftest import digest_of

DIGEST = digest_of(b"x")

# --- ids


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        ".",
        "..",
        "../x",
        "/abs",
        "a/b",
        "a\\b",
        "..\\x",
        ".x",
        "http://a.example/x",
        "a\0b",
        "a\n",
        "\x7f",
        "x" * 201,
        "é" * 101,
        "\ud800",
    ],
)
def test_what_is_no_id_is_refused(wrong):
    """Row: path traversal, host replaced, a panic."""
    with pytest.raises(InvalidLocation, match="is no id of a blob"):
        checked_id(wrong)
    if wrong != "\ud800":
        with pytest.raises(InvalidLocation):
            id_at(b"/blobs/" + quote(wrong, safe="").encode())


@given(st.text(max_size=210))
def test_an_id_stays_in_its_folder_and_comes_through_a_url(text):
    try:
        name = checked_id(text)
    except InvalidLocation:
        return
    assert id_at(route_of(name).encode()) == name
    assert route_of(name).count("/") == 2
    for path in (path_of(name), digest_path_of(name)):
        assert fault_of(path) is None
        assert path.startswith("blobs/")
    assert path_of(name).count("/") == 1


@pytest.mark.parametrize("path", [b"/", b"/blob/x", b"/blobs", b"/ipfs/x", b""])
def test_other_paths_are_none_of_blobs(path):
    assert id_at(path) is None


@pytest.mark.parametrize(
    "path", [b"/blobs/", b"/blobs/%ff", b"/blobs/a/b", b"/blobs/%2e%2e%2fx", b"/blobs/..", b"/blobs/.sha256/x"]
)
def test_a_path_that_leads_elsewhere_is_refused(path):
    with pytest.raises(InvalidLocation):
        id_at(path)


# --- digests


@given(st.binary(max_size=100))
def test_a_digest_has_many_forms(data):
    digest, blob = digest_of(data), Blob("x", len(data), digest_of(data))
    assert parsed(digest) == parsed(digest.removeprefix("sha256:").upper()) == parsed(blob.repr_digest) == digest
    assert parsed(f" {digest}\n") == digest
    assert told_by({"etag": blob.etag}) == told_by({"repr-digest": blob.repr_digest}) == digest
    assert told_by({"repr-digest": f"md5=:AAAA:, {blob.repr_digest}"}) == digest


@pytest.mark.parametrize(
    "wrong", ["", "sha256:", "md5:" + "0" * 32, "0" * 63, "0" * 65, "sha256:" + "g" * 64, "sha-256=:AAAA:"]
)
def test_what_is_no_digest_is_refused(wrong):
    with pytest.raises(ValueError, match="is no digest"):
        parsed(wrong)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"etag": f'W/"{DIGEST}"'},
        {"etag": '"5f0e-1"'},
        {"etag": DIGEST},
        {"repr-digest": "sha-256=:AAAA:"},
        {"repr-digest": "sha-512=:" + "A" * 44 + ":"},
        {"repr-digest": "sha-256=:" + "=" * 44 + ":"},
    ],
)
def test_headers_that_tell_no_digest(headers):
    assert told_by(headers) is None


@pytest.mark.parametrize("loaded", [True, False])
@pytest.mark.parametrize("name", ["x", "a b", "é", "*", "# loaded"])
def test_the_file_of_a_digest_is_read_by_sha256sum(tmp_path, name, loaded):
    blob = Blob(name, 3, digest_of(b"abc"))
    written = digest_file(blob, loaded=loaded)
    assert read_digest_file(written) == (blob.digest, loaded)
    (tmp_path / name).write_bytes(b"abc")
    (tmp_path / "digests").write_bytes(written)
    assert (
        subprocess.run(["sha256sum", "-c", "digests"], cwd=tmp_path, capture_output=True, check=False).returncode == 0
    )
    told = subprocess.run(["sha256sum", name], cwd=tmp_path, capture_output=True, check=False).stdout
    assert read_digest_file(told) == (blob.digest, False)


@pytest.mark.parametrize("data", [b"", b"\n\n", b"nonsense", b"# loaded\n", b"\xff\xfe", b"0" * 63 + b"  x\n"])
def test_a_file_that_holds_no_digest(data):
    assert read_digest_file(data)[0] is None


# --- heads


def test_heads_say_what_a_service_has():
    etag = f'"{DIGEST}"'
    assert read_head(200, {"content-length": "5", "etag": etag}, offset=0, peer="p") == Head(0, 5, DIGEST, etag)
    assert read_head(200, {"content-length": "5", "etag": 'W/"1"'}, offset=3, peer="p") == Head(0, 5, None, None)
    assert read_head(206, {"content-range": "bytes 3-4/5"}, offset=3, peer="p") == Head(3, 5, None, None)


@pytest.mark.parametrize(
    ("status", "headers", "error"),
    [
        (404, {}, NotHere),
        (412, {}, NotHere),
        (416, {}, NotHere),
        (410, {}, Denied),
        (451, {}, Denied),
        (401, {}, BadAnswer),
        (204, {}, BadAnswer),
        (200, {}, BadAnswer),
        (200, {"content-length": "-1"}, BadAnswer),
        (200, {"content-length": "1" * 19}, BadAnswer),
        (206, {}, BadAnswer),
        (206, {"content-range": "bytes 2-4/5"}, BadAnswer),
        (206, {"content-range": "bytes 3-5/5"}, BadAnswer),
        (206, {"content-range": "bytes 3-2/5"}, BadAnswer),
        (206, {"content-range": "bytes 3-4/*"}, BadAnswer),
        (206, {"content-range": "bytes */5"}, BadAnswer),
    ],
)
def test_heads_that_are_refused(status, headers, error):
    with pytest.raises(error, match=r"^p "):
        read_head(status, headers, offset=3, peer="p")


# --- tallies


@given(st.data())
def test_a_tally_puts_overlapping_pieces_together(data):
    """Whatever comes from whom, and however often: what is handed on is the blob, once."""
    blob = data.draw(st.binary(max_size=20))
    tally, got = Tally(), b""
    while tally.at < len(blob):
        begin = data.draw(st.integers(0, tally.at))
        end = data.draw(st.integers(begin, len(blob)))
        fresh = tally.fresh(begin, memoryview(blob)[begin:end])
        if fresh:
            tally.add(data.draw(st.sampled_from("abc")), fresh)
        got += fresh
    assert got == blob
    assert tally.digest == digest_of(blob)
    tally.close()
    assert [mark.end for mark in tally.marks] == sorted(mark.end for mark in tally.marks)
    assert sum(mark.end == len(blob) for mark in tally.marks) == bool(blob)
    with pytest.raises(ValueError, match="where"):
        tally.fresh(len(blob) + 1, memoryview(b"x"))


@given(st.data())
def test_who_sent_the_first_wrong_byte_is_found(data):
    """Whoever sends what, and wherever a byte is wrong: the one who sent it is found when the right blob has come."""
    blob = bytearray(data.draw(st.binary(min_size=1, max_size=60)))
    wrong = bytearray(blob)
    at = data.draw(st.integers(0, len(blob) - 1))
    wrong[at] ^= 1
    suspect, culprit = Tally(), None
    while suspect.at < len(blob):
        end, source = data.draw(st.integers(suspect.at + 1, len(blob))), data.draw(st.sampled_from("abc"))
        culprit = source if suspect.at <= at < end else culprit
        suspect.add(source, memoryview(wrong)[suspect.at : end])
    suspect.close()
    again = Tally(suspect.marks)
    while again.at < len(blob):
        end = data.draw(st.integers(again.at + 1, len(blob)))
        again.add("d", memoryview(blob)[again.at : end])
    assert again.liar() == culprit
    assert again.digest == digest_of(blob)


def test_where_nothing_was_wrong_nobody_is_the_liar():
    assert Tally().liar() is None


# --- pauses


@given(st.integers(1, 1000), st.just(0) | st.floats(1e-6, 1000), st.floats(0, 1))
def test_a_pause_doubles_and_is_cut_by_half_at_most(round_, delay, chance):
    most = min(delay * 2 ** min(round_ - 1, 40), max(LONGEST, delay))
    assert most / 2 <= backoff(round_, delay, chance) <= most
    assert backoff(round_, delay, chance) <= backoff(round_ + 1, delay, chance)


@given(
    st.floats(0, 100),
    st.floats(0, 100),
    st.lists(st.floats(0, 300), max_size=4),
    st.floats(0, 300) | st.just(float("inf")),
)
def test_the_next_round_is_after_the_pause_when_somebody_may_be_asked_and_in_time(now, pause, until, deadline):
    at = next_round(now, pause, until, deadline)
    earliest = max([now + pause, *([min(until)] if until else [])])
    assert at == (earliest if earliest < deadline else None)


# --- room


@given(st.data())
def test_room_evicts_what_was_used_least_recently_of_what_may_go(data):
    """Against the dullest model: a list in the order of use."""
    room, model, own, held = Room(100), [], set(), {}
    for _ in range(data.draw(st.integers(0, 30))):
        name = data.draw(st.sampled_from("abcdef"))
        match data.draw(st.sampled_from(["put", "touch", "drop", "own", "hold"])):
            case "put":
                model = [each for each in model if each[0] != name]
                own.discard(name)
                model.append((name, data.draw(st.integers(0, 50))))
                room.put(*model[-1])
            case "touch":
                room.touch(name)
                model.sort(key=lambda each: each[0] == name)
            case "drop":
                room.drop(name)
                own.discard(name)
                model = [each for each in model if each[0] != name]
            case "own":
                room.own(name)
                own |= {name} & {each for each, _ in model}
            case "hold":
                if name in held:
                    held.pop(name).__exit__(None, None, None)
                else:
                    held[name] = room.hold(name)
                    held[name].__enter__()
        assert room.used == sum(size for _, size in model)
        assert room.oldest() == next((each for each, _ in model if each not in own and each not in held), None)
        assert room.fits(10) == (room.used + 10 <= 100)


def test_without_a_bound_nothing_is_counted():
    room = Room(None)
    for n in range(10):
        room.put(str(n), 10**18)
        room.own(str(n))
    assert room.fits(10**18)
    assert room.oldest() is None
    assert (len(room._sizes), len(room._own), room.used) == (0, 0, 0)


def test_what_is_reserved_is_given_back():
    room = Room(10)
    with Reservation(room) as reservation:
        reservation.take(7)
        assert not room.fits(4)
    assert room.used == 0


def test_the_digest_of_nothing():
    assert digest_of(b"") == f"sha256:{hashlib.sha256().hexdigest()}"
