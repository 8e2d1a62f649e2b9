"""The drawings of the architecture are what the sources are: the floors, and the way of one fetch."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionctx import Node, serve
from sessionctx.blocks import MemoryBlockstore
from sessionctx.content import Block

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "docs"))
try:
    import floors
    import way
finally:
    sys.path.remove(str(ROOT / "docs"))

NOW = floors.measure()


@pytest.mark.parametrize("script", [floors, way])
def test_a_drawing_is_current(script, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [script.__name__, "--check"])
    assert script.main() == 0, capsys.readouterr().out


@pytest.mark.parametrize("script", [floors, way])
def test_a_drawing_that_is_none_is_stale_until_it_is_drawn(script, monkeypatch, tmp_path):
    monkeypatch.setattr(script, "PICTURE", tmp_path / "picture.svg")
    for arguments, code in (["--check"], 1), ([], 0), (["--check"], 0):
        monkeypatch.setattr(sys, "argv", [script.__name__, *arguments])
        assert script.main() == code
    assert script.PICTURE.read_text().startswith("<svg ")


# --- the floors


def test_each_floor_is_there_with_all_its_modules():
    sources = [path for path in (ROOT / "sessionctx").rglob("*.py") if path.name != "__main__.py"]
    assert sum(floor["modules"] for floor in NOW.values()) == len(sources) - 1, "the front door is on no floor"
    assert all(floor["is"] and floor["lines"] for floor in NOW.values())


def test_imports_run_downwards():
    names = list(NOW)
    for name, floor in NOW.items():
        assert [other for other in floor["imports"] if names.index(other) <= names.index(name)] == []


def test_imports_are_those_that_the_import_linter_sees():
    """It does not see what comes through the front door; all else that it sees, we see."""
    grimp = pytest.importorskip("grimp")
    graph = grimp.build_graph("sessionctx")
    for name, floor in NOW.items():
        own = graph.find_descendants(f"sessionctx.{name}") | {f"sessionctx.{name}"}
        found = {found for module in own for found in graph.find_modules_directly_imported_by(module)}
        below = {each.split(".")[1] for each in found if "." in each} - {name}
        assert below <= set(floor["imports"])
        through_the_door = set(floor["imports"]) - below
        assert not through_the_door or "sessionctx" in found


@given(st.sampled_from(list(NOW)), st.floats(0.5, 1.5))
def test_a_size_may_move_by_a_quarter(name, factor):
    """So that the drawing is not stale after each change; a floor that has really grown or shrunk is told of."""
    then = copy.deepcopy(NOW)
    was = NOW[name]["lines"]
    then[name]["lines"] = now = round(was * factor)
    told = floors.differences(NOW, then)
    assert bool(told) == (abs(now - was) > max(100, was / 4))
    assert all(name in each and str(was) in each for each in told)


def test_a_new_floor_or_import_is_told_of_at_once():
    then = copy.deepcopy(NOW)
    then["peers"]["imports"].insert(0, "transports")
    then["node"]["imports"].remove("fetch")
    assert floors.differences(NOW, then) == ["node imports fetch no more", "peers imports transports"]
    del then["node"]
    assert len(floors.differences(NOW, then)) == 1
    assert "drawn are none" in floors.differences({}, NOW)[0]


@pytest.mark.parametrize(
    ("docstring", "says"),
    [
        ("Where blocks are kept: in memory. More.", "Where blocks are kept"),
        ("The session: a peer and request tracker that every\nlayer finds.", "The session: a peer and request tracker"),
        ("How to ask ONE peer. Knows no session.", "How to ask ONE peer"),
        ("", ""),
    ],
)
def test_a_floor_is_what_its_docstring_says_first(docstring, says):
    assert floors.clause(docstring) == says


# --- the way of one fetch


def test_a_function_that_is_gone_is_told_of(monkeypatch, capsys):
    lost = ["fetch/run.py Fetcher.nothing_like_it", "fetch/nowhere.py fetch", "fetch/run.py fetch.get"]
    monkeypatch.setattr(way, "WAY", [*way.WAY, *(way.Step("you", "dag", "?", each) for each in lost)])
    assert way.missing() == lost
    monkeypatch.setattr(sys, "argv", ["way", "--check"])
    assert way.main() == 1
    assert "there is no fetch/nowhere.py fetch" in capsys.readouterr().out


async def test_a_fetch_goes_the_way_that_is_drawn(tmp_path, nursery):
    """Its functions are called for the first time in the order of the drawing."""
    block = Block.of(b"something to fetch")
    elsewhere = MemoryBlockstore()
    await elsewhere.put(block)
    url = await nursery.start(serve.run, serve.gateway(elsewhere))
    drawn = [step.function for step in way.WAY if step.function]
    called: dict[str, None] = {}

    def note(frame, event, _):
        if event == "call":
            code = frame.f_code
            name = code.co_qualname.partition(".<locals>")[0]
            called[f"{Path(code.co_filename).as_posix().rpartition('/sessionctx/')[2]} {name}"] = None

    async with Node.open(tmp_path / "data", peers=[url]) as node:
        sys.setprofile(note)
        try:
            assert await node.dag.get(block.cid) == block.data
        finally:
            sys.setprofile(None)
    assert [each for each in called if each in drawn] == drawn


def test_both_are_modules_of_the_standard_library_alone():
    for script in (floors, way):
        used = {name.partition(".")[0] for name, thing in vars(script).items() if isinstance(thing, ModuleType)}
        assert used <= sys.stdlib_module_names
