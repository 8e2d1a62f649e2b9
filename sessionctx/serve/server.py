"""Run an ASGI app on hypercorn's trio worker, so that it starts quietly and stops completely."""

from __future__ import annotations

import functools
import logging
from typing import Any

import attrs
import trio

from sessionctx.errors import MissingExtra
from sessionctx.serve.asgi import App
from sessionctx.serve.log import logged, logger
from sessionctx.session import require_trio

_SLICE = 256 * 1024


async def run(
    app: App,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    stop: trio.Event | None = None,
    grace: float = 3.0,
    stalled: float = 60.0,
    keep_alive: float = 30.0,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve *app* over HTTP/1.1 (and h2c) until it is stopped; it reports its URL once it accepts connections.

    ::

        async with trio.open_nursery() as nursery:
            url = await nursery.start(serve.run, serve.gateway(node.store))

    Cancelling it stops it at once. Setting *stop* stops it gently: no new connections, and those that are answering
    have *grace* seconds to finish. Either way it returns when every connection is closed. Nothing is printed; requests
    are logged to ``sessionctx.serve``. The app receives no lifespan events.

    Args:
        app: the ASGI app, see `gateway`.
        host: the address to listen on; the default is reached from this machine only.
        port: 0 lets the system choose.
        stop: set it for a gentle stop.
        grace: seconds that answers in progress have after *stop*.
        stalled: seconds for which a client may not read a quarter of a MiB before its connection is cut.
        keep_alive: seconds for which a connection may be idle.
        task_status: reports the URL, such as ``http://127.0.0.1:41325``.

    Raises:
        MissingExtra: hypercorn is not installed.
        OSError: the address cannot be listened on.
    """
    require_trio("serve.run")
    config = _configuration(keep_alive)
    listeners = await _listen(host, port)
    server = _Server(logged(app), config, stalled)
    async with trio.open_nursery() as nursery:
        try:
            accepting = await nursery.start(server.accept, listeners, nursery)
            task_status.started(_url(listeners[0]))
            await (trio.Event() if stop is None else stop).wait()
            accepting.cancel()
            with trio.move_on_after(grace):
                await server.drain()
        finally:
            server.close()
        nursery.cancel_scope.cancel()


@attrs.define(eq=False)
class _Server:
    """The connections of one `run`.

    hypercorn's own accept loop is not used: it cannot end while a client does not read (its sends are shielded from
    cancellation), and an error in one connection would end all of them.
    """

    _app: App
    _config: Any
    _stalled: float
    _context: Any = attrs.field(init=False)
    _open: set[_Connection] = attrs.field(factory=set["_Connection"], init=False)
    _emptied: trio.Event = attrs.field(factory=trio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        self._context = _hypercorn("trio.worker_context").WorkerContext(None)

    async def accept(
        self,
        listeners: list[trio.SocketListener],
        nursery: trio.Nursery,
        *,
        task_status: trio.TaskStatus[trio.CancelScope],
    ) -> None:
        with trio.CancelScope() as scope:
            task_status.started(scope)
            await trio.serve_listeners(self._handle, listeners, handler_nursery=nursery)

    async def _handle(self, stream: trio.SocketStream) -> None:
        tcp_server = _hypercorn("trio.tcp_server").TCPServer
        app = _hypercorn("app_wrappers").ASGIWrapper(self._app)
        connection = _Connection(stream, self._stalled)
        self._open.add(connection)
        try:
            await tcp_server(app, self._config, self._context, {}, connection)
        except Exception:  # noqa: BLE001 - it ends its own connection only
            logger.exception("a connection failed")
        finally:
            self._open.discard(connection)
            if not self._open:
                self._emptied.set()

    async def drain(self) -> None:
        """Let idle connections go and wait until the others have finished."""
        await self._context.terminated.set()
        while self._open:
            self._emptied = trio.Event()
            await self._emptied.wait()

    def close(self) -> None:
        """Close the sockets, which also ends sends that wait for a client which does not read."""
        for connection in list(self._open):
            connection.socket.close()


@attrs.define(eq=False)
class _Connection:
    """What hypercorn sees of a connection: a stream that does not wait for ever for a client to read."""

    _stream: trio.SocketStream
    _stalled: float

    @property
    def socket(self) -> trio.socket.SocketType:
        return self._stream.socket

    async def send_all(self, data: bytes) -> None:
        for at in range(0, len(data), _SLICE):
            with trio.move_on_after(self._stalled) as patience:
                await self._stream.send_all(memoryview(data)[at : at + _SLICE])
            if patience.cancelled_caught:
                self.socket.close()
                raise trio.BrokenResourceError(f"the client read nothing for {self._stalled} seconds")

    async def receive_some(self, size: int) -> bytes:
        return await self._stream.receive_some(size)

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()


@functools.cache
def _hypercorn(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(f"hypercorn.{name}")
    except ImportError:
        raise MissingExtra("serving needs hypercorn: pip install 'sessionctx[serve]'") from None


async def _listen(host: str, port: int) -> list[trio.SocketListener]:
    try:
        return await trio.open_tcp_listeners(port, host=host)
    except OSError as error:
        raise OSError(error.errno, f"cannot listen on {host}:{port}: {error.strerror or error}") from error


def _configuration(keep_alive: float) -> Any:
    config = _hypercorn("config").Config()
    config.errorlog = logging.getLogger("sessionctx.serve.hypercorn")
    config.accesslog = None
    config.keep_alive_timeout = keep_alive
    config.include_server_header = False
    return config


def _url(listener: trio.SocketListener) -> str:
    host, port = listener.socket.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
