"""What every floor's tests share: hypothesis profiles, and the vectors that others made."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.profiles import FAST

ROOT = Path(__file__).resolve().parent.parent
VECTORS = ROOT.parent / "shared" / "fixtures"
LARGE = (
    "tests",
    "tests/bench",
    "tests/blocks",
    "tests/cli",
    "tests/content",
    "tests/dag",
    "tests/fetch",
    "tests/transports",
)

# "fast" runs at every change. In CI it is derandomised: a red gate then always means the change under test, and the
# printed blob repeats it. "deep" is the nightly search for what nobody thought of, so it stays random everywhere.
_common = {"deadline": None, "print_blob": True, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("fast", max_examples=FAST, derandomize="CI" in os.environ, **_common)
settings.register_profile("deep", max_examples=15_000, derandomize=False, **_common)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


@pytest.hookimpl(optionalhook=True)  # without xdist, there is nobody to ask
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """All processors where they are worth the seconds in which workers start: all tests, and the floors with most to do."""
    asked = {(config.invocation_params.dir / argument).resolve() for argument in config.args}
    return None if asked & {ROOT, *(ROOT / name for name in LARGE)} else 0


@pytest.fixture(scope="session")
def fixtures() -> Callable[[str], Path]:
    """Return a callable that gives the folder of a set of shared vectors, or skips the test where it is absent."""

    def folder(name: str) -> Path:
        path = VECTORS / name
        if not path.is_dir():
            pytest.skip(f"the vectors {name!r} are not beside this checkout (looked for ../shared/fixtures/{name})")
        return path

    return folder
