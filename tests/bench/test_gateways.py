"""The gateways of the benches are what they say, and nothing of a bench is left when it is over."""

from __future__ import annotations

import hashlib
import json
import math
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from sessionctx.content import CID, CarDecoder, verify
from tests.bench import gateways
from tests.bench.gateways import Gateway, measured, rate, row, serving
from tests.bench.memory import at_hand
from tests.bench.nginx import GATEWAY, INSTALLED, lay_out, nginx
from tests.bench.prepared import MIB, random_blocks, random_file, random_folder

KIB = 1024


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    return random_file(tmp_path_factory.mktemp("content"), 3 * MIB)


def get(url, path, **headers):
    request = Request(url + path, headers=headers)
    began = time.perf_counter()
    with urlopen(request, timeout=10) as answer:
        return answer.read(), time.perf_counter() - began


def car(url, content, query=""):
    return get(url, f"/ipfs/{content.root}?format=car{query}")[0]


def sections(stream):
    decoder = CarDecoder()
    found = decoder.feed(stream)
    decoder.finish()
    return found


def test_a_gateway_serves_blocks_and_cars_of_what_was_prepared(content):
    with serving(content, [Gateway()]) as [url]:
        for leaf in content.leaves:
            verify(CID.parse(leaf), get(url, f"/ipfs/{leaf}?format=raw")[0])
        whole = sections(car(url, content))
        part = sections(car(url, content, f"&dag-scope=entity&entity-bytes=0:{MIB - 1}"))
        alone = sections(car(url, content, "&dag-scope=block"))
    assert [str(cid) for cid, _ in whole] == [content.root, *content.leaves]
    assert hashlib.sha256(b"".join(data for _, data in whole[1:])).hexdigest() == content.digest
    assert (len(part), len(alone)) == (2, 1)


@pytest.mark.skipif(not INSTALLED, reason="nginx is not installed")
def test_nginx_serves_the_same_blocks_and_the_whole_car(content, tmp_path):
    lay_out(content, tmp_path / "files")
    with nginx(tmp_path / "files", GATEWAY) as (host, port):
        url = f"http://{host}:{port}"
        for leaf in content.leaves:
            verify(CID.parse(leaf), get(url, f"/ipfs/{leaf}?format=raw")[0])
        assert [str(cid) for cid, _ in sections(car(url, content))] == [content.root, *content.leaves]


@pytest.mark.parametrize("size", [MIB, 1 << 60])
def test_memory_at_hand_leaves_no_file(tmp_path, size):
    """Where there is not enough memory, there is none at hand, and that is all."""
    with at_hand(tmp_path, size):
        assert [path.name for path in tmp_path.iterdir()] == (["kept"] if size == MIB else [])
    assert not list(tmp_path.iterdir())


def test_connections_share_the_rate_of_their_gateway_and_no_other(content):
    with serving(content, [Gateway(rate=12 * MIB)] * 2) as urls, ThreadPoolExecutor(4) as pool:
        began = time.perf_counter()
        sizes = list(pool.map(lambda url: len(car(url, content)), urls * 2))
        took = time.perf_counter() - began
    assert sum(sizes) > 12 * MIB
    assert took > 0.48  # 6 MiB from each


def test_a_request_waits_a_round_trip_and_the_first_of_a_connection_two(content):
    target = f"GET /ipfs/{content.leaves[0]}?format=car&dag-scope=block HTTP/1.1\r\nhost: x\r\n\r\n".encode()
    with serving(content, [Gateway(latency=0.2)]) as [url], connected(url) as sock:
        waits = []
        for _ in range(2):
            began = time.perf_counter()
            sock.sendall(target)
            answer = sock.recv(64 * KIB)
            waits.append(time.perf_counter() - began)
            while not answer.endswith(b"0\r\n\r\n"):
                answer += sock.recv(MIB)
    assert waits[0] > 0.4
    assert 0.2 < waits[1] < 0.4


def connected(url):
    host, _, port = url.removeprefix("http://").partition(":")
    sock = socket.create_connection((host, int(port)), timeout=10)
    sock.settimeout(10)
    return sock


