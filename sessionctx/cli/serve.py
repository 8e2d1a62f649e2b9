"""``sessionctx serve``: the store as a gateway."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import ExitStack, asynccontextmanager, nullcontext
from pathlib import Path

import attrs
import click
import trio

from sessionctx import serve, session
from sessionctx.cli.keys import public_key
from sessionctx.cli.options import Settings, address, bounded, common, routed, settings
from sessionctx.cli.verb import perform
from sessionctx.cli.workers import Team
from sessionctx.objects import KnownKey, Verifier, open_shelf
from sessionctx.serve import objects as keyed
from sessionctx.share import BlobShare
from sessionctx.testing import faults


@click.command("serve")
@click.option(
    "--listen",
    type=address,
    metavar="HOST:PORT",
    default="127.0.0.1:0",
    show_default=True,
    help="Where to listen; port 0 lets the system choose. Other hosts than 127.0.0.1 open it to the network.",
)
@click.option("--peer", multiple=True, metavar="URL", help="A gateway to fetch from what is missing. Repeatable.")
@click.option("--trustless", is_flag=True, help="Serve only what readers verify: raw blocks and CARs.")
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    metavar="N",
    default=1,
    show_default=True,
    help="Processes that serve; as many as there are cores to spare.",
)
@click.option(
    "--objects",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Serve keyed objects, too: they are kept there.",
)
@click.option(
    "--objects-key",
    "keys",
    multiple=True,
    type=public_key,
    metavar="KID=PEM-FILE",
    help="Trust tokens of this Ed25519 key. Without any, objects are open to all, and to this machine only.",
)
@routed
@bounded
@click.option("--inherit", type=int, multiple=True, hidden=True, help="Listen on this file descriptor.")
@click.option(
    "--fault", multiple=True, hidden=True, help="Misbehave: slow:3MiB, fail:3, busy:2, lie, stall:N, truncate:N."
)
@click.option("--while-stdin-is-open", "leashed", is_flag=True, hidden=True, help="End when stdin is closed.")
@common
def command(
    listen: tuple[str, int],
    peer: tuple[str, ...],
    fault: tuple[str, ...],
    *,
    workers: int,
    inherit: tuple[int, ...],
    trustless: bool,
    leashed: bool,
    objects: Path | None,
    keys: tuple[tuple[str, KnownKey], ...],
) -> int:
    """Serve the store as a gateway over HTTP, and print its URL: /ipfs/CID/PATH for browsers and other clients.

    What was shared with "sessionctx share" is at /blobs/ID. It answers from the store alone, unless peers or routers
    are given. Ctrl-C stops it at once; SIGTERM lets answers in progress finish for three seconds.
    """
    chosen, stop = settings(), trio.Event()
    try:
        wrappers = [faults.parse(spec) for spec in fault]
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--fault") from None
    if workers > 1 and sys.platform == "win32":
        raise click.BadParameter("processes cannot share a socket here; leave it at 1", param_hint="--workers")

    shelf = None if objects is None else _Shelf(objects, dict(keys))
    if shelf is not None and workers > 1:
        raise click.BadParameter("objects are served by one process", param_hint="--workers")
    if shelf is not None and not keys and not _is_loopback(listen[0]):
        raise click.BadParameter(
            "objects without --objects-key are open to all: listen on 127.0.0.1, or name a key", param_hint="--listen"
        )

    async def work() -> None:
        async with trio.open_nursery() as nursery:
            if leashed:
                nursery.start_soon(_with_stdin, stop.set if inherit else nursery.cancel_scope.cancel)
            socks = [serve.inherited(number) for number in inherit] or await serve.listen(*listen)
            with ExitStack() as stack:
                for sock in socks:
                    stack.enter_context(sock)
                team = Team(socks, workers, _words(chosen, peer, fault, trustless=trustless), stop)
                await _serve(chosen, team, peer, wrappers, shelf, trustless=trustless)
            nursery.cancel_scope.cancel()

    return perform("serve", chosen, work, on_term=stop.set)


async def _serve(
    chosen: Settings,
    team: Team,
    peer: tuple[str, ...],
    wrappers: list[faults.Wrapper],
    shelf: _Shelf | None,
    *,
    trustless: bool,
) -> None:
    with session.begin(peers=peer, name="serve"):  # one for all requests: what is learnt of peers stays known
        async with (
            chosen.open_node() as node,
            BlobShare.open(chosen.storage_url()) as share,
            nullcontext() if shelf is None else shelf.opened(team.stop) as service,
            trio.open_nursery() as nursery,
        ):
            fetches = bool(peer or chosen.routers)
            ahead = 32 if fetches or chosen.store_url() else 4
            gateway = serve.gateway(node.blocks if fetches else node.store, ahead=ahead, trustless=trustless)
            app = serve.blobs(share, gateway)
            if service is not None:
                app = keyed.objects_app(service, app)
            for wrap in wrappers:
                app = wrap(app)
            shared = [sock.dup() for sock in team.socks]
            url = await nursery.start(functools.partial(serve.run, app, socks=shared, stop=team.stop))
            nursery.start_soon(team.run)  # the store is there now
            await chosen.output.data("listening", url, url=url)
            await chosen.output.flush()
            if service is not None and service.verifier is None:
                chosen.output.note("Objects are open to everybody on this machine: there is no --objects-key.")
            chosen.output.note("Stop with Ctrl-C.")


@attrs.frozen
class _Shelf:
    """Where keyed objects are kept, and whose tokens are trusted."""

    folder: Path
    keys: dict[str, KnownKey]

    @asynccontextmanager
    async def opened(self, stop: trio.Event) -> AsyncGenerator[keyed.Service]:
        """Lend the service over the shelf, which is swept meanwhile; when it is to *stop*, it says so."""
        async with open_shelf(self.folder) as shelf, trio.open_nursery() as nursery:
            service = keyed.Service(shelf, Verifier(self.keys) if self.keys else None)
            nursery.start_soon(shelf.keep_swept)
            nursery.start_soon(_drain, service, stop)
            yield service
            nursery.cancel_scope.cancel()


async def _drain(service: keyed.Service, stop: trio.Event) -> None:
    await stop.wait()
    service.draining = True


def _is_loopback(host: str) -> bool:
    return host in {"localhost", "::1"} or host.startswith("127.")


def _words(chosen: Settings, peer: tuple[str, ...], fault: tuple[str, ...], *, trustless: bool) -> list[str]:
    """The command line of another process that serves the same."""
    several = {"--peer": peer, "--router": chosen.routers, "--fault": fault}
    words = [word for name, values in several.items() for value in values for word in (name, value)]
    bound = [] if chosen.max_bytes is None else ["--max-bytes", str(chosen.max_bytes)]
    flags = [*bound, *["--trustless"] * trustless, *["-v"] * chosen.output.verbose]
    cache = [] if chosen.cache is None else ["--cache", os.fspath(chosen.cache)]
    return ["serve", "--quiet", "--store", chosen.store_place(), *cache, *words, *flags]


async def _with_stdin(end: Callable[[], None]) -> None:
    while await trio.to_thread.run_sync(os.read, 0, 4096, abandon_on_cancel=True):
        pass
    end()
