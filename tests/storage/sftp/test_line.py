"""One conversation for many tasks: whatever order answers come in, each task gets its own, and nothing is left open."""

from __future__ import annotations

import struct

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from sessionctx.errors import AccessDenied, BadAnswer, PeerFailed
from sessionctx.storage.sftp import calls
from sessionctx.storage.sftp.frames import Frames
from sessionctx.storage.sftp.line import Line, Loss, Refused
from sessionctx.storage.sftp.replies import Data, Handle

VERSION = b"\0\0\0\5\2\0\0\0\3"


def packet(kind: int, number: int, body: bytes) -> bytes:
    data = struct.pack(">BI", kind, number) + body
    return struct.pack(">I", len(data)) + data


def string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


class Server:
    """The other end of a line, which answers when and as it is told."""

    def __init__(self, stream: trio.StapledStream) -> None:
        self.stream = stream
        self.frames = Frames()
        self.asked: list[tuple[int, int, bytes]] = []

    async def greet(self) -> None:
        await self.hear(1)
        self.asked.clear()
        await self.stream.send_all(VERSION)

    async def hear(self, count: int) -> None:
        """Wait for so many calls."""
        while len(self.asked) < count:
            for each in self.frames.feed(bytes(await self.stream.receive_some())):
                self.asked.append((each[0], int.from_bytes(each[1:5]), bytes(each[5:])))

    async def say(self, kind: int, number: int, body: bytes) -> None:
        await self.stream.send_all(packet(kind, number, body))


async def conversing(nursery: trio.Nursery) -> tuple[Line, Server]:
    ours, theirs = trio.testing.memory_stream_pair()
    line, server = Line("sftp://test"), Server(theirs)
    nursery.start_soon(line.run, ours.send_stream, ours.receive_stream)
    await server.greet()
    await line.greeting()
    return line, server


@given(order=st.permutations(range(6)), gone=st.sets(st.integers(0, 5)))
def test_each_gets_its_own_answer_in_whichever_order_they_come(order, gone):
    """Also where some have given up meanwhile: what they opened is closed, and nobody else notices."""
    got: dict[int, bytes] = {}

    async def ask(line: Line, n: int, scope: trio.CancelScope) -> None:
        with scope:
            reply = await line.ask(calls.open_file(b"%d" % n, calls.READING))
            assert isinstance(reply, Handle)
            got[n] = reply.name

    async def main() -> list[tuple[int, int, bytes]]:
        async with trio.open_nursery() as nursery:
            line, server = await conversing(nursery)
            scopes = [trio.CancelScope() for _ in order]
            for n, scope in enumerate(scopes):
                nursery.start_soon(ask, line, n, scope)
            await server.hear(len(order))
            for n in gone:
                scopes[n].cancel()
            await trio.testing.wait_all_tasks_blocked()
            asked, server.asked = server.asked, []
            for n in order:
                _, number, body = asked[n]
                await server.say(102, number, body[: 4 + body[3]])  # the handle is the path
            await server.hear(len(gone))
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
            return server.asked

    closed = trio.run(main)
    assert got == {n: b"%d" % n for n in range(6) if n not in gone}
    assert sorted(body[4:] for kind, _, body in closed if kind == 4) == sorted(b"%d" % n for n in gone)


async def test_what_was_dropped_before_it_was_sent_is_never_sent(nursery):
    line, server = await conversing(nursery)
    kept, dropped = line.begin(calls.stat(b"kept")), line.begin(calls.stat(b"dropped"))
    line.drop(dropped)
    last = line.begin(calls.stat(b"last"))
    await server.hear(2)
    assert [body[4:] for _, _, body in server.asked] == [b"kept", b"last"]
    for (_, number, _), pending in zip(server.asked, (kept, last), strict=True):
        await server.say(101, number, struct.pack(">I", 2))
        with pytest.raises(Refused) as caught:
            await line.take(pending)
        assert caught.value.gone
    nursery.cancel_scope.cancel()


async def test_an_answer_that_has_come_is_closed_if_its_asker_is_gone_by_then(nursery):
    """The answer and the cancellation come in one turn: the file does not stay open."""
    line, server = await conversing(nursery)
    opening = line.begin(calls.open_file(b"x", calls.READING))
    await server.hear(1)
    await server.say(102, server.asked.pop()[1], string(b"handle"))
    await trio.testing.wait_all_tasks_blocked()
    with trio.CancelScope() as scope:
        scope.cancel()
        await line.take(opening)
    await server.hear(1)
    assert server.asked[0][0] == 4
    assert server.asked[0][2] == string(b"handle")
    nursery.cancel_scope.cancel()


async def test_data_are_sent_whole_and_received_without_a_copy(nursery):
    line, server = await conversing(nursery)
    data = [bytes([n]) * 250_000 for n in range(5)]
    for each in data:
        line.begin(calls.write(b"h", 0, each))
    await server.hear(5)
    assert [body[-250_000:] for _, _, body in server.asked] == data
    server.asked.clear()
    reading = line.begin(calls.read(b"h", 0, 10))
    await server.hear(1)
    await server.say(103, server.asked.pop()[1], string(b"0123456789"))
    reply = await line.take(reading)
    assert isinstance(reply, Data)
    assert isinstance(reply.data.obj, bytes)
    assert len(reply.data.obj) > 10
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("said", [packet(103, 99, string(b"x")), packet(9, 1, b""), b"\xff" * 8, b"\0\0\0\0"])
async def test_what_breaks_the_protocol_ends_the_line_for_all(nursery, said):
    line, server = await conversing(nursery)
    pending = line.begin(calls.stat(b"x"))
    await server.stream.send_all(said)
    with pytest.raises(BadAnswer, match="breaks the protocol"):
        await line.take(pending)
    with pytest.raises(BadAnswer):
        await line.ask(calls.stat(b"y"))


@pytest.mark.parametrize("kind", [PeerFailed, AccessDenied])
async def test_all_who_wait_are_told_each_by_an_error_of_its_own(nursery, kind):
    line, _ = await conversing(nursery)
    pending = [line.begin(calls.stat(b"x")) for _ in range(3)]
    line.lose(Loss(kind, "it is gone", "sftp://test"))
    line.lose(Loss(BadAnswer, "too late", "sftp://test"))
    errors = []
    for each in pending:
        with pytest.raises(kind, match="it is gone") as caught:
            await line.take(each)
        errors.append(caught.value)
    assert len(set(map(id, errors))) == 3
    nursery.cancel_scope.cancel()
