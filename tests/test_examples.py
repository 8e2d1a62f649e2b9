"""Every program we show to users runs: the examples, the tutorial, the README; against real gateways on loopback."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import attrs
import click
import pytest
import trio

from sessionctx import CID, Node, serve
from sessionctx.cli.app import root
from sessionctx.cli.exits import MEANINGS

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = {path.name: path for path in sorted((ROOT / "examples").glob("*.py"))}
PAGES = sorted((ROOT / "docs").rglob("*.md"))
TUTORIAL = ROOT / "docs" / "tutorial" / "first-fetch.md"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """An empty folder far from the sources, where programs run."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return folder


@attrs.frozen
class Shared:
    """A folder, its name, and where it is served."""

    folder: Path
    cid: CID
    urls: list[str]


@pytest.fixture
async def shared(tmp_path: Path, nursery: trio.Nursery) -> AsyncIterator[Shared]:
    folder = tmp_path / "photos"
    (folder / "deep er").mkdir(parents=True)
    (folder / "a.txt").write_text("one")
    (folder / "deep er" / "b.bin").write_bytes(bytes(range(256)) * 10_000)
    async with Node.open() as node:
        added = await node.files.add(folder)
        urls = [await nursery.start(serve.run, serve.gateway(node.store)) for _ in range(2)]
        yield Shared(folder, added.cid, urls)


async def run(cwd: Path, *arguments: object) -> str:
    """Run a program as its user would, far from the sources."""
    command = [sys.executable, "-W", "error", *map(str, arguments)]
    done = await trio.run_process(command, capture_stdout=True, cwd=cwd)
    return done.stdout.decode()


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_each_example_is_small_and_tested():
    assert set(EXAMPLES) == {*TAKE_GATEWAYS, *TAKE_A_FOLDER, *READ_A_FILE}
    for name, path in EXAMPLES.items():
        source = path.read_text()
        assert ast.get_docstring(ast.parse(source)), name
        assert len(source.splitlines()) <= 30, name


TAKE_GATEWAYS = ["many_gateways.py", "events.py", "fork.py"]
TAKE_A_FOLDER = ["share_and_fetch.py", "car.py"]
READ_A_FILE = ["seek.py"]


@pytest.mark.parametrize("name", TAKE_GATEWAYS)
async def test_an_example_fetches_from_gateways(name, shared, elsewhere):
    out = await run(elsewhere, EXAMPLES[name], shared.cid, *shared.urls)
    assert out
    assert tree(elsewhere / "fetched") == tree(shared.folder)


@pytest.mark.parametrize("name", TAKE_A_FOLDER)
async def test_an_example_shares_a_folder(name, shared, elsewhere):
    out = await run(elsewhere, EXAMPLES[name], shared.folder)
    assert str(shared.cid) in out
    assert tree(elsewhere / "fetched") == tree(shared.folder)


@pytest.mark.parametrize("name", READ_A_FILE)
async def test_an_example_reads_a_file(name, shared, elsewhere):
    out = await run(elsewhere, EXAMPLES[name], f"{shared.cid}/deep er/b.bin", *shared.urls)
    first, last, count = out.splitlines()
    assert first.endswith(bytes(range(8)).hex())
    assert last.endswith(bytes(range(248, 256)).hex())
    assert re.fullmatch(r"2560000 bytes, of which \d+ were fetched", count)


# --- pages


def programs(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def shown(page: Path) -> list[str]:
    """What a page says that its programs print."""
    return re.findall(r"^```text\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("step", range(len(programs(TUTORIAL))))
async def test_the_tutorial_runs(step, elsewhere):
    """Each of its programs prints as many lines as the page says, and its last line to the letter."""
    program, output = programs(TUTORIAL)[step], shown(TUTORIAL)[step]
    (elsewhere / "first_fetch.py").write_text(program)
    out = await run(elsewhere, "first_fetch.py")
    assert out.splitlines()[-1] == output.splitlines()[-1]
    assert len(out.splitlines()) == len(output.splitlines())


async def test_the_ten_lines_of_the_readme_run(shared, elsewhere):
    (program,) = programs(ROOT / "README.md")
    assert len([line for line in program.splitlines() if line]) <= 10
    for placeholder, real in zip(["https://a.example", "https://b.example"], shared.urls, strict=True):
        program = program.replace(placeholder, real)
    (elsewhere / "ten_lines.py").write_text(program.replace("bafybei.../photos", str(shared.cid)))
    await run(elsewhere, "ten_lines.py")
    assert tree(elsewhere / "photos") == tree(shared.folder)


@pytest.mark.parametrize("page", [pytest.param(page, id=page.relative_to(ROOT).as_posix()) for page in PAGES])
def test_python_on_a_page_is_python(page):
    """Guides show parts of programs; they have at least to compile."""
    for program in programs(page):
        compile(program, str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def test_the_laws_name_tests_that_exist():
    """Each law on the page says which tests prove it, and they are there."""
    laws = (ROOT / "docs" / "reference" / "laws.md").read_text().split("\n## ")[1:]
    assert [law.partition(".")[0] for law in laws] == [str(number) for number in range(1, 16)]
    for law in laws:
        proofs = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", law)
        assert proofs, law.splitlines()[0]
        for path, name in proofs:
            assert f"def {name}(" in (ROOT / path).read_text() or f"class {name}(" in (ROOT / path).read_text(), name


def test_the_page_of_the_command_line_is_true():
    """It names every verb, and its table of exit codes is the one that the program uses."""
    page = (ROOT / "docs" / "reference" / "cli.md").read_text()
    table = re.findall(r"^\| (\d+) \| (.*) \|$", page, re.MULTILINE)
    assert {int(code): meaning for code, meaning in table} == {code.value: MEANINGS[code] for code in MEANINGS}
    assert set(re.findall(r"^\| `sessionctx (\w+) ", page, re.MULTILINE)) == set(
        root.list_commands(click.Context(root))
    )
