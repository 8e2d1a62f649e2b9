"""Every bench runs, small: so that none has rotted when somebody wants its figures. Nothing is timed here."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.harness import Row, bench, discover, measure, measure_async, run, table


@pytest.mark.parametrize("name", discover())
def test_the_bench_gives_rows_that_say_what_they_are(name):
    rows = list(run([name], quick=True))
    assert rows
    for row in rows:
        assert row.name
        assert row.unit
        assert math.isfinite(row.figure)
        assert row.figure >= 0
        assert row.limit is None or row.limit > 0


def test_less_is_better_except_for_rates():
    assert Row("a call", figure=2.0, unit="us", limit=4.0).good
    assert not Row("a call", figure=5.0, unit="us", limit=4.0).good
    assert Row("a rate", figure=5.0, unit="MB/s", limit=4.0).good
    assert not Row("a rate", figure=2.0, unit="MB/s", limit=4.0).good
    assert Row("no promise", figure=5.0, unit="us").ratio is None


def test_a_row_as_json_has_the_documented_keys():
    row = json.loads(Row("x", figure=3.0, unit="us", limit=2.0, spread=0.5).as_json())
    assert row == {"name": "x", "figure": 3.0, "unit": "us", "limit": 2.0, "ratio": 1.5, "spread": 0.5}


def test_the_table_marks_what_is_over_its_limit():
    _, good, bad = table([Row("good", figure=1, unit="us", limit=2), Row("bad", figure=3, unit="us", limit=2)])
    assert "over its limit" not in good
    assert "over its limit" in bad


def test_measuring_calls_what_it_is_given():
    calls = []

    async def call():
        calls.append("async")

    assert measure("x", lambda: calls.append("sync"), quick=True).figure > 0
    assert measure("x", "calls.append('text')", {"calls": calls}, quick=True).figure > 0
    assert measure_async("x", call, quick=True).figure > 0
    assert set(calls) == {"sync", "text", "async"}


def test_a_second_bench_of_one_name_is_refused():
    name = next(iter(discover()))
    with pytest.raises(ValueError, match=name):
        bench(name)(lambda quick: [])


def test_an_unknown_name_is_an_error_that_lists_the_known_ones():
    with pytest.raises(LookupError, match=next(iter(discover()))):
        list(run(["no-such-bench"]))


def test_the_command_writes_json_lines(tmp_path):
    target = tmp_path / "rows.jsonl"
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-m", "tests.bench", "session.current", "--quick", "--json", str(target)]
    shown = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
    rows = [json.loads(line) for line in target.read_text().splitlines()]
    assert rows
    assert all(row["name"] in shown for row in rows)
