"""Shares on real sockets: our own server, nginx over the same folder, lines that break, readers that do not read."""

from __future__ import annotations

import functools
import random
import socket

import pytest
import trio

from sessionctx import serve, session
from sessionctx.errors import BlobNotFound, FetchFailed, Lied
from sessionctx.peers import statistics
from sessionctx.share import BlobShare
from sessionctx.storage import LocalStorage, MemoryStorage
from sessionctx.testing import faults
from sessionctx.testing.proxy import Fault, open_proxy
from sessionctx.transports import HTTP
from tests.share.conftest import digest_of, loaded, nothing_left
from tests.storage.nginx import nginx

DATA = random.Random(6).randbytes(8_000_000)
HERE = "127.0.0.1:0"
QUICK = HTTP(idle=1.0, header=2.0, connect=2.0)


def port_of(url):
    return int(url.rpartition(":")[2])


@pytest.fixture
async def shares(nursery):
    """Shares that serve until the end of the test; each is given blobs by name."""

    async def keep(blobs, listen, task_status):
        async with BlobShare.open(MemoryStorage(), listen=listen, grace=0) as share:
            for name, data in blobs.items():
                await share.share(name, data)
            task_status.started(share)
            await trio.sleep_forever()

    async def start(blobs, listen=None):
        return await nursery.start(keep, blobs, listen or serve.listening(HERE))

    yield start
    nursery.cancel_scope.cancel()


@pytest.fixture
async def mine(tmp_path):
    (tmp_path / "mine").mkdir()
    async with BlobShare.open(LocalStorage(tmp_path / "mine"), http=QUICK, grace=0) as share:
        yield share


def bad(wrap):
    """Listens, and is spoilt by *wrap*."""

    async def listen(share, stop, grace, *, task_status):
        await serve.run(wrap(serve.blobs(share)), stop=stop, grace=grace, task_status=task_status)

    return listen


async def test_a_blob_goes_from_one_service_to_another(shares, mine, tmp_path):
    theirs = await shares({"model 7 (é)": DATA})
    assert await loaded(mine, "model 7 (é)", [theirs.url]) == DATA
    assert (tmp_path / "mine/blobs/model 7 (é)").read_bytes() == DATA
    assert theirs.statistics().read.bytes == len(DATA)


async def test_what_was_loaded_is_served_in_turn(shares, mine, nursery):
    theirs = await shares({"x": DATA})
    await loaded(mine, "x", [theirs.url])
    url = await nursery.start(serve.run, serve.blobs(mine))
    third = await shares({})
    assert await loaded(third, "x", [url]) == DATA


@pytest.mark.parametrize("kind", ["cut", "reset", "stall"])
async def test_a_line_that_breaks_in_the_middle(shares, mine, kind):
    first, second = await shares({"x": DATA}), await shares({"x": DATA})
    async with open_proxy(port_of(first.url)) as proxy:
        proxy.always = Fault(kind, after=3_000_000)
        urls = [f"http://127.0.0.1:{proxy.port}", second.url]
        mine._loader._chance.sample = lambda ready, count: list(ready)
        with trio.fail_after(10):
            assert await loaded(mine, "x", urls) == DATA
        assert 2_900_000 < proxy.down <= 3_100_000
    sources = mine.statistics().sources
    assert sources[urls[1]].bytes < 5_500_000, "it went on where the line broke"
    assert theirs_in_order(sources, urls)


def theirs_in_order(sources, urls):
    return [sources[url].requests for url in urls] == [1, 1]


async def test_a_line_that_always_breaks_still_brings_it_all(shares, mine):
    theirs = await shares({"x": DATA})
    async with open_proxy(port_of(theirs.url)) as proxy:
        proxy.always = Fault("cut", after=3_000_000)
        with trio.fail_after(10):
            assert await loaded(mine, "x", [f"http://127.0.0.1:{proxy.port}"], retry_delay=0.01) == DATA
        assert proxy.connections == 3


async def test_a_liar_on_the_line(shares, mine, tmp_path):
    liar, good = await shares({"x": DATA}, bad(faults.lying)), await shares({"x": DATA})
    with session.begin() as s:
        with pytest.raises(FetchFailed) as caught:
            await loaded(mine, "x", [liar.url], expect=digest_of(DATA))
        assert isinstance(caught.value.reasons[liar.url], Lied)
        assert await nothing_left(LocalStorage(tmp_path / "mine"))
        assert await loaded(mine, "x", [liar.url, good.url], expect=digest_of(DATA)) == DATA
        assert {peer.url: peer.state for peer in statistics(s)} == {liar.url: "banned", good.url: "good"}


async def test_nobody_listens(mine):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(FetchFailed):
            await loaded(mine, "x", [url], max_tries=2, retry_delay=0.01)
    assert mine.statistics().sources[url].failures == {"Unreachable": 2}


async def test_a_reader_that_does_not_read_holds_a_piece_or_two(shares):
    theirs = await shares({"x": bytes(64_000_000)})
    stream = await trio.open_tcp_stream("127.0.0.1", port_of(theirs.url))
    async with stream:
        await stream.send_all(b"GET /blobs/x HTTP/1.1\r\nHost: here\r\n\r\n")
        await trio.sleep(0.3)
        assert theirs.statistics().read.bytes < 32_000_000
        assert theirs.statistics().read.running == 1
    with trio.fail_after(5):
        while theirs.statistics().read.running:  # noqa: ASYNC110
            await trio.sleep(0.05)


