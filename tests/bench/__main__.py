"""``python -m tests.bench``: run benches by name, show a table, keep the rows as JSON Lines."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from tests.bench.harness import discover, run, table


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="benches, or groups of them (default: all)")
    parser.add_argument("--list", action="store_true", help="only name the benches")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows to FILE, one JSON object a line")
    parser.add_argument("--quick", action="store_true", help="do as little as shows that the benches work; no figures")
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(discover()))
        return 0
    rows = []
    try:
        for line in table(rows.append(row) or row for row in run(arguments.names, quick=arguments.quick)):
            print(line, flush=True)
    except LookupError as error:
        parser.error(str(error))
    if arguments.json:
        arguments.json.write_text("".join(f"{row.as_json()}\n" for row in rows))
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that processes are ended, and folders removed
    sys.exit(main())
