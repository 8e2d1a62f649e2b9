"""How ssh is started, and what it means by what it says when it gives up. Pure.

The configuration of the user and of the system holds, with agents, keys and jump hosts; options given here win, and
what neither says is in the file ``ssh_defaults`` beside this module.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal, TypeAlias

import attrs

from sessionctx.errors import AccessDenied, InvalidLocation, PeerError, PeerFailed, Stalled, StorageError, Unreachable
from sessionctx.storage.sftp.target import Target

HostKeys: TypeAlias = Literal["known", "new"]

DEFAULTS: Final = Path(__file__).with_name("ssh_defaults")
_ALWAYS: Final = (
    "ClearAllForwardings=yes",
    "ControlMaster=no",  # one that is there is used
    "EscapeChar=none",
    "ForwardX11=no",
    "LogLevel=INFO",  # less would not tell that a server fell silent
    "PermitLocalCommand=no",
    "RemoteCommand=none",
    "RequestTTY=no",
)


@attrs.frozen(kw_only=True)
class SshOptions:
    """What ssh is told beside its configuration. None leaves that alone."""

    identity: Path | None = None
    """A private key; only this one is tried then. It may not need a passphrase: for that there is the agent."""
    known_hosts: Path | None = None
    """The only file in which host keys are looked up."""
    config: Path | None = None
    """Read in place of all other configuration, and of our defaults."""
    host_keys: HostKeys = "known"
    """Hosts whose key is unknown are refused; ``"new"`` takes it at the first visit, and adds it to the known ones."""
    idle: int | None = None
    """Seconds of silence after which the line is given up; 45 if nobody says otherwise."""
    program: str = "ssh"


def argv(target: Target, options: SshOptions) -> list[str]:
    """Return the command that talks SFTP with *target*. No secret is in it."""
    settings = [
        *_ALWAYS,
        "StrictHostKeyChecking=" + ("yes" if options.host_keys == "known" else "accept-new"),
        *_login(target),
    ]
    if options.known_hosts is not None:
        settings += [f"UserKnownHostsFile={_quoted(options.known_hosts)}", "GlobalKnownHostsFile=none"]
    if options.identity is not None:
        settings += ["IdentitiesOnly=yes"]
    if options.idle is not None:
        settings += [f"ServerAliveInterval={max(options.idle // 3, 1)}", f"ConnectTimeout={options.idle}"]
        settings += [f"ServerAliveCountMax={min(options.idle, 3)}"]
    return [
        options.program,
        *("-F", str(options.config or DEFAULTS)),
        *(word for setting in settings for word in ("-o", setting)),
        *(() if options.identity is None else ("-i", str(options.identity))),
        *(() if target.user is None else ("-l", target.user)),
        *(() if target.port is None else ("-p", str(target.port))),
        *("-s", "--", target.host, "sftp"),
    ]


def account(configuration: str) -> str:
    """Return ``user@host`` as ssh names it when it asks for a password, from what ``ssh -G`` tells."""
    values = dict(line.split(" ", 1) for line in reversed(configuration.splitlines()) if " " in line)
    return f"{values.get('user', '')}@{values.get('hostkeyalias', values.get('hostname', ''))}"


def _login(target: Target) -> Sequence[str]:
    if target.password is None:
        return ("BatchMode=yes",)
    return "BatchMode=no", "NumberOfPasswordPrompts=1"


def _quoted(path: Path) -> str:
    text = str(path).replace("%", "%%")
    if not text.isprintable() or '"' in text or "${" in text:
        raise InvalidLocation(f"{path} cannot be given to ssh")
    return f'"{text}"'


_REASONS: Final[Sequence[tuple[str, type[PeerError | StorageError], str]]] = (
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED",
        Unreachable,
        "shows another host key than the known one; if it was changed on purpose, forget that with ssh-keygen -R",
    ),
    (
        r"Host key verification failed|host key is known",
        Unreachable,
        "is refused, because its host key is not known: have it confirmed, and add it to known_hosts",
    ),
    (
        r"(?s)(not accessible|Load key|invalid format).*Permission denied",
        AccessDenied,
        "does not let us in: the private key cannot be used",
    ),
    (
        r"Permission denied|Too many authentication failures|No supported authentication",
        AccessDenied,
        "does not let us in: authentication failed. Check user, key, agent or password",
    ),
    (r"Could not resolve hostname", Unreachable, "cannot be reached: there is no such host"),
    (r"Connection refused", Unreachable, "cannot be reached: connection refused, nobody listens on that port"),
    (r"No route to host|Network is unreachable", Unreachable, "cannot be reached: there is no way to it"),
    (r"subsystem request failed", PeerFailed, "offers no SFTP on this account"),
    (r"Timeout, server .* not responding", Stalled, "fell silent, and was given up"),
    (r"Connection timed out|Operation timed out", Unreachable, "cannot be reached: it does not answer"),
    (r"no matching|Unable to negotiate", Unreachable, "has no cipher or key type in common with us"),
    (
        r"Bad configuration option|Bad owner or permissions|terminating, \d+ bad|Can't open user config",
        Unreachable,
        "was not asked: ssh does not accept its configuration",
    ),
)


def reason(said: str, *, began: bool) -> tuple[type[PeerError | StorageError], str]:
    """Return which error it is that ssh ended after it *said* this, and what it means; *began*: it was in use."""
    for pattern, kind, meaning in _REASONS:
        if re.search(pattern, said):
            return kind, f"{meaning}{_last_line(said)}"
    kind = PeerFailed if began else Unreachable
    return kind, ("closed the connection" if began else "cannot be reached: the connection ended") + _last_line(said)


def _last_line(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    if not lines:
        return ""
    return f" (ssh: {''.join(c if c.isprintable() else '?' for c in lines[-1])[:200]})"
