"""The seam between callers and layers: what every public async function of sessionctx does first."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from sessionctx.session.trio_only import require_trio
from sessionctx.session.verbs import begin

P = ParamSpec("P")
T = TypeVar("T")


def operation(fn: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Make *fn* a public operation: it joins the caller's session, or has one for its own length.

    That has the ``default_limits`` of the object whose method it is, or of the first argument; if there are any.

    Layers of other libraries may use it, too; nested operations share the outermost one's session.

    Raises (when awaited):
        NotInTrio: it is awaited outside a trio run, for example under asyncio.
    """

    @functools.wraps(fn)
    async def run(*args: P.args, **kwargs: P.kwargs) -> T:
        require_trio(fn.__qualname__)
        with begin(default_limits=getattr(args[0], "default_limits", None) if args else None):
            return await fn(*args, **kwargs)

    return run