async def test_its_server_stops_with_it(nursery):
    async with BlobShare.open("memory://", listen=serve.listening(HERE)) as share:
        port = port_of(share.url)
        async with await trio.open_tcp_stream("127.0.0.1", port):
            pass
    with pytest.raises(OSError):
        await trio.open_tcp_stream("127.0.0.1", port)


async def test_answers_in_progress_are_finished_when_it_stops(mine, nursery):
    await mine.share("x", b"")
    got = []

    async def load():
        got.append(await loaded(other, "big", [share.url]))

    async with BlobShare.open("memory://", listen=bad(functools.partial(faults.slow, rate=4_000_000))) as share:
        await share.share("big", bytes(1_000_000))
        async with BlobShare.open("memory://") as other:
            nursery.start_soon(load)
            await trio.sleep(0.1)
    assert got == [bytes(1_000_000)]


async def test_an_error_in_its_block_comes_out_as_it_is():
    with pytest.raises(KeyError):
        async with BlobShare.open("memory://", listen=serve.listening(HERE), grace=0):
            raise KeyError("x")


async def test_an_address_that_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(OSError, match="cannot listen on"):
            async with BlobShare.open("memory://", listen=serve.listening(address)):
                pass


# --- a static server over the same folder


@pytest.fixture(scope="module")
def static(tmp_path_factory):
    folder = tmp_path_factory.mktemp("static")
    (folder / "root").mkdir()
    with nginx(folder / "root", folder / "work", options="") as port:
        yield folder / "root", f"http://127.0.0.1:{port}"


@pytest.fixture
def names():
    """Ids that nobody has used."""
    return (f"a b (é) + 100% {random.randbytes(4).hex()}" for _ in range(10))


async def shared_in(root, name, data):
    async with BlobShare.open(f"file://{root}") as share:
        return await share.share(name, data)


async def test_nginx_serves_the_folder_of_a_share(static, names, mine):
    """With the digest that lies beside the blob."""
    (root, url), name = static, next(names)
    await shared_in(root, name, DATA)
    assert await loaded(mine, name, [url]) == DATA
    assert mine.statistics().sources[url].requests == 1
    with pytest.raises(BlobNotFound):
        await loaded(mine, "absent", [url])


async def test_nginx_and_a_digest_that_is_expected(static, names, mine):
    (root, url), name = static, next(names)
    (root / "blobs").mkdir(exist_ok=True)
    (root / "blobs" / name).write_bytes(DATA)
    with pytest.raises(FetchFailed) as caught:
        await loaded(mine, name, [url], expect=digest_of(b"other"))
    assert caught.value.lied
    other = next(names)
    (root / "blobs" / other).write_bytes(DATA)
    async with BlobShare.open("memory://") as another:
        assert await loaded(another, other, [url], expect=digest_of(DATA)) == DATA


async def test_nginx_and_a_blob_that_was_damaged_where_it_lies(static, names, mine, tmp_path):
    (root, url), name = static, next(names)
    await shared_in(root, name, DATA)
    path = root / "blobs" / name
    path.write_bytes(bytes([DATA[0] ^ 1]) + DATA[1:])
    with pytest.raises(FetchFailed) as caught:
        await loaded(mine, name, [url])
    assert caught.value.lied
    assert await nothing_left(LocalStorage(tmp_path / "mine"))


async def test_nginx_goes_on_with_what_our_own_server_began(static, names, mine, shares):
    """And the other way round: all that counts is that it is the same blob."""
    (root, url), name = static, next(names)
    await shared_in(root, name, DATA)
    theirs = await shares({name: DATA})
    for number, (first, second) in enumerate([(theirs.url, url), (url, theirs.url)]):
        async with open_proxy(port_of(first)) as proxy, BlobShare.open("memory://", http=QUICK) as share:
            proxy.always = Fault("cut", after=3_000_000)
            share._loader._chance.sample = lambda ready, count: list(ready)
            assert await loaded(share, name, [f"http://127.0.0.1:{proxy.port}", second], retry_delay=0.01) == DATA
            assert share.statistics().sources[second].bytes < 6_000_000, number


async def test_nginx_goes_on_with_what_it_began_itself(static, names, mine):
    (root, url), name = static, next(names)
    (root / "blobs").mkdir(exist_ok=True)
    (root / "blobs" / name).write_bytes(DATA)
    async with open_proxy(port_of(url)) as proxy:
        proxy.always = Fault("cut", after=3_000_000)
        through = f"http://127.0.0.1:{proxy.port}"
        assert await loaded(mine, name, [through], retry_delay=0.01, max_tries=6) == DATA
        assert mine.statistics().sources[through].bytes < 9_000_000


async def test_many_loads_from_a_static_server_at_once(static, mine):
    """More than there are connections: nobody waits for another one's digest."""
    root, url = static
    async with BlobShare.open(f"file://{root}") as share:
        for n in range(40):
            await share.share(f"many-{n}", b"%d" % n * 100_000)
    got = {}

    async def one(n):
        got[n] = await loaded(mine, f"many-{n}", [url])

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            for n in range(40):
                nursery.start_soon(one, n)
    assert got == {n: b"%d" % n * 100_000 for n in range(40)}
