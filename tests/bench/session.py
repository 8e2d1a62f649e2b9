"""What the spine costs: it is on every path, so it must cost nothing to speak of."""

from __future__ import annotations

from tests.bench.harness import bench, measure, measure_async


@bench("session.current")
def current(quick):
    from sessionctx import session

    with session.begin():
        yield measure("session.current()", "current()", {"current": session.current}, unit="ns", limit=150, quick=quick)


@bench("session.begin")
def begin(quick):
    from sessionctx import session

    names = {"begin": session.begin, "fork": session.fork, "leave": session.leave, "use": session.use}
    yield measure("with session.begin(), fresh", "with begin(): pass", names, unit="us", quick=quick)
    with session.begin() as s:
        names["s"] = s
        yield measure("with session.begin(), joining", "with begin(): pass", names, unit="us", limit=3, quick=quick)
        yield measure("with session.use(s)", "with use(s): pass", names, unit="us", quick=quick)
        yield measure("with session.leave()", "with leave(): pass", names, unit="us", quick=quick)
        yield measure("with session.fork()", "with fork(): pass", names, unit="us", quick=quick)


@bench("session.joining_in_a_run")
def joining_in_a_run(quick):
    """As most callers pay it: in a trio task, where the scope notes which one."""
    from sessionctx import session

    async def joins():
        for _ in range(100):
            with session.begin():
                pass

    async def operation():
        return None

    wrapped = session.operation(operation)
    with session.begin():
        yield measure_async("with session.begin(), joining, in a task", joins, limit=3, quick=quick, per=100)
        yield measure_async("@session.operation, joining", wrapped, quick=quick)


@bench("session.bookkeeping")
def bookkeeping(quick):
    """The tracker's part of one request to a peer: it is asked, bytes arrive, it has answered."""
    from sessionctx import session

    with session.begin() as s:
        text = "account.request_begins(); account.received(262144); account.request_ends()"
        names = {"account": s.account}
        yield measure("account of one request", text, names, unit="us", limit=1, quick=quick)
        with session.fork() as child:
            names = {"account": child.account}
            yield measure("account of one request, in a fork", text, names, unit="us", quick=quick)


@bench("session.wants")
def wants(quick):
    """Around network requests only, never around a local hit: trio's cancel scope is most of it."""
    from sessionctx import session

    async def want():
        with session.begin() as s:
            for _ in range(100):
                with s.want("x"):
                    pass

    async def fetch():
        return 1

    async def share():
        with session.begin() as s:
            for _ in range(100):
                await session.share(s, "x", fetch)

    yield measure_async("with s.want(name)", want, quick=quick, per=100)
    yield measure_async("await session.share(...), uncontended", share, quick=quick, per=100)
