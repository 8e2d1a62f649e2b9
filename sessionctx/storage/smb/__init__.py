"""Files on the shares of Windows and Samba servers: SMB 2 and 3, signed or encrypted, many requests in flight."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio

from sessionctx.errors import MissingExtra
from sessionctx.storage.base import Backend
from sessionctx.storage.smb.address import parsed

__all__ = ["open_smb"]


@asynccontextmanager
async def open_smb(
    url: str,
    *,
    user: str | None = None,
    password: str | None = None,
    domain: str | None = None,
    encrypt: bool | None = None,
    sign: bool = True,
) -> AsyncGenerator[Backend]:
    """Open the folder of a share: ``smb://[domain;]user[:password]@host[:port]/share[/path]``.

    The connection is made when something is first asked for.

    Args:
        url: where; with what has to be, in user and password, written as ``%XX``.
        user: in place of the one in the URL; likewise *password* and *domain*, which so stay out of it.
        password: see there.
        domain: see there.
        encrypt: True insists on it (SMB 3), False refuses to, and None does what the server demands.
        sign: sign everything that is not encrypted, and take nothing that is not. False leaves it to the server.

    Raises:
        InvalidLocation: *url* names no share.
        MissingExtra: smbprotocol is not installed.
    """
    address = parsed(url).as_user(user, password, domain)
    try:
        from sessionctx.storage.smb.backend import opened
        from sessionctx.storage.smb.login import Wanted, need
    except ImportError as error:
        raise MissingExtra("smb:// needs one more package: pip install 'sessionctx[smb]'") from error
    need()
    await trio.lowlevel.checkpoint()
    async with opened(address, Wanted(encrypt, sign)) as storage:
        yield storage
