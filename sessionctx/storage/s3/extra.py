"""What only this backend needs, imported when it is used: botocore for credentials and signatures, awscrt for CRCs."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

from sessionctx.errors import MissingExtra


@cache
def module(name: str) -> Any:
    """Import *name*, which has no types of its own. :exc:`MissingExtra`."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingExtra("s3:// needs two more packages: pip install 'sessionctx[s3]'") from error
