"""Every program we show to users runs: the examples, the tutorial, the README; against real gateways on loopback."""

from __future__ import annotations

import ast
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from functools import partial
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


async def line_of(stream: trio.abc.ReceiveStream) -> str:
    """Read until a line is there; to the end if it ends before."""
    said = b""
    while not said.endswith(b"\n") and (piece := await stream.receive_some()):
        said += piece
    return said.decode()


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_each_example_is_small_tested_and_listed():
    listed = re.findall(r"^\| `(\w+\.py)` \|", (ROOT / "docs" / "how-to" / "examples.md").read_text(), re.MULTILINE)
    assert sorted(listed) == list(EXAMPLES)
    assert len(EXAMPLES) == 11
    tests = Path(__file__).read_text()
    for name, path in EXAMPLES.items():
        source = path.read_text()
        assert f"python {name}" in (ast.get_docstring(ast.parse(source)) or ""), name
        assert len(source.splitlines()) < 30, name
        assert tests.count(f'"{name}"') >= 1, name


@pytest.mark.parametrize("name", ["fetch.py", "who_served.py"])
async def test_an_example_fetches_from_gateways(name, shared, elsewhere):
    out = await run(elsewhere, EXAMPLES[name], shared.cid, *shared.urls)
    assert tree(elsewhere / "fetched") == tree(shared.folder)
    if name == "fetch.py":
        assert out.endswith("2 files, 2560003 bytes of about 2560218\n2 files are in fetched\n")
    else:
        said = re.findall(r"^(\S+) is good: \d+ of \d+ requests served, (\d+) bytes$", out, re.MULTILINE)
        assert {url for url, _ in said} <= set(shared.urls)
        assert sum(int(size) for _, size in said) > 1_500_000, "two of its three pieces are the same"
        assert re.search(rf"^{said[0][0]} sent baf\w+ after \d+\.\d ms$", out, re.MULTILINE)


async def test_look_inside(shared, elsewhere):
    out = await run(elsewhere, EXAMPLES["look_inside.py"], shared.cid, "a.txt", *shared.urls)
    assert [line.split(maxsplit=2) for line in out.splitlines()] == [
        ["file", "3", "a.txt"],
        ["directory", "0", "deep er"],
        ["one"],
    ]


async def test_publish(shared, elsewhere, nursery):
    """It serves until it is interrupted, and what it served is pinned."""
    command = [sys.executable, "-W", "error", str(EXAMPLES["publish.py"]), str(shared.folder)]
    process = await nursery.start(
        partial(trio.run_process, command, cwd=elsewhere, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    )
    said = await line_of(process.stdout)
    url = re.fullmatch(rf"2 files are at (\S+)/ipfs/{shared.cid}\n", said)[1]
    async with Node.open(peers=[url]) as node:
        await node.files.export(shared.cid, elsewhere / "fetched")
    process.send_signal(signal.SIGINT)
    await process.wait()
    assert tree(elsewhere / "fetched") == tree(shared.folder)
    async with Node.open(elsewhere / "data") as node:
        assert [pin.cid for pin in await node.pins.list()] == [shared.cid]


async def test_mirror(shared, elsewhere):
    out = await run(elsewhere, EXAMPLES["mirror.py"], shared.cid, *shared.urls)
    assert re.fullmatch(r"6 blocks, \d+ bytes are kept\n", out)
    async with Node.open(elsewhere / "data") as node:  # it has nobody to ask
        assert [pin.cid for pin in await node.pins.list()] == [shared.cid]
        await node.files.export(shared.cid, elsewhere / "fetched")
    assert tree(elsewhere / "fetched") == tree(shared.folder)


async def test_many(shared, elsewhere):
    absent = CID.of(b"nobody has this")
    out = await run(elsewhere, EXAMPLES["many.py"], shared.urls[0], absent, shared.cid)
    assert f"{shared.cid} is here\n" in out
    assert f"{absent} is not: " in out
    assert tree(elsewhere / str(shared.cid)) == tree(shared.folder)


async def test_documents(elsewhere):
    out = await run(elsewhere, EXAMPLES["documents.py"])
    assert re.fullmatch(r"the diary is called bafyrei\w+\nA walk\nb'pretend that this is a photo'\n", out)


async def test_seek(shared, elsewhere):
    out = await run(elsewhere, EXAMPLES["seek.py"], f"{shared.cid}/deep er/b.bin", *shared.urls)
    first, last, count = out.splitlines()
    assert first.endswith(bytes(range(8)).hex())
    assert last.endswith(bytes(range(248, 256)).hex())
    assert re.fullmatch(r"2560000 bytes, of which \d+ were fetched", count)


async def test_budget(shared, elsewhere):
    names = [f"{shared.cid}/deep er/b.bin", f"{shared.cid}/a.txt"]
    out = await run(elsewhere, EXAMPLES["budget.py"], shared.urls[0], *names)
    big, small = out.splitlines()
    assert big.startswith(f"{names[0]}: the preview has used up its limit of 500000 bytes")
    assert small == f"{names[1]}: b'one'"


async def test_car(shared, elsewhere):
    out = await run(elsewhere, EXAMPLES["car.py"], shared.folder)
    assert out == f"6 blocks below {shared.cid}\n"
    assert tree(elsewhere / "fetched") == tree(shared.folder)


async def test_blobs(shared, elsewhere, nursery):
    """One shares a file, another loads it from there and shares it, a third loads it from both."""
    given, urls = str(shared.folder / "deep er" / "b.bin"), []
    for name in ("one", "two", "three"):
        (elsewhere / name).mkdir()
        places = urls or [given]
        command = [sys.executable, "-W", "error", str(EXAMPLES["blobs.py"]), "a blob", *places]
        process = await nursery.start(
            partial(trio.run_process, command, cwd=elsewhere / name, stdout=subprocess.PIPE, check=False)
        )
        said = await line_of(process.stdout)
        urls.append(re.fullmatch(r"a blob, 2560000 bytes, sha256:[0-9a-f]{64}, is at (\S+)\n", said)[1])
        assert (elsewhere / name / "share" / "blobs" / "a blob").read_bytes() == Path(given).read_bytes()  # noqa: ASYNC240
    nursery.cancel_scope.cancel()


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
