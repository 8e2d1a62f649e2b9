"""What holds for the project as a whole: its public faces, its front door, its sizes and its words."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import shutil
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import sessionctx
from sessionctx import errors

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "sessionctx"
FLOORS = sorted(
    f"sessionctx.{module.name}"
    for module in pkgutil.iter_modules(sessionctx.__path__)
    if module.name not in {"__main__", "errors"}
)
SOURCES = sorted(PACKAGE.rglob("*.py"))

# A module has one idea: aim at 200 lines, ask at 300. Here is what was asked, and the answer.
LONG = {"errors.py": "the whole tree is read in one place; half of it is the drawing and the advice"}


def public(floor: ModuleType) -> list[str]:
    """What a floor offers: its list or, of a single module, what it defines."""
    own = [name for name, thing in vars(floor).items() if getattr(thing, "__module__", None) == floor.__name__]
    return getattr(floor, "__all__", [name for name in own if not name.startswith("_")])


def relative(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


# --- public faces


@pytest.mark.parametrize("name", ["sessionctx", "sessionctx.errors", *FLOORS])
def test_a_floor_says_what_it_is(name):
    assert inspect.getdoc(importlib.import_module(name))


@pytest.mark.parametrize("name", ["sessionctx", *FLOORS])
def test_what_a_floor_lists_is_there_and_documented(name):
    floor = importlib.import_module(name)
    names = public(floor)
    assert names or name == "sessionctx.testing"  # a kit of modules, each imported by its name
    assert len(set(names)) == len(names)
    for each in names:
        thing = getattr(floor, each)
        if inspect.isclass(thing) or inspect.isroutine(thing) or inspect.ismodule(thing):
            assert inspect.getdoc(thing), f"{name}.{each} has no docstring"


@pytest.mark.parametrize("name", [name for name in FLOORS if (PACKAGE / name.split(".")[1]).is_dir()])
def test_a_floor_lists_what_it_brings_in(name):
    """A face is imports and a list: what stands there without an underscore is in the list, and nothing else is."""
    floor = importlib.import_module(name)
    brought = set()
    for node in ast.parse(Path(str(floor.__file__)).read_text()).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sessionctx"):
            brought |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            brought.add(node.name)
    if "__getattr__" in vars(floor):
        brought |= set(floor.__all__)  # a lazy face
    assert {each for each in brought if not each.startswith("_")} == set(public(floor))


def test_every_public_name_has_one_home():
    """A class or function is exported by one floor, the one that defines it; the front door only repeats some."""
    homes = Counter()
    for name in FLOORS:
        floor = importlib.import_module(name)
        for each in public(floor):
            thing = getattr(floor, each)
            if inspect.isclass(thing) or inspect.isfunction(thing):
                assert thing.__module__.startswith(name), f"{name} exports {each} of {thing.__module__}"
                homes[thing.__qualname__, thing.__module__] += 1
    assert [home for home, count in homes.items() if count > 1] == []


def public_functions() -> Iterator[tuple[str, object]]:
    for name in FLOORS:
        floor = importlib.import_module(name)
        for each in public(floor):
            thing = getattr(floor, each)
            if inspect.isfunction(thing):
                yield f"{name}.{each}", thing
            elif inspect.isclass(thing):
                for method, function in vars(thing).items():
                    if inspect.isfunction(function) and not method.startswith("_"):
                        yield f"{name}.{each}.{method}", function


def test_every_public_function_is_typed():
    bare = []
    for name, function in public_functions():
        signature = inspect.signature(function)
        parameters = [p for p in signature.parameters.values() if p.name not in {"self", "cls"}]
        if signature.return_annotation is signature.empty or any(p.annotation is p.empty for p in parameters):
            bare.append(name)
    assert bare == []
    assert (PACKAGE / "py.typed").is_file()


def test_no_public_function_takes_a_timeout():
    """Deadlines are trio's (law 12)."""
    assert [name for name, function in public_functions() if "timeout" in inspect.signature(function).parameters] == []


def test_floors_are_entered_by_their_front_door():
    """Outside a folder nobody imports from its modules, so that they may change."""
    intruders = []
    for path in SOURCES:
        floor = path.relative_to(PACKAGE).parts[0]
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sessionctx."):
                _, other, *inside = str(node.module).split(".")
                if inside and other != floor:
                    intruders.append(f"{relative(path)}:{node.lineno} imports from {node.module}")
    assert intruders == []


