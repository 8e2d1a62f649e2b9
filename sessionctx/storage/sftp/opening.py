"""How a storage on an SFTP server is opened: by its URL, for the length of a block."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from sessionctx.storage.endpoint import Endpoint
from sessionctx.storage.sftp import target
from sessionctx.storage.sftp.backend import SftpStorage
from sessionctx.storage.sftp.command import HostKeys, SshOptions
from sessionctx.storage.sftp.dial import Dial
from sessionctx.storage.sftp.process import Means, Program, Ssh


@asynccontextmanager
async def open_sftp(
    url: str,
    *,
    user: str | None = None,
    port: int | None = None,
    password: str | None = None,
    identity: str | Path | None = None,
    known_hosts: str | Path | None = None,
    config: str | Path | None = None,
    host_keys: HostKeys = "known",
    idle: int | None = None,
    ssh: str = "ssh",
    command: Sequence[str] | None = None,
) -> AsyncGenerator[SftpStorage]:
    """Open the folder that *url* names: ``sftp://user@host:22/srv/data``, or ``/~/data`` for one in the home folder.

    Everything goes through the ``ssh`` program, so that its configuration, agent, keys and jump hosts are used. The
    connection is made at once; all tasks share it, and it is made again if it is lost.

    Args:
        url: Where; user, password and port may stand in it.
        user: Who logs in.
        port: Where sshd listens.
        password: Is told to ssh through its environment, never on its command line; only that account gets it.
        identity: A private key, to be used alone. One with a passphrase needs an agent.
        known_hosts: The only file to look up host keys in.
        config: Is read in place of all other configuration of ssh.
        host_keys: ``"known"`` refuses hosts whose key is not known; ``"new"`` trusts at the first visit.
        idle: Seconds of silence after which the line is given up: :exc:`Stalled`. None: as configured, or 45.
        ssh: The program.
        command: Speaks SFTP itself, and is run in place of ssh: ``["/usr/lib/openssh/sftp-server"]``.

    Raises:
        InvalidLocation: *url* is no such URL.
        Unreachable: The server cannot be reached, or its host key is not known.
        AccessDenied: It does not let us in.
    """
    place = target.parse(url, user=user, port=port, password=password)
    options = SshOptions(
        identity=_path(identity),
        known_hosts=_path(known_hosts),
        config=_path(config),
        host_keys=host_keys,
        idle=idle,
        program=ssh,
    )
    means: Means = Ssh(place, options) if command is None else Program(tuple(command))
    failure: BaseException | None = None
    async with trio.open_nursery() as nursery:
        dial = Dial(means, place.public, place.at(""), nursery)
        try:
            await dial.session()
            yield SftpStorage(place, dial, Endpoint.at(place.url, place.public))
        except BaseException as error:  # noqa: BLE001 - raised below: as it is, and in no group
            failure = error
        dial.close()
    if failure is not None:
        try:
            raise failure
        finally:
            del failure  # whose traceback holds this frame


def _path(path: str | Path | None) -> Path | None:
    return None if path is None else Path(path).expanduser()
