"""One log line per request, and one for what went wrong in it; nothing else a server says leaves the process."""

from __future__ import annotations

import logging
import time

import attrs

from sessionctx.errors import SessionctxError
from sessionctx.serve.asgi import App, Message, Receive, Scope, Send

logger = logging.getLogger("sessionctx.serve")
logger.addHandler(logging.NullHandler())


def logged(app: App) -> App:
    """*app*, with each request logged to ``sessionctx.serve`` at level INFO.

    An error that ends a response in the middle is logged, at level WARNING if it is one that we raise on purpose, and
    goes no further: a server closes the connection of a response that was not completed, which is how its reader
    notices.
    """

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        tally = _Tally(send)
        told = tally.send if logger.isEnabledFor(logging.INFO) else send
        begun = time.monotonic()
        try:
            await app(scope, receive, told)
        except (SessionctxError, ConnectionError) as error:
            logger.warning("%s %s was cut short: %s", scope["method"], scope["path"], error)
        except Exception:
            logger.exception("%s %s failed", scope["method"], scope["path"])
        finally:
            spent = time.monotonic() - begun
            logger.info("%s %s: %s, %d bytes, %.3f s", scope["method"], scope["path"], tally.status, tally.bytes, spent)

    return run


@attrs.define(eq=False)
class _Tally:
    """What passes through an ASGI ``send``."""

    _send: Send
    status: int | None = None
    bytes: int = 0

    async def send(self, message: Message) -> None:
        status, data = message.get("status"), message.get("body")
        if isinstance(status, int):
            self.status = status
        if isinstance(data, bytes):
            self.bytes += len(data)
        await self._send(message)
