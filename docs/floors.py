"""Draw the floors as they are: how big each is, and which imports which. ``python docs/floors.py`` writes the picture.

``python docs/floors.py --check`` says whether the picture is still true, which the tests want. Sizes may move by a
quarter before it is not, so that it need not be drawn anew with each change; a floor or an import between floors that
is new or gone makes it stale at once.

The order of the floors is that of the contract in ``.importlinter``, and what each is, its docstring says. Only the
standard library is needed.
"""

from __future__ import annotations

import ast
import configparser
import json
import re
import sys
from collections.abc import Iterable, Iterator
from html import escape
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "sessionctx"
PICTURE = ROOT / "docs" / "explanation" / "floors.svg"

MOVES = 0.25
"""By which share of it a size may differ from the picture."""
FEW = 100
"""Lines, and a tenth as many modules, that make no difference in any floor."""

Figures = dict[str, dict[str, Any]]
"""Of each floor, from the top: "lines", "modules", what it "is", and the floors that it "imports"."""


# --- what there is


def floors() -> list[str]:
    """Return the names of the floors, from the top, as the contract has them."""
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")
    layers = contracts["importlinter:contract:floors"]["layers"]
    return [name for name in re.split(r"[\s|:]+", layers.strip()) if not name.startswith("(")]


def measure() -> Figures:
    """Look at the sources."""
    names, homes = floors(), front_door()
    figures: Figures = {}
    for name in names:
        folder = PACKAGE / name
        sources = sorted(folder.rglob("*.py")) if folder.is_dir() else [PACKAGE / f"{name}.py"]
        trees = [ast.parse(source.read_text()) for source in sources]
        found = {homes.get(each, each) for tree in trees for each in imported(tree)} & set(names)
        figures[name] = {
            "lines": sum(len(source.read_text().splitlines()) for source in sources),
            "modules": len(sources),
            "is": clause(ast.get_docstring(trees[0]) or ""),  # of its __init__, which is the first
            "imports": [other for other in names if other in found and other != name],
        }
    return figures


def imported(tree: ast.AST) -> Iterator[str]:
    """Give the first name below the package in each import of it, wherever that stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "sessionctx":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sessionctx."):
            yield str(node.module).split(".")[1]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("sessionctx."))


def front_door() -> dict[str, str]:
    """Return on which floor each name of the front door lives."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    found = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
    return {
        alias.name: str(node.module).split(".")[1]
        for node in found
        for alias in node.names
        if str(node.module).startswith("sessionctx.")
    }


def clause(docstring: str) -> str:
    """Return what a docstring says first; "The session" and the like say too little, and what follows is taken, too."""
    line = " ".join(docstring.partition("\n\n")[0].split())
    first = re.split(r"[:;.](?:\s|$)", line)[0]
    if 0 < len(first.split()) <= 2:
        first += ":" + re.split(r"[,:;.](?:\s|$)| that ", line[len(first) + 1 :])[0]
    return first.replace("`", "")


# --- what the picture says


def drawn() -> Figures:
    """Read the figures which the picture was made of."""
    if not PICTURE.exists():
        return {}
    found = re.search(r"<metadata>(.*?)</metadata>", PICTURE.read_text(), re.DOTALL)
    return json.loads(found[1]) if found else {}


