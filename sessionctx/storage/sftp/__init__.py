"""Files on servers that are reached by ssh: SFTP 3, spoken by us through the ``ssh`` program."""

from __future__ import annotations

from sessionctx.storage.sftp.backend import SftpStorage
from sessionctx.storage.sftp.opening import open_sftp

__all__ = ["SftpStorage", "open_sftp"]
