"""A Samba server of our own for the length of some tests: on a free port, with a throw-away user in a private database."""

from __future__ import annotations

import getpass
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import attrs

from tests.storage.process import free_port, program, running

USER, PASSWORD = getpass.getuser(), "s3cret/pass@word"


@attrs.frozen
class Smbd:
    """A server that runs, and the folder that its share ``share`` shows."""

    port: int
    data: Path

    def url(self, path: str = "", *, port: int | None = None, share: str = "share") -> str:
        return f"smb://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{port or self.port}/{share}" + (
            f"/{path}" if path else ""
        )


@contextmanager
def smbd(work: Path, *, data: Path | None = None, **options: str):
    """Run smbd in *work*; *options* are further ones of its configuration, with ``_`` for the spaces."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="smbd-") as short:  # the paths of its sockets have a limit
        with _smbd(work, Path(short), data or work / "data", options) as server:
            yield server


@contextmanager
def _smbd(work: Path, short: Path, data: Path, options: dict[str, str]):
    server, accounts = program("smbd", "samba"), program("pdbedit", "samba")
    work.mkdir(parents=True, exist_ok=True)
    folders = {name: short / name for name in ("private", "lock", "state", "cache", "pid", "ncalrpc")}
    for folder in (data, *folders.values()):
        folder.mkdir(parents=True, exist_ok=True)
    port, config = free_port(), work / "smb.conf"
    settings = {
        "interfaces": "127.0.0.1",
        "bind interfaces only": "yes",
        "smb ports": str(port),
        "server role": "standalone server",
        "workgroup": "TEST",
        "netbios name": "CTXTEST",
        "disable netbios": "yes",
        "disable spoolss": "yes",
        "load printers": "no",
        "printcap name": "/dev/null",
        "server min protocol": "SMB2_02",
        "private dir": str(folders["private"]),
        "lock directory": str(folders["lock"]),
        "state directory": str(folders["state"]),
        "cache directory": str(folders["cache"]),
        "pid directory": str(folders["pid"]),
        "ncalrpc dir": str(folders["ncalrpc"]),
        "passdb backend": f"tdbsam:{folders['private']}/passdb.tdb",
        "log file": str(work / "log.%m"),
        "log level": "1",
        "map to guest": "never",
    } | {key.replace("_", " "): value for key, value in options.items()}
    lines = ["[global]", *(f"  {key} = {value}" for key, value in settings.items())]
    lines += ["[share]", f"  path = {data}", "  read only = no", f"  force user = {USER}"]
    lines += ["[frozen]", f"  path = {data}", "  read only = yes", f"  force user = {USER}"]
    config.write_text("\n".join(lines) + "\n")
    subprocess.run(
        [accounts, "-s", str(config), "-a", "-t", "-u", USER],
        input=f"{PASSWORD}\n{PASSWORD}\n", text=True, check=True, capture_output=True,
    )  # fmt: skip
    argv = [server, "-F", "--no-process-group", "-s", str(config)]
    with running(argv, port=port, log=work / "said"):
        yield Smbd(port, data)
