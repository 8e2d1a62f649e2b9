"""Buckets of S3, on the project's own door to HTTP; botocore finds the credentials and signs, and does nothing else."""

from __future__ import annotations

from sessionctx.storage.s3.opening import open_s3
from sessionctx.storage.s3.patience import Patience
from sessionctx.storage.s3.storage import S3Storage, Sizes

__all__ = ["Patience", "S3Storage", "Sizes", "open_s3"]
