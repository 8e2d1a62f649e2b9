"""``python -m sessionctx`` is ``sessionctx``."""

from __future__ import annotations

from sessionctx.cli import main

if __name__ == "__main__":
    main()