def test_a_broken_off_answer_costs_the_line_next_to_nothing(content):
    target = f"GET /ipfs/{content.root}?format=car HTTP/1.1\r\nhost: x\r\n\r\n".encode()
    with serving(content, [Gateway(rate=4 * MIB)]) as [url]:
        for _ in range(5):
            with connected(url) as sock:
                sock.sendall(target)
                sock.recv(KIB)
        began = time.perf_counter()
        car(url, content)
        took = time.perf_counter() - began
    assert took < 0.75 + 1.0  # all of them would have cost 3.75 s


def test_gateways_are_out_of_order_as_they_are_asked_to_be(content):
    kinds = ["refuses", "black hole", "lies", "stalls", "silent", "busy", "fails"]
    path = f"/ipfs/{content.leaves[0]}?format=raw"
    with serving(content, [Gateway(fault=kind) for kind in kinds]) as urls:
        url = dict(zip(kinds, urls, strict=True))
        with pytest.raises(ConnectionRefusedError):
            connected(url["refuses"])
        host, _, port = url["black hole"].removeprefix("http://").partition(":")
        with pytest.raises(TimeoutError):
            socket.create_connection((host, int(port)), timeout=0.3)
        with pytest.raises(ValueError, match="does not match"):
            check(content.leaves[0], get(url["lies"], path)[0])
        for kind in ("stalls", "silent", "silent"):
            with pytest.raises(TimeoutError), urlopen(url[kind] + path, timeout=0.3) as answer:
                answer.read()
        with pytest.raises(HTTPError, match="429") as busy:
            get(url["busy"], path)
        busy.value.close()
        assert 1 <= int(busy.value.headers["retry-after"]) <= 2
        codes = [status(url["fails"], path) for _ in range(40)]
        assert codes.count(500) == 2
        assert codes.count(200) == 38


def check(cid, data):
    if CID.of(data) != CID.parse(cid):
        raise ValueError("does not match")


def status(url, path):
    try:
        get(url, path)
    except HTTPError as error:
        error.close()
        return error.code
    return 200


def test_late_answers_are_a_second_late(tmp_path):
    content = random_blocks(tmp_path, 2, KIB)
    with serving(content, [Gateway(fault="late")]) as [url], ThreadPoolExecutor(40) as pool:
        waits = list(pool.map(lambda _: get(url, f"/ipfs/{content.leaves[0]}?format=raw")[1], range(40)))
    assert 1 <= sum(wait > 1 for wait in waits) <= 8


def test_a_folder_is_served_with_all_its_files(tmp_path):
    content = random_folder(tmp_path, 5, KIB)
    with serving(content, [Gateway()]) as [url]:
        assert len(sections(car(url, content))) == 6
    assert len(content.leaves) == 5


def test_the_process_of_the_gateways_ends_with_the_block(content, monkeypatch):
    started = []
    popen = subprocess.Popen

    def start(*args, **kwargs):
        started.append(popen(*args, **kwargs))
        return started[-1]

    monkeypatch.setattr(gateways.subprocess, "Popen", start)
    with pytest.raises(KeyError), serving(content, [Gateway()]):
        raise KeyError
    assert started[0].returncode is not None


def test_a_job_that_fails_or_takes_too_long_is_no_figure(content, capsys):
    with serving(content, [Gateway(fault="silent"), Gateway(fault="lies")]) as [silent, lying]:
        late = measured("first_byte", seconds=0.8, peers=[silent], root=content.leaves[0])
        gone = measured("cat", seconds=20, peers=[lying], root=content.root, digest="another")
    assert (late, gone) == (None, None)
    assert "not done after" in capsys.readouterr().err


def test_a_row_of_failed_runs_says_so():
    fine = {"seconds": 2.0}
    assert row("a rate", [fine, fine], rate(4 * MIB), "MiB/s", 1.0).figure == 2.0
    assert row("a rate", [fine, None], rate(4 * MIB), "MiB/s", 1.0).figure == 0.0
    spoiled = row("a time", [None, fine], lambda done: done["seconds"], "s", 1.0)
    assert spoiled.figure == math.inf
    assert not spoiled.good
    assert json.loads(spoiled.as_json())["figure"] is None
