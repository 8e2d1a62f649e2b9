"""The faulty and counting proxy does what it is told, and counts what it passes."""

from __future__ import annotations

import pytest
import trio

from sessionctx.testing.proxy import Fault, open_proxy

SIZE = 300_000


@pytest.fixture
async def server(nursery):
    """A server that sends what many bytes a client asks for, once that has sent its line; then it echoes."""

    async def serve(stream):
        async with stream:
            try:
                asked = await stream.receive_some(100)
                await stream.send_all(b"x" * int(asked or b"0"))
                while data := await stream.receive_some(65536):
                    await stream.send_all(data)
            except trio.BrokenResourceError:
                pass

    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, serve, listeners)
    return listeners[0].socket.getsockname()[1]


async def ask(port, size=SIZE):
    """Return how many bytes came, and how it ended."""
    got = 0
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(str(size).encode())
        with trio.move_on_after(0.5):
            try:
                while got < size and (data := await stream.receive_some(65536)):
                    got += len(data)
            except trio.BrokenResourceError:
                return got, "reset"
            return got, "whole" if got == size else "cut"
        return got, "stall"


async def settled(proxy):
    with trio.fail_after(5):
        while proxy.open:  # noqa: ASYNC110
            await trio.sleep(0.01)


async def test_it_passes_all_and_counts_it(server):
    async with open_proxy(server) as proxy:
        assert await ask(proxy.port) == (SIZE, "whole")
        await settled(proxy)
        assert (proxy.up, proxy.down, proxy.connections) == (6, SIZE, 1)


@pytest.mark.parametrize("kind", ["cut", "reset", "stall"])
async def test_a_fault_happens_once_where_it_was_told(server, kind):
    async with open_proxy(server) as proxy:
        proxy.arm(None, Fault(kind, after=100_001))
        assert await ask(proxy.port) == (SIZE, "whole")
        got, ending = await ask(proxy.port)
        assert ending == kind
        assert got == 100_001 or kind == "reset"  # a reset may take back what was not read yet
        assert await ask(proxy.port) == (SIZE, "whole")
        await settled(proxy)
        assert proxy.down == 2 * SIZE + 100_001


async def test_it_breaks_what_goes_up(server):
    async with open_proxy(server) as proxy:
        proxy.always = Fault("cut", after=2, direction="up")
        got, ending = await ask(proxy.port)
        assert (ending, proxy.up) == ("cut", 2)
        assert got == 0


async def test_it_refuses(server):
    async with open_proxy(server) as proxy:
        proxy.arm(Fault("refuse"))
        assert (await ask(proxy.port))[0] == 0
        assert (proxy.up, proxy.down) == (0, 0)


async def test_it_slows_and_delays(server):
    async with open_proxy(server) as proxy:
        proxy.rate, proxy.delay = 1_000_000, 0.05
        began = trio.current_time()
        assert await ask(proxy.port) == (SIZE, "whole")
        assert trio.current_time() - began > 0.2


async def test_a_client_that_leaves_ends_its_connection(server):
    async with open_proxy(server) as proxy:
        stream = await trio.open_tcp_stream("127.0.0.1", proxy.port)
        await stream.send_all(b"10")
        assert await stream.receive_some(1)
        assert proxy.open == 1
        await stream.aclose()
        await settled(proxy)
