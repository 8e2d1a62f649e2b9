"""The object service as an ASGI app: which request is answered by what, and by whose leave."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from sessionctx.errors import InvalidObject, SessionctxError
from sessionctx.objects import Permission
from sessionctx.serve import asgi
from sessionctx.serve.asgi import App, Receive, Scope, Send
from sessionctx.serve.log import logger
from sessionctx.serve.objects import batch, single, uploads
from sessionctx.serve.objects.call import Call, Problem, read
from sessionctx.serve.objects.exchange import Exchange, Gone
from sessionctx.serve.objects.service import Service, allow

Route: TypeAlias = Callable[[Service, Call, Exchange], Awaitable[None]]

_READ: Final[Permission] = "object.read"
_WRITE: Final[Permission] = "object.write"
_DELETE: Final[Permission] = "object.delete"

_ROUTES: Final[dict[tuple[str, str], tuple[Route, Permission, bool | None]]] = {
    ("objects", "POST"): (single.insert, _WRITE, False),
    ("objects", "PUT"): (single.insert, _WRITE, True),
    ("objects", "GET"): (single.read, _READ, True),
    ("objects", "HEAD"): (single.read, _READ, True),
    ("objects", "DELETE"): (single.delete, _DELETE, True),
    ("objects", "PATCH"): (single.extend, _WRITE, True),
    ("objects:multipart", "POST"): (uploads.initiate, _WRITE, None),
    ("objects:multipart", "PUT"): (uploads.initiate, _WRITE, None),
    ("objects:multipart", "DELETE"): (uploads.abort, _WRITE, True),
    ("objects:multipart:parts", "PUT"): (uploads.put_part, _WRITE, True),
    ("objects:multipart:parts", "GET"): (uploads.list_parts, _WRITE, True),
    ("objects:multipart:complete", "POST"): (uploads.complete, _WRITE, True),
}
"""By resource and method: what answers, which permission it takes, and whether it needs a key (None: as one likes)."""
_STATES: Final = ("/health", "/ready", "/keda")
_SESSIONS: Final[dict[str, Route]] = {"PUT": uploads.put_chunk, "DELETE": uploads.cancel}


def objects_app(service: Service, otherwise: App | None = None) -> App:
    """Return the ASGI app that serves *service* below ``/v1``; also ``/health``, and ``/ready``, which says no while it
    drains. What is not below these goes to *otherwise*, if that is given.
    """

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if otherwise is not None and not (scope["type"] == "http" and _is_ours(str(scope["path"]))):
            await otherwise(scope, receive, send)
        elif scope["type"] == "lifespan":
            await asgi.lifespan(receive, send)
        elif scope["type"] == "http":
            await _answer(service, Exchange(scope, receive, send))

    return app


def _is_ours(path: str) -> bool:
    return path.startswith("/v1/") or path in _STATES


async def _answer(service: Service, exchange: Exchange) -> None:
    try:
        await _route(service, exchange)
    except Gone:
        pass
    except Problem as problem:
        if exchange.begun:
            raise
        await exchange.refuse(problem)
    except SessionctxError as error:
        logger.warning("%s: %s", exchange.scope["path"], error)
        if exchange.begun:
            raise
        invalid = isinstance(error, InvalidObject)
        await exchange.refuse(
            Problem(400, str(error)) if invalid else Problem(500, "the objects cannot be reached now")
        )


async def _route(service: Service, exchange: Exchange) -> None:
    path = exchange.scope["path"]
    if path in ("/health", "/keda"):
        await exchange.say(200, {"status": "ok"})
    elif path == "/ready":
        await exchange.say(503 if service.draining else 200, {"status": "draining" if service.draining else "ok"})
    else:
        call = read(exchange.scope)
        route, permission = _chosen(call)
        if permission is not None:
            allow(service.grant(call), call.place, permission)
        await route(service, call, exchange)


def _chosen(call: Call) -> tuple[Route, Permission | None]:
    """Return what answers, and which permission it takes; None where each of its operations is looked at."""
    if call.resource == "objects:batch":
        if call.method != "POST" or call.key:
            raise Problem(
                405 if call.method != "POST" else 404, "a batch is sent with POST, and to no key", Allow="POST"
            )
        return batch.run, None
    if call.resource == "objects" and call.asked("session") is not None and call.method in _SESSIONS:
        return _SESSIONS[call.method], _WRITE
    if call.resource == "objects" and call.asked("upload_type") is not None and call.method in ("POST", "PUT"):
        if call.asked("upload_type") != "resumable":
            raise Problem(400, "upload_type can be resumable only")
        return uploads.open_session, _WRITE
    found = _ROUTES.get((call.resource, call.method))
    if found is None:
        allowed = ", ".join(method for resource, method in _ROUTES if resource == call.resource)
        raise Problem(405, f"{call.method} is not served here", Allow=allowed)
    route, permission, keyed = found
    if keyed is not None and keyed != bool(call.key):
        raise Problem(400 if keyed else 405, "the path is to name a key" if keyed else "with a key, it is PUT")
    return route, permission
