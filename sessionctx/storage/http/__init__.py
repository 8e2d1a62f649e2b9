"""Files that a web server offers, to be read: ranges of one version, resumed where they broke off."""

from __future__ import annotations

from sessionctx.storage.http.backend import HTTPStorage, open_http

__all__ = ["HTTPStorage", "open_http"]
