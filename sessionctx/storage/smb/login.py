"""Logging in to a share: negotiation, authentication and keys are smbprotocol's; afterwards the line is ours.

smbprotocol blocks, and has a thread that receives. Both threads live only as long as the login does: it is given a
`Wire` of ours instead of its own transport. When the share is there, or the caller does not wait any longer, that ends,
its thread with it, and the open socket goes on under trio.
"""

from __future__ import annotations

import importlib
import logging
import threading
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final

import attrs
import trio

from sessionctx.errors import (
    AccessDenied,
    MissingExtra,
    NotOffered,
    PeerError,
    PeerFailed,
    Stalled,
    StorageError,
    Unreachable,
)
from sessionctx.storage.smb.address import Address
from sessionctx.storage.smb.seal import Keys
from sessionctx.storage.smb.status import error_of
from sessionctx.storage.smb.wire import Wire

SECONDS: Final = 30.0
"""In which a login has to be done."""
_MODULES: Final = ("smbprotocol.connection", "smbprotocol.session", "smbprotocol.tree")
_SMB_3: Final = 0x0300
_SMB_3_1_1: Final = 0x0311
_SIGNING: Final = {0: "hmac", 1: "cmac", 2: "gmac"}


@attrs.frozen
class Wanted:
    """What the caller insists on."""

    encrypt: bool | None = None
    sign: bool = True


@attrs.frozen(kw_only=True)
class Login:
    """A share that is connected, and all that has to be known to go on."""

    keys: Keys
    session: int = attrs.field(repr=False)
    tree: int
    dialect: int
    large: bool
    """Requests may be larger than one unit, and cost credits by their size."""
    most_read: int
    most_written: int
    next_id: int
    credits: int


@attrs.frozen
class _Always:
    """An attribute that cannot be set to anything else."""

    value: object

    def __get__(self, instance: object, owner: object = None) -> object:
        return self.value

    def __set__(self, instance: object, value: object) -> None:
        """Leave it as it is."""


async def log_in(address: Address, wanted: Wanted) -> tuple[trio.socket.SocketType, Login]:
    """Connect to the share; the socket is the caller's.

    `StorageError` if it does not let us, `PeerError` if the server does not serve.
    """
    public = address.public
    with trio.move_on_after(SECONDS) as scope:
        try:
            stream = await trio.open_tcp_stream(address.host, address.port)
        except OSError as error:
            raise Unreachable(f"{public} cannot be reached: {error}", peer=public) from error
        wire = Wire(stream.socket.detach())
        try:
            made = await _in_a_thread(wire, address, wanted)
            return trio.socket.from_stdlib_socket(wire.keep()), made
        finally:
            wire.end()
    assert scope.cancelled_caught
    raise Stalled(f"{public} did not finish the login within {SECONDS:.0f} s", peer=public)


async def _in_a_thread(wire: Wire, address: Address, wanted: Wanted) -> Login:
    """Let smbprotocol do it. Who is cancelled breaks the line, so that the thread ends at once, and waits for that."""
    limiter, done = trio.CapacityLimiter(1), trio.Event()
    error: Exception | None = None
    made: list[Login] = []

    async def work() -> None:
        nonlocal error
        try:
            made.append(await trio.to_thread.run_sync(_blocking, wire, address, wanted, limiter=limiter))
        except Exception as caught:  # noqa: BLE001 - raised below, out of the nursery
            error = caught
        done.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(work)
        try:
            await done.wait()
        except trio.Cancelled:
            wire.drop()
            raise
    if error is not None:
        raise error
    return made[0]


def _blocking(wire: Wire, address: Address, wanted: Wanted) -> Login:
    try:
        with _discreet():
            return _handshake(wire, address, wanted)
    except (PeerError, StorageError, MissingExtra):
        raise
    except Exception as error:  # smbprotocol raises ValueError, its own, and those of others
        raise _translated(error, wire, address) from error


