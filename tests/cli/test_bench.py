"""``sessionctx bench``: what it says of gateways, good and bad."""

from __future__ import annotations

import functools
import socket

import pytest
import trio

from sessionctx.cli import measure
from sessionctx.content import CID, Block
from sessionctx.errors import NotHere
from sessionctx.transports import Can

SECONDS = ("--seconds", "5")


@pytest.fixture
def refusing():
    """The URL of a port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"


def by_url(done):
    return {line["url"]: line for line in done.lines if line["type"] == "peer"}


def test_good_gateways_serve_both_ways_and_what_they_send_is_verified(cli, gateway, tree):
    started = [gateway(tree), gateway(tree)]
    root = started[0][0]
    done = cli("bench", "--json", *(word for _, url in started for word in ("--peer", url)), f"{root}/numbers")
    assert done.code == 0
    peers = by_url(done)
    assert list(peers) == [url for _, url in started]
    together = done.lines[-2]
    assert together["type"] == "together"
    for line in peers.values():
        assert (line["raw"], line["car"], line["trouble"]) == ("verified", "verified", None)
    for line in (*peers.values(), together):
        assert 2_400_000 < line["bytes"] < 2_500_000
        assert line["throughput"] == pytest.approx(line["bytes"] / line["seconds"])
        assert 0 < line["first_byte"] < line["seconds"]
        assert line["requests"] >= 1
    assert done.summary["peers"] == 2


def test_what_is_wrong_with_a_gateway_is_told(cli, gateway, tree, refusing):
    root, good = gateway(tree)
    _, lying = gateway(tree, "lie")
    urls = [good, lying, refusing]
    done = cli("bench", "--json", *SECONDS, *(word for url in urls for word in ("--peer", url)), root)
    assert done.code == 0
    peers = by_url(done)
    assert [(peers[url]["raw"], peers[url]["car"]) for url in urls] == [
        ("verified", "verified"),
        ("lied", "lied"),
        ("no", "no"),
    ]
    assert lying in peers[lying]["trouble"]
    assert "cannot be reached" in peers[refusing]["trouble"]
    assert (peers[lying]["duplicates"], peers[lying]["throughput"]) == (1.0, None)
    assert peers[refusing]["first_byte"] is None
    assert done.lines[-2]["bytes"] > 2_400_000
    assert "cannot be reached" in done.err


def test_people_get_a_table(cli, gateway, tree):
    root, url = gateway(tree)
    done = cli("bench", "--peer", url, "--peer", url, root)
    lines = done.out.splitlines()
    assert lines[1].split() == ["peer", "raw", "CAR", "first", "byte", "throughput", "duplicates", "requests"]
    assert lines[3].split()[:3] == [url, "verified", "verified"]
    assert lines[4].split()[:2] == ["all", "together"]  # who is named twice is measured once
    assert "iB/s" in lines[3]
    assert done.err == f"Measuring {url}.\nMeasuring all together.\n"
    assert cli("bench", "-q", "--peer", url, root).err == ""


def test_credentials_are_not_shown(cli, gateway, tree):
    root, url = gateway(tree)
    done = cli("bench", "--peer", url.replace("//", "//somebody:secret@"), root)
    assert done.code == 0
    assert "secret" not in done.out + done.err


def test_nothing_is_kept(cli, gateway, tree, tmp_path):
    root, url = gateway(tree)
    assert cli("bench", "--peer", url, root).code == 0
    assert not (tmp_path / "home").exists()


def test_it_stops_after_so_many_bytes(cli, gateway, tree):
    root, url = gateway(tree, "slow:1MiB")
    done = cli("bench", "--json", "--bytes", "300KiB", "--peer", url, root)
    [peer, together] = done.lines[1:-1]
    for line in (peer, together):
        assert 300 * 1024 <= line["bytes"] < 1024 * 1024
        assert line["duplicates"] == 0


def test_it_stops_after_so_many_seconds(cli, gateway, tree):
    root, url = gateway(tree, "stall:0")
    done = cli("bench", "--json", "--seconds", "0.2", "--peer", url, root)
    assert done.code == 5
    [peer, together] = done.lines[1:-1]
    assert (peer["raw"], peer["car"]) == ("no", "no")
    assert "did not answer within 0.2 s" in peer["trouble"]
    assert "no block came within 0.2" in together["trouble"]


def test_what_nobody_has_is_not_found(cli, gateway, tree):
    _, url = gateway(tree)
    done = cli("bench", "--peer", url, Block.of(b"nowhere").cid)
    assert done.code == 4
    assert "does not have it" in done.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["bafkqaaa"],
        ["--peer", "http://127.0.0.1:9"],
        ["--peer", "nonsense", "bafkqaaa"],
        ["--peer", "http://127.0.0.1:9", "--bytes", "much", "bafkqaaa"],
        ["--peer", "http://127.0.0.1:9", "--bytes", "0", "bafkqaaa"],
        ["--peer", "http://127.0.0.1:9", "--seconds", "0", "bafkqaaa"],
        ["--peer", "http://127.0.0.1:9", "nonsense"],
    ],
)
def test_a_wrong_command_line_is_a_usage_error(cli, arguments):
    done = cli("bench", *arguments)
    assert (done.code, done.out) == (2, "")


# --- measuring, on a clock that jumps


class Asked:
    """A transport with one block, which comes when it comes."""

    url = public = endpoint = "fake://one"

    def __init__(self, data, *, waits=(), can=None):
        self.can = can or Can(car=True)
        self._data, self._waits = data, list(waits)

    async def block(self, cid, *, progress=None):
        await trio.sleep(self._waits.pop(0) if self._waits else 0)
        if self._data is None:
            raise NotHere("fake://one does not have it", peer=self.public)
        progress.came(1)
        await trio.sleep(100)
        return self._data

    def car(self, cid, **_):
        return Sections([(CID.of(b"another"), b"another")])


class Sections:
    def __init__(self, sections):
        self._sections = iter(sections)

    async def __aenter__(self):
        await trio.lowlevel.checkpoint()
        return self

    async def __aexit__(self, *_):
        await trio.lowlevel.checkpoint()

    def __aiter__(self):
        return self

    async def __anext__(self):
        await trio.lowlevel.checkpoint()
        for section in self._sections:
            return section
        raise StopAsyncIteration


BLOCK = Block.of(b"data")
ask = functools.partial(measure.answers, cid=BLOCK.cid, seconds=1000)


async def test_connecting_is_no_part_of_the_wait_for_the_first_byte(autojump_clock):
    found = await ask(Asked(b"data", waits=[9, 1, 2, 3, 8]))
    assert found.first_byte == pytest.approx(2.5)
    assert found.raw == "verified"


async def test_a_car_without_the_block_is_none(autojump_clock):
    found = await ask(Asked(b"data"))
    assert found.car == "no"
    assert "without" in found.trouble


async def test_nobody_is_asked_for_what_it_cannot_do(autojump_clock):
    found = await ask(Asked(None, can=Can(car=False)))
    assert (found.raw, found.car, found.first_byte) == ("no", "no", None)
    assert "does not have it" in found.trouble


async def test_what_is_too_large_for_a_block_is_no_block(autojump_clock):
    found = await ask(Asked(bytes(3 * 1024 * 1024)))
    assert found.raw == "no"
    assert "fake://one" in found.trouble
