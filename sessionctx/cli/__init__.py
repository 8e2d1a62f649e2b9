"""The command line: ``sessionctx --help``. The only part that reads the environment."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

__all__ = ["main"]


def main() -> None:
    """Run the command line with the arguments of this process, and exit with the code that it documents."""
    try:
        from sessionctx.cli.app import run
    except ImportError as error:
        if error.name is None or error.name.partition(".")[0] not in ("click", "rich"):
            raise
        sys.stderr.write(f"sessionctx: the command line needs {error.name}: pip install 'sessionctx[cli]'\n")
        sys.exit(2)
    except KeyboardInterrupt:
        _stop(130)
    code = run(sys.argv[1:])
    if code in (130, 143):
        _stop(code)
    sys.exit(code)


def _stop(code: int) -> NoReturn:
    """Exit at once: all is closed and cleaned up, and taking the interpreter apart takes longer than that did."""
    sys.stderr.flush()
    os._exit(code)