def _handshake(wire: Wire, address: Address, wanted: Wanted) -> Login:
    smb, sessions, trees = map(_module, _MODULES)
    kind = type("Connection", (smb.Connection,), {"transport": _Always(wire)})
    connection = kind(uuid.uuid4(), address.host, address.port, require_signing=wanted.sign)
    try:
        connection.connect(timeout=SECONDS)
        if wanted.encrypt and not connection.supports_encryption:
            raise NotOffered(f"{address.public} cannot encrypt, and encrypt=True was given", peer=address.public)
        session = sessions.Session(connection, address.login, address.password, require_encryption=bool(wanted.encrypt))
        session.connect()
        # The request for a share is signed in any case ([MS-SMB2] 3.2.4.1.1); smbprotocol does not know that.
        session.signing_required = not session.encrypt_data and session.signing_key is not None
        tree = trees.TreeConnect(session, f"\\\\{address.host}\\{address.share}")
        tree.connect(require_secure_negotiate=session.signing_key is not None)
    finally:
        connection.disconnect(close=False)  # ends its thread, and joins it; the line stays open
    return _made(connection, session, tree, address, wanted)


def _made(connection: Any, session: Any, tree: Any, address: Address, wanted: Wanted) -> Login:
    encrypt = bool(session.encrypt_data or tree.encrypt_data)
    if encrypt and wanted.encrypt is False:
        raise AccessDenied(
            f"{address.public} serves only who encrypts, and encrypt=False was given", storage=address.public
        )
    window, dialect = connection.sequence_window, connection.dialect
    signing = connection.signing_algorithm_id if dialect >= _SMB_3_1_1 else None
    keys = Keys(
        signing=_SIGNING[signing] if signing is not None else "cmac" if dialect >= _SMB_3 else "hmac",
        signing_key=session.signing_key,
        sign=bool(connection.require_signing),
        encrypt=encrypt,
        counter_mode=dialect < _SMB_3_1_1 or connection.cipher_id in {1, 3},
        encryption_key=session.encryption_key,
        decryption_key=session.decryption_key,
    )
    return Login(
        keys=keys,
        session=session.session_id,
        tree=tree.tree_connect_id,
        dialect=dialect,
        large=bool(connection.supports_multi_credit),
        most_read=connection.max_read_size,
        most_written=connection.max_write_size,
        next_id=window["low"],
        credits=window["high"] - window["low"],
    )


def need() -> None:
    """See to it that smbprotocol is there. :exc:`MissingExtra`."""
    for name in _MODULES:
        _module(name)


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingExtra("smb:// needs one more package: pip install 'sessionctx[smb]'") from error


def _translated(error: Any, wire: Wire, address: Address) -> PeerError | StorageError:
    """Return what a failed login means, in our words."""
    public, errors = address.public, _module("smbprotocol.exceptions")
    if wire.old:
        return NotOffered(f"{public} speaks only SMB 1, which is not safe: let it speak SMB 2 or 3", peer=public)
    if isinstance(error, errors.SMBResponseException):
        return error_of(error.status, storage=public, path="")
    if isinstance(error, errors.SMBAuthenticationError):
        who = "no user was given" if address.user is None else "the credentials cannot be used"
        return AccessDenied(f"{public} does not let us in: {who} (smb://user:password@host/share)", storage=public)
    if "guest" in str(error):
        return AccessDenied(f"{public} takes us for a guest, who can neither sign nor encrypt", storage=public)
    if not wire.answered:
        return PeerFailed(f"{public} closed the line at once: it may speak only SMB 1, or not SMB at all", peer=public)
    return PeerFailed(f"{public} broke off the login ({type(error).__name__})", peer=public)


# --- what smbprotocol says meanwhile

_ours: Final[set[int]] = set()
"""The threads in which a login is under way."""


@contextmanager
def _discreet() -> Generator[None]:
    """Keep what is for debugging only out of the logs: it shows what authenticates, and could be attacked by it."""
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in {"smbprotocol", "spnego"}:
            logging.getLogger(name).addFilter(_shown)
    _ours.add(threading.get_ident())
    try:
        yield
    finally:
        _ours.discard(threading.get_ident())


def _shown(record: logging.LogRecord) -> bool:
    return record.levelno > logging.DEBUG or record.thread not in _ours