def differences(old: Figures, new: Figures) -> list[str]:
    """Say in what the picture is not true any more."""
    if list(old) != list(new):
        return [f"the floors are {', '.join(new)}; drawn are {', '.join(old) or 'none'}"]
    told: list[str] = []
    for name, now in new.items():
        was = old[name]
        told += [f"{name} imports {other}" for other in now["imports"] if other not in was["imports"]]
        told += [f"{name} imports {other} no more" for other in was["imports"] if other not in now["imports"]]
        for what, few in (("lines", FEW), ("modules", FEW // 10)):
            if abs(now[what] - was[what]) > max(few, MOVES * was[what]):
                told.append(f"{name} has {now[what]} {what}; drawn are {was[what]}")
    return told


# --- the picture

LEFT, TOP, STEP, CELL, BAR = 16, 88, 38, 22, 170
TABLE = 486
"""Where the table of imports begins."""
STYLE = """
  text { font: 13px ui-sans-serif, system-ui, sans-serif; fill: #1f2937 }
  .name { font-weight: 600 } .small { font-size: 11px; fill: #6b7280 } .paper { fill: #ffffff; stroke: #e5e7eb }
  .way { stroke: #2563eb; stroke-width: 1.5; fill: none } .back { stroke-dasharray: 4 3 } .tip { fill: #2563eb }
  .bar { fill: #93c5fd } .line { stroke: #e5e7eb } .self { fill: #e5e7eb } .dot { fill: #2563eb }
"""


def picture(figures: Figures) -> str:
    """Draw it: a bar for each floor, as long as its code, and a dot in its row for each floor that it imports."""
    names = list(figures)
    width, height = TABLE + CELL * len(names) + 56, TOP + STEP * len(names) + 34
    most = max(each["lines"] for each in figures.values())
    words = "a dot: this floor imports the one named above"
    return sheet(
        "The floors of sessionctx: how big each is, and which imports which",
        width,
        height,
        [
            "<metadata>{" + ",\n".join(f'"{name}": {json.dumps(own)}' for name, own in figures.items()),
            "}</metadata>",
            *(head(name, TABLE + CELL * column + CELL // 2 + 4) for column, name in enumerate(names)),
            *(part for row, name in enumerate(names) for part in draw_floor(name, row, figures, most)),
            f'<text class="small" x="{TABLE}" y="{height - 14}">{words}</text>',
        ],
    )


def sheet(title: str, width: int, height: int, parts: Iterable[str]) -> str:
    """Return the picture made of *parts*, on white paper: it is looked at in the dark, too."""
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">',
            f"<title>{title}</title>",
            f"<style>{STYLE}</style>",
            f'<rect class="paper" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8"/>',
            *parts,
            "</svg>\n",
        ]
    )


def head(name: str, x: int) -> str:
    """Draw the name above a column."""
    return f'<text class="small" transform="translate({x} {TOP - 10}) rotate(-50)">{name}</text>'


def draw_floor(name: str, row: int, figures: Figures, most: int) -> Iterator[str]:
    """Draw one row."""
    own, names, y = figures[name], list(figures), TOP + STEP * row
    middle = y + STEP // 2
    bar = BAR * own["lines"] // most
    size = f"{rounded(own['lines'])} lines" + (f", {own['modules']} modules" if own["modules"] > 1 else "")
    yield f'<line class="line" x1="{LEFT}" x2="{TABLE + CELL * len(names)}" y1="{y}" y2="{y}"/>'
    yield f'<text class="name" x="{LEFT}" y="{middle - 2}">{name}</text>'
    yield f'<text class="small" x="{LEFT}" y="{middle + 13}">{escape(own["is"])}</text>'
    yield f'<rect class="bar" x="{TABLE - BAR - 16}" y="{y + 8}" width="{bar}" height="9" rx="2"/>'
    yield f'<text class="small" x="{TABLE - BAR - 16}" y="{middle + 13}">{size}</text>'
    for column, other in enumerate(names):
        x = TABLE + CELL * column + CELL // 2
        if other == name:
            yield f'<rect class="self" x="{x - 8}" y="{middle - 8}" width="16" height="16" rx="3"/>'
        elif other in own["imports"]:
            yield f'<circle class="dot" cx="{x}" cy="{middle}" r="5"><title>{name} imports {other}</title></circle>'


def rounded(lines: int) -> str:
    """Return it with two digits that count: more of them change daily."""
    return f"{float(f'{lines:.2g}'):,.0f}"


def main() -> int:
    """Write the picture or, with ``--check``, only look."""
    new = measure()
    if "--check" not in sys.argv[1:]:
        PICTURE.write_text(picture(new))
        return 0
    told = differences(drawn(), new)
    for each in told:
        print(each)
    if told:
        print(f"{PICTURE.name} is stale: python docs/floors.py draws it anew")
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main())
