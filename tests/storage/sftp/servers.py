"""OpenSSH's servers for the length of some tests: with keys of their own, on a free port, known to nobody else."""

from __future__ import annotations

import getpass
import os
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import attrs
import pytest

from tests.storage.process import free_port, program, running

_CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
PidFile none
AuthorizedKeysFile {folder}/user.pub
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
Subsystem sftp internal-sftp
MaxStartups 100
KexAlgorithms curve25519-sha256,curve25519-sha256@libssh.org
LogLevel ERROR
"""


def sftp_server() -> str:
    """The program that speaks SFTP on its pipes."""
    for place in ("/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server", "/usr/libexec/sftp-server"):
        if Path(place).exists():
            return place
    return pytest.skip("sftp-server is not installed (package openssh-sftp-server)")


@attrs.frozen
class Sshd:
    folder: Path
    port: int

    def url(self, path: Path | str, *, port: int | None = None) -> str:
        return f"sftp://{getpass.getuser()}@127.0.0.1:{port or self.port}{path}"

    @property
    def options(self) -> dict[str, object]:
        return {"identity": self.folder / "user", "known_hosts": self.folder / "known", "config": "none"}

    def know(self, port: int) -> None:
        """Let the same host key be known on *port*, too."""
        kind, key, *_ = (self.folder / "host.pub").read_text().split()
        with (self.folder / "known").open("a") as known:
            known.write(f"[127.0.0.1]:{port} {kind} {key}\n")


@contextmanager
def master(server: Sshd):
    """Run a connection that others go through, for the length of a block, which is given the options for that.

    Logging in takes longer than most of the tests that do; besides, this is how many people have set up their ssh.
    """
    socket, config = server.folder / "master", server.folder / "shared"
    config.write_text(f"ControlPath {socket}\n")
    login = ["-i", str(server.folder / "user"), "-o", f"UserKnownHostsFile={server.folder}/known"]
    argv = [program("ssh", "openssh-client"), "-F", "none", "-N", "-M", "-S", str(socket), *login]
    argv += ["-p", str(server.port), "127.0.0.1"]
    with running(argv, port=None, log=server.folder / "log of the master"):
        until = time.monotonic() + 20
        while not socket.exists():
            assert time.monotonic() < until, (server.folder / "log of the master").read_text()
            time.sleep(0.02)
        yield server.options | {"config": config}


@contextmanager
def sshd(folder: Path):
    """Run sshd until the end of the block; whoever has the key *folder*/user may come in."""
    argv = [program("sshd", "openssh-server"), "-D", "-e", "-f", str(folder / "config")]
    program("ssh", "openssh-client")
    for name in ("host", "user"):
        make = [program("ssh-keygen", "openssh-client"), "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(make, check=True)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd wants it
    server = Sshd(folder, free_port())
    (folder / "config").write_text(_CONFIG.format(port=server.port, folder=folder))
    server.know(server.port)
    with running(argv, port=server.port, log=folder / "log"):
        yield server