# --- the front door


def in_a_fresh_interpreter(code: str) -> str:
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return run.stdout.strip()


def test_importing_sessionctx_loads_nothing_else():
    loaded = in_a_fresh_interpreter(
        "import sys; before = set(sys.modules); import sessionctx;"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before} - sys.stdlib_module_names)"
    )
    assert loaded.split() == ["sessionctx"]


def test_importing_sessionctx_is_fast():
    """Best of five, since noise only ever adds. With trio and httpx it would be half a second."""
    code = "from time import perf_counter as now; t = now(); import sessionctx; print(now() - t)"
    assert min(float(in_a_fresh_interpreter(code)) for _ in range(5)) < 0.05


@pytest.mark.parametrize("name", sessionctx.__all__)
def test_the_front_door_opens_each_name_alone(name):
    code = f"import sessionctx; thing = sessionctx.{name}; from sessionctx import {name}; print(thing is {name})"
    assert in_a_fresh_interpreter(code) == "True"


def test_the_front_door_knows_what_it_has():
    assert set(sessionctx.__all__) <= set(dir(sessionctx))
    with pytest.raises(AttributeError, match="'nothing_like_it'"):
        getattr(sessionctx, "nothing_like_it")  # noqa: B009


# --- the error tree


def drawn_tree() -> dict[str, list[str]]:
    """Read the drawing in the docstring of errors.py: each class and its bases."""
    tree: dict[str, list[str]] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if found := re.fullmatch(r"((?:[│ ] {3})*(?:[├└]── )?)(Session\w+|\w+)(  .*?)?(?:\((\w+)\))?", line[4:]):
            lead, name, words, builtin = found.groups()
            if not lead and not name.startswith("Session"):
                continue
            depth = len(lead) // 4
            assert depth == 0 or (words or "").strip(), f"{name} is drawn without a word about it"
            above[depth:] = [name]
            parent = [above[depth - 1]] if depth else ["Exception"] if not builtin else []
            tree[name] = parent + ([builtin] if builtin else [])
    return tree


def test_the_drawing_of_the_error_tree_is_the_error_tree():
    classes = {
        name: [base.__name__ for base in thing.__bases__]
        for name, thing in vars(errors).items()
        if inspect.isclass(thing) and thing.__module__ == errors.__name__
    }
    assert drawn_tree() == classes


# --- sizes


def test_a_module_fits_in_a_sitting():
    lengths = {relative(path): len(path.read_text().splitlines()) for path in SOURCES}
    assert {name: lines for name, lines in lengths.items() if lines > 300 and name not in LONG} == {}
    assert [name for name in LONG if lengths.get(name, 0) <= 300] == [], "listed as long, and is not"


def own_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count a function's lines without its docstring."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None and first.end_lineno is not None:
        lines -= first.end_lineno - first.lineno + 1
    return lines


def test_functions_are_short():
    """Half of all functions fit in 10 lines, nine of ten in 35."""
    lengths = sorted(
        own_lines(node)
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    assert statistics.median(lengths) <= 10
    assert lengths[len(lengths) * 9 // 10] <= 35


# --- words


def tracked() -> list[Path]:
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    command = [git, "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout.split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def test_no_file_speaks_of_one_machine():
    """Paths of whoever wrote it, or the address of a package index, have no place in the project."""
    words = [
        "/wor" + "k/",
        "/roo" + "t/",
        "/far" + "m/",
        "/tmp/ve" + "nv",
        "/home" + "/",
        "pypi" + ".org",
        "pythonho" + "sted",
    ]
    found = [
        f"{path.relative_to(ROOT)}: {word}"
        for path in tracked()
        for word in words
        if word in path.read_bytes().decode("utf-8", "replace")
    ]
    assert found == []


def readme_commands() -> list[str]:
    block = re.search(r"^```sh\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert block, "README.md has no sh block"
    return block[1].splitlines()


def test_the_readme_begins_with_two_commands():
    """On a machine with only Python, pip and git, each of them works alone: it makes its virtual environment."""
    demo, test = readme_commands()
    for command in (demo, test):
        assert command.startswith("python3 -m venv .venv && .venv/bin/pip install ")
        assert len(command) <= 100
    assert demo.endswith("sessionctx demo")
    assert "pytest" in test
