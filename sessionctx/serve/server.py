"""Run an ASGI app on a server that starts quietly and stops completely: connections are accepted, and let go of."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Final

import attrs
import trio

from sessionctx.content import keep_what_is_freed
from sessionctx.serve.asgi import App
from sessionctx.serve.http1 import Connection
from sessionctx.serve.log import logged, logger
from sessionctx.session import require_trio

_LOOK: Final = 0.25
"""Seconds between two looks at all connections; within two, it is seen that a client went away."""


async def run(
    app: App,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    socks: Sequence[socket.socket] | None = None,
    stop: trio.Event | None = None,
    grace: float = 3.0,
    stalled: float = 60.0,
    keep_alive: float = 30.0,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve *app* over HTTP/1.1 until it is stopped; it reports its URL once it accepts connections.

    ::

        async with trio.open_nursery() as nursery:
            url = await nursery.start(serve.run, serve.gateway(node.store))

    Cancelling it stops it at once. Setting *stop* stops it gently: no new connections, and those that are answering
    have *grace* seconds to finish. Either way it returns when every connection is closed. Nothing is printed; requests
    are logged to ``sessionctx.serve``. The app receives no lifespan events. It waits while its client does not read, so
    that many slow readers take little memory; it is cancelled when its client goes away, unless it waits in ``receive``
    to be told. There is no TLS: put a proxy in front to serve more than this machine.

    Args:
        app: the ASGI app, see `gateway`.
        host: the address to listen on; the default is reached from this machine only.
        port: 0 lets the system choose.
        socks: sockets that listen already (see `listen`), instead of *host* and *port*; several processes may share
            them. They are closed in the end.
        stop: set it for a gentle stop.
        grace: seconds that answers in progress have after *stop*.
        stalled: seconds for which a client may not read a quarter of a MiB before its connection is cut.
        keep_alive: seconds for which a connection may be idle, and that the head of a request may take.
        task_status: reports the URL, such as ``http://127.0.0.1:41325``.

    Raises:
        OSError: the address cannot be listened on.
    """
    require_trio("serve.run")
    keep_what_is_freed()
    socks = await listen(host, port) if socks is None else socks
    listeners = [trio.SocketListener(trio.socket.from_stdlib_socket(sock)) for sock in socks]
    async with trio.open_nursery() as nursery:
        server = _Server(logged(app), nursery, stalled, keep_alive)
        accepting = await nursery.start(server.accept, listeners)
        task_status.started(_url(listeners[0]))
        await (trio.Event() if stop is None else stop).wait()
        accepting.cancel()
        with trio.move_on_after(grace):
            await server.drain()
        nursery.cancel_scope.cancel()


async def listen(host: str, port: int) -> list[socket.socket]:
    """Return sockets that listen on all addresses of *host*, for `run`. :exc:`OSError` if they cannot."""
    try:
        listeners = await trio.open_tcp_listeners(port, host=host)
    except OSError as error:
        raise OSError(error.errno, f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    return [inherited(listener.socket.detach()) for listener in listeners]


def inherited(fileno: int) -> socket.socket:
    """Return the socket of a file descriptor, such as another process has left to this one.

    It does not block, and neither do duplicates of it. All of them share that with those of other processes: were one
    to block for a moment only, the others would be stuck in accepting.
    """
    sock = socket.socket(fileno=fileno)
    sock.setblocking(False)
    return sock


@attrs.define(eq=False)
class _Server:
    """The connections of one `run`."""

    _app: App
    _nursery: trio.Nursery
    _stalled: float
    _keep_alive: float
    _open: set[Connection] = attrs.field(factory=set[Connection], init=False)
    _emptied: trio.Event = attrs.field(factory=trio.Event, init=False)
    _looking: bool = attrs.field(default=False, init=False)

    async def accept(
        self, listeners: list[trio.SocketListener], *, task_status: trio.TaskStatus[trio.CancelScope]
    ) -> None:
        with trio.CancelScope() as scope:
            task_status.started(scope)
            await trio.serve_listeners(self._handle, listeners, handler_nursery=self._nursery)

    async def _handle(self, stream: trio.SocketStream) -> None:
        with _taken(stream) as sock:
            try:
                connection = Connection(self._app, sock, self._stalled)
            except OSError:
                return  # it was gone before it was looked at
            self._open.add(connection)
            if not self._looking:
                self._looking = True
                self._nursery.start_soon(self._look)
            try:
                await connection.run()
            except Exception:  # noqa: BLE001 - it ends its own connection only
                logger.exception("a connection failed")
            finally:
                self._open.discard(connection)
                if not self._open:
                    self._emptied.set()

    async def _look(self) -> None:
        """Have a look at all connections now and then, as long as there are any."""
        while self._open:
            await trio.sleep(min(_LOOK, self._keep_alive / 4))
            idle_since = trio.current_time() - self._keep_alive
            for connection in self._open:
                connection.look(idle_since)
        self._looking = False

    async def drain(self) -> None:
        """Let idle connections go and wait until the others have finished."""
        for connection in self._open:
            connection.leave()
        while self._open:
            self._emptied = trio.Event()
            await self._emptied.wait()


def _taken(stream: trio.SocketStream) -> socket.socket:
    """Take the socket out of *stream*: for answers that the system takes at once, trio has nothing to do."""
    family, kind, protocol = stream.socket.family, stream.socket.type, stream.socket.proto
    sock = socket.socket(family, kind, protocol, fileno=stream.socket.detach())
    sock.setblocking(False)
    return sock


def _url(listener: trio.SocketListener) -> str:
    host, port = listener.socket.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
