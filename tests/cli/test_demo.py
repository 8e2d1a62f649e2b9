"""What the demo says when something is wrong. (What it does is in ``test_processes.py``.)"""

from __future__ import annotations

import attrs
import pytest
import trio

from sessionctx import session
from sessionctx.cli.compare import Comparison
from sessionctx.cli.demo import Fetched, report
from sessionctx.cli.exits import Exit
from sessionctx.cli.options import Settings
from sessionctx.content import Block

CID = Block.of(b"root").cid


def peer(kind, lied=0, state="good"):
    counts = dict.fromkeys(("asked", "found", "missing", "failed", "bytes"), 1)
    return {"kind": kind, "lied": lied, "state": state, "latency": 0.1, "throughput": None, **counts}


def fetched(**changes):
    with session.begin() as empty:
        statistics = empty.statistics()
    good = Fetched(1.0, statistics, [peer("lying", 1, "banned"), peer("good")], bad_blocks=0, blocks=3)
    return attrs.evolve(good, **changes)


def judged(capfd, found, compared):
    settings = Settings()
    result = trio.run(report, settings, CID, found, compared)
    settings.output.finish()
    return result, capfd.readouterr()


def test_all_is_well(capfd):
    result, said = judged(capfd, fetched(), Comparison(files=3, size=2048))
    assert (result.exit, said.err) == (Exit.DONE, "")
    assert "3 files, 0 folders, 0 symlinks, 2.0 KiB in 1.00 s (2.0 KiB/s); every byte is the same." in said.out


@pytest.mark.parametrize(
    ("changes", "differences", "complaint"),
    [
        ({}, ["'a' is missing"], "different: 'a' is missing"),
        ({"bad_blocks": 2}, [], "2 blocks in the store do not match their names"),
        ({"peers": [peer("lying"), peer("good")]}, [], "the lying gateway was not found out"),
        ({"peers": [peer("lying", 1, "banned"), peer("good", 1, "banned")]}, [], "not found out"),
        ({"peers": []}, [], "not found out"),
    ],
)
def test_whatever_is_wrong_is_said_and_is_a_failure(capfd, changes, differences, complaint):
    result, said = judged(capfd, fetched(**changes), Comparison(differences=differences))
    assert result.exit is Exit.FAILED
    assert complaint in said.err
