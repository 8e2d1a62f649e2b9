"""The object service: keyed objects on a shelf, served over HTTP as the public clients speak it."""

from __future__ import annotations

from sessionctx.serve.objects.app import objects_app
from sessionctx.serve.objects.service import Service

__all__ = ["Service", "objects_app"]
