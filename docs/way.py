"""Draw the way of one fetch: from ``node.dag.get`` to the peer and back. ``python docs/way.py`` writes the picture.

``python docs/way.py --check`` says whether the picture is what this table says, and whether every function in it still
is where the table says. Whether they still call each other like that, a person has to know: change the table with them.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from html import escape
from typing import NamedTuple

from floors import LEFT, PACKAGE, ROOT, STEP, TOP, head, sheet

PICTURE = ROOT / "docs" / "explanation" / "way.svg"


class Step(NamedTuple):
    """Somebody calls a function of somebody else or, without *function*, comes back."""

    caller: str
    called: str
    what: str
    """In a few words."""
    function: str = ""
    """``path/in/the/package.py name`` or ``... Class.method``."""


WHO = ["you", "dag", "blocks", "session", "fetch", "peers", "transports", "content"]
"""Those who take part, and in what order they stand."""

WAY = [
    Step("you", "session", "node.dag.get(cid) joins your session, or begins one", "session/operation.py operation"),
    Step("session", "dag", "inside of that it runs", "dag/dag.py Dag.get"),
    Step("dag", "dag", "where does the path lead?", "dag/path.py resolve"),
    Step("dag", "blocks", "the block, please", "blocks/network.py NetworkBlocks.get"),
    Step("blocks", "blocks", "is it kept here? Then that is all", "blocks/disk.py DiskBlockstore.get"),
    Step("blocks", "session", "one fetch per name, and who comes first leads", "session/flights.py share"),
    Step("session", "blocks", "the leader's turn: has it come meanwhile?", "blocks/network.py NetworkBlocks._load"),
    Step("blocks", "fetch", "a job, until it is done or hopeless", "fetch/run.py Fetcher.get"),
    Step("fetch", "fetch", "who shall be asked for what? Pure", "fetch/plan.py assign"),
    Step("fetch", "session", "may we? Counted against the limits", "session/account.py Account.request_begins"),
    Step("fetch", "transports", "one request to one peer, in a task", "transports/gateway.py GatewayTransport.block"),
    Step("transports", "transports", "over a connection kept, or a new one", "transports/http/door.py HTTP.get"),
    Step("transports", "fetch", "bytes, which nobody has verified"),
    Step("fetch", "content", "are they what the name says?", "content/block.py verify"),
    Step("fetch", "peers", "how soon, how fast, a hit; or a lie: banned", "peers/ask.py Ask.found"),
    Step("fetch", "fetch", "wake all who wait for it, leave other requests", "fetch/run.py Fetcher.give"),
    Step("fetch", "blocks", "verified bytes"),
    Step("blocks", "blocks", "keep them", "blocks/disk.py DiskBlockstore.cache"),
    Step("blocks", "session", "the same bytes for all who joined the flight"),
    Step("session", "blocks", "the leader, and they, go on"),
    Step("blocks", "dag", "the block"),
    Step("dag", "content", "what is in it?", "content/codecs.py decode"),
    Step("dag", "you", "the value"),
]

LINES = 380
"""Where the first lifeline stands."""
APART = 56


def missing() -> list[str]:
    """Return the functions of the table that are not where it says."""
    return [step.function for step in WAY if step.function and not exists(*step.function.split())]


def exists(path: str, name: str) -> bool:
    """Whether the module at *path* defines a function, class or method of this name."""
    source = PACKAGE / path
    body: list[ast.stmt] = ast.parse(source.read_text()).body if source.exists() else []
    for part in name.split("."):
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        found = [node for node in body if isinstance(node, kinds) and node.name == part]
        if not found:
            return False
        body = found[-1].body
    return True


def picture() -> str:
    """Draw it: a row for each step, with an arrow from who calls to who is called; dashed on the way back."""
    width, height = LINES + APART * len(WHO) + 20, TOP + STEP * len(WAY) + 20
    lines = [
        f'<line class="line" x1="{place(who)}" x2="{place(who)}" y1="{TOP}" y2="{height - 14}"/>{head(who, place(who))}'
        for who in WHO
    ]
    rows = [part for row, step in enumerate(WAY) for part in draw(step, TOP + STEP * row + STEP // 2)]
    return sheet("The way of one fetch through the floors, and back", width, height, [*lines, *rows])


def place(who: str) -> int:
    """Return where the lifeline of *who* stands."""
    return LINES + APART * WHO.index(who)


def draw(step: Step, y: int) -> Iterator[str]:
    """Draw one row."""
    a, b = place(step.caller), place(step.called)
    yield f'<text x="{LEFT}" y="{y - 1}">{escape(step.what)}</text>'
    yield f'<text class="small" x="{LEFT}" y="{y + 13}">{step.function}</text>'
    kind = "way" if step.function else "way back"
    if a == b:
        yield f'<path class="{kind}" d="M{a} {y - 6} h18 v12 h-12"/>'
        yield f'<path class="tip" d="M{a + 1} {y + 6} l7 -4 v8 z"/>'
    else:
        toward = 1 if b > a else -1
        yield f'<path class="{kind}" d="M{a} {y} H{b - 6 * toward}"/>'
        yield f'<path class="tip" d="M{b - toward} {y} l{-7 * toward} -4 v8 z"/>'


def main() -> int:
    """Write the picture or, with ``--check``, only look. What is missing is told in both cases."""
    lost = missing()
    for function in lost:
        print(f"there is no {function}; mend the table in docs/way.py")
    if "--check" not in sys.argv[1:]:
        PICTURE.write_text(picture())
    elif not PICTURE.exists() or PICTURE.read_text() != picture():
        print(f"{PICTURE.name} is stale: python docs/way.py draws it anew")
        return 1
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
