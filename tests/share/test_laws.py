"""Whatever services do, and in whatever company: the right bytes come or an error does, and nothing else is kept."""

from __future__ import annotations

import contextlib
import functools
import random

import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from sessionctx import session
from sessionctx.errors import BlobNotFound, FetchFailed
from sessionctx.peers import statistics
from sessionctx.share import Blob, BlobShare
from sessionctx.storage import MemoryStorage
from sessionctx.testing import faults
from tests.share.conftest import digest_of, loaded, nothing_left, open_world

FEW = settings.default.max_examples // 3  # each of them is many requests
SIZE = 700_000
BLOB = random.Random(7).randbytes(SIZE)

HONEST = {
    "good": lambda n: lambda app: app,
    "slow": lambda n: functools.partial(faults.slow, rate=50_000 + n),
    "truncating": lambda n: functools.partial(faults.truncating, after=50_000 + n % (SIZE // 2)),
    "stalling": lambda n: functools.partial(faults.stalling, after=n % SIZE),
    "failing": lambda n: functools.partial(faults.failing, every=1 + n % 3),
    "busy": lambda n: functools.partial(faults.busy, retry_after=n % 20, every=1 + n % 2),
    "rangeless": lambda n: without(b"range"),
    "silent": lambda n: telling_no_digest,
}
DISHONEST = {
    "lying": lambda n: faults.lying,
    "forging": lambda n: functools.partial(forging, at=n % SIZE),
    "forging and breaking": lambda n: lambda app: faults.truncating(forging(app, at=n % SIZE), after=1 + n % SIZE),
}
SERVICES = st.lists(
    st.tuples(st.sampled_from([*HONEST, *DISHONEST, "other", "absent", "down"]), st.integers(0, 10**7)),
    min_size=1,
    max_size=5,
)


def without(name):
    def wrap(app):
        async def run(scope, receive, send):
            await app({**scope, "headers": [each for each in scope["headers"] if each[0] != name]}, receive, send)

        return run

    return wrap


def telling_no_digest(app):
    """As a static server does, with a tag of its own; the digest is not there, either."""

    async def run(scope, receive, send):
        async def bare(message):
            if message["type"] == "http.response.start":
                kept = [(name, value) for name, value in message["headers"] if name not in (b"etag", b"repr-digest")]
                message = {**message, "headers": [*kept, (b"etag", b'"1"')]}
            await send(message)

        await app(scope, receive, bare)

    return run


def forging(app, *, at):
    """Change the byte *at* this place, whatever range it is asked in."""

    async def run(scope, receive, send):
        position = 0

        async def forge(message):
            nonlocal position
            if message["type"] == "http.response.start":
                about = dict(message["headers"])
                position = int(about.get(b"content-range", b"bytes 0-").split()[1].split(b"-")[0])
            elif body := bytearray(message.get("body", b"")):
                if position <= at < position + len(body):
                    body[at - position] ^= 1
                position += len(body)
                message = {**message, "body": bytes(body)}
            await send(message)

        await app(scope, receive, forge)

    return run


async def build(world, services):
    urls, honest = [], set()
    for number, (kind, n) in enumerate(services):
        name = f"s{number}"
        if kind == "down":
            urls.append(f"http://{name}.test")
        elif kind == "absent":
            urls.append(await world.has(name, None))
        elif kind == "other":
            urls.append(await world.has(name, b"another blob", latency=n % 7 / 10))
        else:
            wrap = (HONEST | DISHONEST)[kind](n)
            urls.append(await world.has(name, BLOB, wrap=wrap, latency=n % 5 / 10))
        if kind not in DISHONEST:
            honest.add(urls[-1])
    return urls, honest


@settings(max_examples=FEW)
@given(services=SERVICES, rest=st.integers(0, 2**32))
def test_the_right_bytes_come_or_an_error_does(services, rest):
    """With a digest that is expected: no wrong byte is kept, no honest service is banned, one that is good suffices."""

    async def main():
        storage = MemoryStorage()
        async with open_world(idle=10, header=10) as world, BlobShare.open(storage, http=world.http) as share:
            urls, honest = await build(world, services)
            share._loader._chance.seed(rest)
            expect = Blob("x", SIZE, digest_of(BLOB)) if rest % 2 else digest_of(BLOB)
            with session.begin() as s:
                try:
                    assert await loaded(share, "x", urls, expect=expect, max_tries=8) == BLOB
                except (BlobNotFound, FetchFailed) as error:
                    assert not any(kind in ("good", "rangeless", "silent", "slow") for kind, _ in services), error
                    assert await nothing_left(storage)
                    assert set(error.reasons) <= set(urls)
                banned = {peer.url for peer in statistics(s) if peer.state == "banned"}
                assert not banned & honest
            assert (s.statistics().open, s.statistics().in_flight) == (0, 0)
            counted = share.statistics()
            asked = sum(source.requests for source in counted.sources.values())
            assert counted.load.retries == asked - 1
            assert counted.load.bytes == sum(source.bytes for source in counted.sources.values())

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


@settings(max_examples=FEW)
@given(services=SERVICES, rest=st.integers(0, 2**32), patience=st.floats(0.05, 30))
def test_a_load_that_is_given_up_leaves_nothing(services, rest, patience):
    """However far it has come when its caller gives up: it is all there, or nothing is."""

    async def main():
        storage = MemoryStorage()
        async with open_world(idle=10, header=10) as world, BlobShare.open(storage, http=world.http) as share:
            urls, _ = await build(world, services)
            share._loader._chance.seed(rest)
            got = None
            with trio.move_on_after(patience):
                with contextlib.suppress(BlobNotFound, FetchFailed):
                    got = await loaded(share, "x", urls, expect=digest_of(BLOB))
            assert got in (None, BLOB)
            assert trio.current_time() <= patience
            if got is None:
                assert await nothing_left(storage) or await loaded(share, "x", []) == BLOB
            assert len(share._names) == 0
            assert share.statistics().load.running == 0

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
