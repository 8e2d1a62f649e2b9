"""What is freed is reused: the pages of one body serve the next one."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
from sessionctx.content import keep_what_is_freed

def bodies():
    return [b"x" * 262_144 for _ in range(16)]

if sys.argv[1] == "kept":
    keep_what_is_freed()
bodies()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    bodies()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have ways of their own")
def test_freed_memory_is_kept_for_the_next_body():
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_TUNABLES"))}

    def faults(how: str) -> int:
        command = [sys.executable, "-c", FAULTS, how]
        return int(subprocess.run(command, env=plain, capture_output=True, text=True, check=True).stdout)

    pages = 16 * 262_144 // 4096
    assert faults("kept") < pages < faults("not kept")
