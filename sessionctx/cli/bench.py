"""``sessionctx bench``: what your own peers can do, each alone and all together."""

from __future__ import annotations

import attrs
import click

from sessionctx.cli.exits import Exit, exit_code
from sessionctx.cli.measure import Answers, Flow, answers, flow
from sessionctx.cli.options import Settings, common, parse_amount, settings
from sessionctx.cli.output import printable
from sessionctx.cli.peertable import as_text, human
from sessionctx.cli.reference import Reference, reference
from sessionctx.cli.verb import Result, perform
from sessionctx.transports import Transport, open_transport


def _amount(text: str) -> int:
    amount = parse_amount(text)
    if not amount:
        raise click.BadParameter(f"{text!r} is no amount of bytes; write 16MiB, or 1000000")
    return amount


@click.command("bench")
@click.argument("wanted", metavar="CID[/PATH]", type=reference)
@click.option("--peer", multiple=True, required=True, metavar="URL", help="A gateway to measure. Repeatable.")
@click.option(
    "--bytes",
    "amount",
    type=_amount,
    default="16MiB",
    show_default=True,
    metavar="N",
    help="Stop each measurement after about so many bytes.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=10.0,
    show_default=True,
    help="Stop each measurement after so many seconds.",
)
@common
def command(wanted: Reference, peer: tuple[str, ...], amount: int, seconds: float) -> int:
    """Measure gateways with something that they have: each alone, then all of them together.

    Of each: whether it serves a single block and a CAR, and whether the bytes were right; how soon the first byte
    comes; how many bytes a second. Of all together: the same, and what was received twice. Every byte is verified;
    nothing is kept, and nothing that the store has is used. Something as large as --bytes tells most.
    """
    chosen = settings()
    return perform("bench", chosen, lambda: _bench(chosen, wanted, peer, amount, seconds))


@attrs.frozen
class Line:
    """One line of the table."""

    name: str
    flow: Flow
    answers: Answers | None = None

    @property
    def trouble(self) -> str | None:
        """What went wrong first, if anything did."""
        if self.answers is not None and self.answers.trouble is not None:
            return self.answers.trouble
        return None if self.flow.error is None else f"{self.name}: {self.flow.error}"

    def fields(self) -> dict[str, object]:
        """The figures, for JSON; seconds, and bytes per second."""
        known: dict[str, object] = {}
        if self.answers is not None:
            known = {"url": self.name, "raw": self.answers.raw, "car": self.answers.car}
        return known | {
            "first_byte": self.first_byte,
            "throughput": self.flow.throughput,
            "duplicates": self.flow.duplicates,
            "bytes": self.flow.bytes,
            "requests": self.flow.requests,
            "seconds": self.flow.seconds,
            "trouble": self.trouble,
        }

    @property
    def first_byte(self) -> float | None:
        """Of one peer, its answer to a single request; of all together, the first block that is there."""
        return self.flow.first_byte if self.answers is None else self.answers.first_byte


async def _bench(chosen: Settings, wanted: Reference, peers: tuple[str, ...], amount: int, seconds: float) -> Result:
    output = chosen.output
    transports = list({each.url: each for each in map(open_transport, peers)}.values())
    lines: list[Line] = []
    for transport in transports:
        output.note(f"Measuring {printable(transport.public)}.")
        lines.append(await _one(transport, wanted, amount, seconds))
        await _tell(chosen, "peer", lines[-1])
    output.note("Measuring all together.")
    together = await flow([each.url for each in transports], wanted, amount=amount, seconds=seconds)
    lines.append(Line("all together", together))
    await _tell(chosen, "together", lines[-1])
    if not output.json:
        await output.data("table", table(lines))
    return Result({"peers": len(transports)}, _exit(together))


async def _one(transport: Transport, wanted: Reference, amount: int, seconds: float) -> Line:
    answered = await answers(transport, wanted.cid, seconds=seconds)
    return Line(transport.public, await flow([transport.url], wanted, amount=amount, seconds=seconds), answered)


async def _tell(chosen: Settings, kind: str, line: Line) -> None:
    if line.trouble is not None:
        chosen.output.complain(line.trouble)
    if chosen.output.json:
        await chosen.output.data(kind, "", **line.fields())
        await chosen.output.flush()


def _exit(together: Flow) -> Exit:
    if together.error is None:
        return Exit.DONE
    return Exit.TEMPORARY if isinstance(together.error, TimeoutError) else exit_code(together.error)


def table(lines: list[Line]) -> str:
    """The table as plain text."""
    from rich import box
    from rich.table import Table

    built = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    built.add_column("peer", overflow="fold")
    for name in ("raw", "CAR"):
        built.add_column(name)
    for name in ("first byte", "throughput", "duplicates", "requests"):
        built.add_column(name, justify="right")
    for line in lines:
        built.add_row(*_cells(line))
    return as_text(built)


def _cells(line: Line) -> tuple[str, ...]:
    served = ("", "") if line.answers is None else (line.answers.raw, line.answers.car)
    first, rate = line.first_byte, line.flow.throughput
    return (
        printable(line.name),
        *served,
        "-" if first is None else f"{first * 1000:.1f} ms",
        "-" if rate is None else f"{human(rate)}/s",
        f"{line.flow.duplicates:.1%}",
        str(line.flow.requests),
    )
