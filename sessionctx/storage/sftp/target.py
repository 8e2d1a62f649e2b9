"""An ``sftp://`` URL: who logs in where, and which folder is the root. Pure."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, unquote, urlsplit

import attrs

from sessionctx.errors import InvalidLocation
from sessionctx.storage.paths import fault_of

_HOST: Final = re.compile(r"[A-Za-z0-9_.:%][A-Za-z0-9_.:%-]*")
_USER: Final = re.compile(r"[^\s\x00-\x1f\x7f'\"`$;&<>|(){}\\-][^\x00-\x1f\x7f'\"`$;&<>|(){}\\]*")
_HOME: Final = "~"


@attrs.frozen
class Target:
    """Where an ``sftp://`` URL leads. What is None is up to ``ssh_config``."""

    host: str
    root: str
    """Absolute; or, below the home folder, relative to that: ``""`` is the home itself."""
    user: str | None = None
    port: int | None = None
    password: str | None = attrs.field(default=None, repr=False)

    @property
    def endpoint(self) -> str:
        """Who logs in where, as a URL without a password."""
        user = "" if self.user is None else f"{quote(self.user)}@"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"sftp://{user}{host}" + ("" if self.port is None else f":{self.port}")

    @property
    def public(self) -> str:
        """The URL without a password."""
        return self.endpoint + self._path

    @property
    def url(self) -> str:
        """The URL, with the password if there is one."""
        if self.password is None:
            return self.public
        secret = quote(self.password, safe="")
        return self.public.replace("@", f":{secret}@", 1)

    @property
    def _path(self) -> str:
        path = quote(self.root)
        return path.rstrip("/") if self.root.startswith("/") else f"/{_HOME}/{path}".rstrip("/")

    def at(self, path: str) -> bytes:
        """Return what the server calls *path*, which has been checked."""
        folder = self.root if self.root in {"", "/"} else f"{self.root}/"
        return (folder + path if path else self.root or ".").encode()


def parse(url: str, *, user: str | None = None, port: int | None = None, password: str | None = None) -> Target:
    """Return where *url* leads; arguments win over what it says. :exc:`InvalidLocation`.

    ``sftp://host/srv/data`` is the folder ``/srv/data``, ``sftp://host/~/data`` is ``data`` in the home folder.
    """
    shown = _without_secrets(url)
    try:
        parts = urlsplit(url)
        host, port = unquote(parts.hostname or ""), parts.port if port is None else port
        name = parts.username if user is None else quote(user)
    except ValueError as error:
        raise InvalidLocation(f"{shown!r} is no URL: {error}") from None
    name = None if not name else unquote(name)
    secret = unquote(parts.password) if password is None and parts.password else password
    _check(shown, host, name, secret, port)
    if parts.query or parts.fragment:
        raise InvalidLocation(f"{shown!r} has a query or a fragment: write %3F for ? and %23 for #")
    return Target(host, _root(unquote(parts.path), shown), name, port, secret)


def _without_secrets(url: str) -> str:
    """Return *url* as it may be shown, even if it is none."""
    before, at, rest = url.rpartition("@")
    return rest.partition("?")[0] if not at else ("sftp://" if "//" in before else "") + f"...@{rest.partition('?')[0]}"


def _check(shown: str, host: str, user: str | None, password: str | None, port: int | None) -> None:
    if not _HOST.fullmatch(host):
        raise InvalidLocation(f"{shown!r} has no host that ssh could be given: write sftp://user@host/folder")
    if user is not None and not _USER.fullmatch(user):
        raise InvalidLocation(f"{shown!r} has a user name that ssh could not be given")
    if port is not None and not 0 < port < 65536:
        raise InvalidLocation(f"{shown!r} has no port between 1 and 65535")
    if password is not None and (user is None or not password.isprintable()):
        why = "a password without a user" if user is None else "a password with characters that cannot be typed"
        raise InvalidLocation(f"{shown!r} comes with {why}")


def _root(path: str, shown: str) -> str:
    names = [name for name in path.split("/") if name]
    fault = fault_of("/".join(names))
    if fault is not None:
        raise InvalidLocation(f"the folder in {shown!r} can be none: {fault}")
    home = names[:1] == [_HOME]
    return "/".join(names[1:]) if home else "/" + "/".join(names)
