"""Where a share is, and who asks: what an ``smb://`` URL says. Pure."""

from __future__ import annotations

from typing import Final
from urllib.parse import SplitResult, quote, unquote, urlsplit

import attrs

from sessionctx.errors import InvalidLocation
from sessionctx.storage.paths import fault_of
from sessionctx.transports import redacted

PORT: Final = 445
_SAFE: Final = "!$&'()+,;=@:"


@attrs.frozen(kw_only=True)
class Address:
    """A folder of a share on a server, and the credentials that are shown there."""

    host: str
    port: int = PORT
    share: str
    folder: str = ""
    """Within the share, with slashes."""
    user: str | None = attrs.field(default=None, repr=False)
    domain: str | None = attrs.field(default=None, repr=False)
    password: str | None = attrs.field(default=None, repr=False)

    @property
    def public(self) -> str:
        """The URL without credentials."""
        return f"smb://{self.server}/{'/'.join(quote(name, safe=_SAFE) for name in self._names)}"

    @property
    def server(self) -> str:
        """Host, and port if it is not the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORT else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The URL with the credentials."""
        if self.user is None:
            return self.public
        domain = "" if self.domain is None else f"{quote(self.domain, safe='')};"
        password = "" if self.password is None else f":{quote(self.password, safe='')}"
        return self.public.replace("://", f"://{domain}{quote(self.user, safe='')}{password}@", 1)

    @property
    def login(self) -> str | None:
        """The user as the server knows it: with the domain, and a backslash after it."""
        return self.user if self.domain is None else f"{self.domain}\\{self.user or ''}"

    def as_user(self, user: str | None, password: str | None, domain: str | None) -> Address:
        """Return the same with these credentials in place of its own, as far as they are given."""
        return attrs.evolve(
            self,
            user=self.user if user is None else user,
            password=self.password if password is None else password,
            domain=self.domain if domain is None else domain,
        )

    @property
    def _names(self) -> list[str]:
        return [self.share, *filter(None, self.folder.split("/"))]


def parsed(url: str) -> Address:
    """Return what *url* says: ``smb://[domain;]user[:password]@host[:port]/share[/path]``. :exc:`InvalidLocation`.

    What is not a letter or digit may be written as ``%XX``; in a password ``/``, ``@`` and ``%`` have to be.
    """
    shown = redacted(url)
    try:
        parts = urlsplit(url)
        port = parts.port or PORT
    except ValueError:
        raise InvalidLocation(f"{shown!r} is no URL of a share: its host or port is none") from None
    if parts.scheme.lower() != "smb" or not parts.hostname or parts.query or parts.fragment:
        raise InvalidLocation(f"{shown!r} is no URL of a share: write smb://user@host/share/path")
    share, _, folder = unquote(parts.path).strip("/").partition("/")
    fault = fault_of(folder)
    if not share or "\\" in share or fault_of(share) is not None or fault is not None:
        raise InvalidLocation(f"{shown!r} names no share: {fault or 'write smb://user@host/share/path'}")
    domain, user, password = _credentials(parts)
    return Address(
        host=parts.hostname, port=port, share=share, folder=folder, user=user, domain=domain, password=password
    )


def _credentials(parts: SplitResult) -> tuple[str | None, str | None, str | None]:
    """Return domain, user and password, as far as they are given."""
    if not parts.username:
        return None, None, None
    before, semicolon, after = parts.username.partition(";")
    domain, user = (unquote(before), unquote(after)) if semicolon else (None, unquote(before))
    return domain, user, None if parts.password is None else unquote(parts.password)
