"""The gateways that misbehave do so exactly as they say."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from sessionctx.testing import faults

OK = [(b"content-type", b"application/vnd.ipld.raw")]


def answering(*pieces, status=200, headers=OK):
    """An app that answers with these pieces of a body, and says their length if there is one piece."""

    async def app(scope, receive, send):
        length = [(b"content-length", str(len(pieces[0])).encode())] if len(pieces) == 1 else []
        await send({"type": "http.response.start", "status": status, "headers": [*headers, *length]})
        for piece in pieces[:-1]:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": pieces[-1]})

    return app


async def ask(app, method="GET", kind="http"):
    """What the app sends: the status, the headers, the body, and whether that was all of it."""
    sent = []

    async def send(message):
        await trio.lowlevel.checkpoint()
        sent.append(message)

    await app({"type": kind, "method": method, "path": "/"}, trio.sleep_forever, send)
    begun = next(message for message in sent if message["type"] == "http.response.start")
    bodies = [message for message in sent if message["type"] == "http.response.body"]
    return begun["status"], dict(begun["headers"]), b"".join(m.get("body", b"") for m in bodies), sent


@pytest.fixture
def clock(autojump_clock):
    return autojump_clock


async def test_a_slow_gateway_takes_the_time_that_its_rate_says(clock):
    app = faults.slow(answering(b"a" * 100_000, b"b" * 100_000), rate=50_000)
    began = trio.current_time()
    status, _, body, sent = await ask(app)
    assert (status, body) == (200, b"a" * 100_000 + b"b" * 100_000)
    assert trio.current_time() - began == pytest.approx(4)
    assert sent[-1].get("more_body", False) is False
    assert max(len(m.get("body", b"")) for m in sent) <= 2500


async def test_slow_requests_share_the_rate(clock):
    app = faults.slow(answering(b"a" * 50_000), rate=50_000)
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(ask, app)
    assert trio.current_time() == pytest.approx(3)


async def test_a_slow_gateway_that_was_idle_does_not_save_its_time_up(clock):
    app = faults.slow(answering(b"a" * 50_000), rate=50_000)
    await trio.sleep(60)
    began = trio.current_time()
    await ask(app)
    assert trio.current_time() - began == pytest.approx(1)


async def test_an_empty_body_is_not_slow(clock):
    await ask(faults.slow(answering(b""), rate=1))
    assert trio.current_time() == 0


async def test_a_failing_gateway_fails_each_third_request():
    app = faults.failing(answering(b"good"), every=3, status=503)
    assert [(await ask(app))[0] for _ in range(7)] == [200, 200, 503, 200, 200, 503, 200]


async def test_other_scopes_pass_a_failing_gateway_uncounted():
    app = faults.failing(answering(b"good"), every=1)
    assert (await ask(app, kind="lifespan"))[0] == 200
    assert (await ask(app))[0] == 500


@pytest.mark.parametrize(
    ("retry_after", "header"), [(7, b"7"), ("Fri, 20 Nov 2026 10:00:00 GMT", None), (None, "absent")]
)
async def test_a_busy_gateway_says_when_to_come_back(retry_after, header):
    status, headers, _, _ = await ask(faults.busy(answering(b"good"), retry_after=retry_after))
    assert status == 429
    assert headers.get(b"retry-after", "absent") == (header or str(retry_after).encode())


def _lied(pieces, **kwargs):
    return trio.run(lambda: ask(faults.lying(answering(*pieces, **kwargs))))


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=5))
def test_a_liar_never_tells_the_truth_and_its_headers_fit(pieces):
    """Whatever the body, the liar's differs from it, and its length is the one in its header."""
    status, headers, body, sent = _lied(pieces)
    assert status == 200
    assert body != b"".join(pieces)
    assert len(body) == max(1, sum(map(len, pieces)))
    if b"content-length" in headers:
        assert int(headers[b"content-length"]) == len(body)
    assert [m["type"] for m in sent].count("http.response.start") == 1
    assert sent[-1].get("more_body", False) is False


@given(st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=5))
def test_each_piece_of_a_liars_stream_is_wrong_at_its_end(pieces):
    """Each piece differs from the true one in its last byte only."""
    _, _, _, sent = _lied(pieces)
    told = [m["body"] for m in sent[1:]]
    assert [t[:-1] for t in told] == [p[:-1] for p in pieces]
    assert all(t[-1] == p[-1] ^ 1 for t, p in zip(told, pieces, strict=True))


@pytest.mark.parametrize("status", [304, 404, 500])
def test_a_liar_admits_its_errors(status):
    assert _lied([b"why"], status=status)[2] == b"why"
    assert _lied([b""], status=status)[2] == b""


async def test_a_liar_has_nothing_to_lie_about_in_a_head():
    _, headers, body, _ = await ask(faults.lying(answering(b"")), method="HEAD")
    assert (headers[b"content-length"], body) == (b"0", b"")


async def test_a_liar_lets_other_scopes_pass():
    assert (await ask(faults.lying(answering(b"x")), kind="lifespan"))[2] == b"x"


async def test_a_stalling_gateway_sends_so_much_and_then_nothing(clock):
    sent = []

    async def send(message):
        sent.append(message)

    with trio.move_on_after(3600) as patience:
        await faults.stalling(answering(b"abc", b"def"), after=4)({"type": "http"}, trio.sleep_forever, send)
    assert patience.cancelled_caught
    assert b"".join(m.get("body", b"") for m in sent) == b"abcd"
    assert all(m["more_body"] for m in sent[1:])


async def test_a_truncating_gateway_sends_so_much_and_breaks_off():
    with pytest.raises(ConnectionAbortedError, match="after 4 bytes"):
        await ask(faults.truncating(answering(b"abc", b"def"), after=4))


async def test_a_body_that_fits_is_neither_stalled_nor_cut():
    assert (await ask(faults.stalling(answering(b"abc"), after=3)))[2] == b"abc"
    assert (await ask(faults.truncating(answering(b""), after=0)))[2] == b""


async def test_each_body_has_its_own_allowance():
    app = faults.truncating(answering(b"abc"), after=3)
    assert (await ask(app))[2] == (await ask(app))[2] == b"abc"


@pytest.mark.parametrize(
    ("spec", "outcome"),
    [("fail:2", [200, 500]), ("busy:1", [429, 429]), ("lie", [200, 200]), ("stall:9", [200, 200])],
)
async def test_a_text_names_a_fault(spec, outcome):
    app = faults.parse(spec)(answering(b"body"))
    assert [(await ask(app))[0] for _ in range(2)] == outcome


def test_rates_have_units():
    app = faults.parse("slow:2KiB")(answering(b"a" * 4096))
    clock = MockClock(autojump_threshold=0)

    async def main():
        await ask(app)
        return trio.current_time()

    assert trio.run(main, clock=clock) == pytest.approx(2)


async def test_truncate_can_be_named():
    with pytest.raises(ConnectionAbortedError):
        await ask(faults.parse("truncate:0")(answering(b"body")))


@pytest.mark.parametrize(
    "spec", ["", "slow", "slow:", "slow:0", "slow:fast", "slow:3MB", "fail:-1", "stall:", "lie:1", "x:1"]
)
def test_a_text_that_names_no_fault_is_refused(spec):
    with pytest.raises(ValueError, match="is no fault; known are"):
        faults.parse(spec)
