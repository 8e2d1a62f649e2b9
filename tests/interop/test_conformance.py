"""The conformance suite of gateways, which is a program in Go, against ours: every specification that it serves.

It is built from its module, unless ``GATEWAY_CONFORMANCE`` names the program. Source: its README and docs/commands.md.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import pytest
import trio

from sessionctx import Node, serve
from sessionctx.blocks import MemoryBlockstore
from tests.interop.conftest import fetched

MODULE = "github.com/ipfs/gateway-conformance/cmd/gateway-conformance@latest"
SPECS = (
    "trustless-block-gateway",
    "trustless-car-gateway",
    "trustless-car-gateway-optional",
    "path-unixfs-gateway",
    "path-tar-gateway",
    "path-dag-gateway",
    "path-raw-gateway",
)
"""All that is about content. The others are about names (IPNS, DNSLink) and hosts (subdomains), which we do not serve."""


@pytest.fixture(scope="session")
def suite(go, tmp_path_factory) -> Path:
    """The program."""
    if "GATEWAY_CONFORMANCE" in os.environ:
        return Path(os.environ["GATEWAY_CONFORMANCE"])
    folder = tmp_path_factory.mktemp("suite")
    fetched("the conformance suite", go, "install", MODULE, cwd=folder, env=os.environ | {"GOBIN": str(folder)})
    return folder / "gateway-conformance"


async def test_our_gateway_passes(suite, go, tmp_path, nursery):
    await trio.run_process([str(suite), "extract-fixtures", "--merged=true", f"--directory={tmp_path}"])
    node = Node.over(MemoryBlockstore())
    await node.dag.import_car(tmp_path / "fixtures.car")
    url = await nursery.start(partial(serve.run, serve.gateway(node.store)))
    report = tmp_path / "report.json"
    command = [str(suite), "test", f"--gateway-url={url}", f"--json-output={report}", f"--specs={','.join(SPECS)}"]
    path = os.pathsep.join((str(Path(go).parent), os.environ.get("PATH", "")))  # it runs go itself
    with trio.fail_after(300):
        await trio.run_process(command, check=False, capture_stdout=True, env=os.environ | {"PATH": path})
    passed, failed = outcomes(report.read_text().splitlines())
    assert failed == []
    assert len(passed) > 100, "it has tested next to nothing"


def outcomes(lines: Iterable[str]) -> tuple[list[str], list[str]]:
    """The names of the tests that have passed, and of those that have failed, in a report of ``go test -json``."""
    events = [json.loads(line) for line in lines if line.startswith("{")]
    done = {event["Test"]: event["Action"] for event in events if "Test" in event}  # the last event is the outcome
    return [name for name, how in done.items() if how == "pass"], [name for name, how in done.items() if how == "fail"]


def test_a_report_is_read():
    lines = [
        '{"Action":"run","Test":"TestTar"}',
        '{"Action":"output","Test":"TestTar/a","Output":"x"}',
        '{"Action":"fail","Test":"TestTar/a"}',
        '{"Action":"pass","Test":"TestTar/b"}',
        '{"Action":"skip","Test":"TestTar/c"}',
        '{"Action":"fail","Test":"TestTar"}',
        '{"Action":"fail","Elapsed":1}',
    ]
    assert outcomes(lines) == (["TestTar/b"], ["TestTar", "TestTar/a"])
