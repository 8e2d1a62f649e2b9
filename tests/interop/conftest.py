"""What the tests with programs of others share: the tools they need, or else the reason why they are skipped."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from sessionctx import Node, serve
from tests.interop.site import Recorder, publish

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.interop)


def tool(name: str, *places: str) -> str:
    """The path of a program, or skip."""
    found = shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", ""), *places)))
    if found is None:
        pytest.skip(f"there is no {name} on this machine")
    return found


def fetched(what: str, *command: str, cwd: Path, env: dict[str, str] | None = None) -> None:
    """Run a *command* that fetches from a registry, or skip: a machine may have none in reach."""
    done = subprocess.run(command, check=False, cwd=cwd, env=env, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"{what} cannot be fetched: {(done.stderr or done.stdout).strip()[-300:]}")


@pytest.fixture(scope="session")
def go() -> str:
    return tool("go", "/usr/local/go/bin")


@pytest.fixture(scope="session")
def boxo(go, tmp_path_factory) -> Path:
    """The reference gateway, built."""
    program = tmp_path_factory.mktemp("boxo") / "gateway"
    fetched("boxo", go, "mod", "download", cwd=HERE / "boxo")
    subprocess.run([go, "build", "-o", program, "."], cwd=HERE / "boxo", check=True)
    return program


@pytest.fixture
async def published(tmp_path):
    """A node that has everything."""
    folder = tmp_path / "site"
    folder.mkdir()
    node = Node.over(Recorder())
    return node, await publish(node, folder)


@pytest.fixture
async def ours(published, nursery):
    """The URL of our gateway, which serves it."""
    node, _ = published
    return await nursery.start(functools.partial(serve.run, serve.gateway(node.store)))
