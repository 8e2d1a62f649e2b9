"""A password reaches ssh, and nobody else: not its command line, no file, no other host on the way."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

import sessionctx.storage.sftp
from sessionctx.errors import AccessDenied
from sessionctx.storage import open_storage
from sessionctx.testing.storage import listed
from tests.storage.sftp.servers import sftp_server

HELPER = Path(sessionctx.storage.sftp.__file__).with_name("askpass.sh")

SSH = """\
#!/bin/sh
# Asks for a password as ssh does, and lets in who knows it.
case "$*" in *hunter2*) echo "the password is on the command line" >&2; exit 1;; esac
case "$*" in *BatchMode=no*NumberOfPasswordPrompts=1*) ;; *) exit 1;; esac
if [ "$1" = -G ]; then printf 'user me\\nhostname 127.0.0.1\\n'; exit; fi
[ "$SSH_ASKPASS_REQUIRE" = force ] || exit 1
if "$SSH_ASKPASS" "me@jump's password: "; then echo "told to a jump host" >&2; exit 1; fi
if [ "$("$SSH_ASKPASS" "me@127.0.0.1's password: ")" = "hunter2 'x" ]; then exec SERVER; fi
echo "me@127.0.0.1: Permission denied (password)." >&2
exit 255
"""


@pytest.fixture
def ssh(tmp_path):
    program = tmp_path / "ssh"
    program.write_text(SSH.replace("SERVER", sftp_server()))
    program.chmod(0o700)
    return program


async def test_a_password_lets_us_in(ssh, tmp_path):
    async with open_storage(f"sftp://me@alias{tmp_path}", password="hunter2 'x", ssh=str(ssh)) as backend:
        assert list(await listed(backend)) == ["ssh"]
        assert "hunter2" not in backend.public + backend.endpoint + repr(backend)
    assert not any(name.startswith("SESSIONCTX") for name in os.environ)


async def test_a_wrong_one_is_denied_and_not_shown(ssh, tmp_path):
    with pytest.raises(AccessDenied, match="authentication failed") as caught:
        async with open_storage(f"sftp://me:hunter3@alias{tmp_path}", ssh=str(ssh)):
            pass
    assert "hunter3" not in str(caught.value)


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        ("me@host's password: ", True),
        ("(me@host) Password: ", True),
        ("me@host2's password: ", False),
        ("(me@host2) Password: ", False),
        ("Enter passphrase for key 'id_rsa': ", False),
        ("Are you sure you want to continue connecting (yes/no)? ", False),
        ("", False),
    ],
)
def test_the_helper_answers_for_that_account_alone(prompt, told):
    environment = {"SESSIONCTX_SFTP_ACCOUNT": "me@host", "SESSIONCTX_SFTP_PASSWORD": "p $(x) %s"}
    done = subprocess.run([HELPER, prompt], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode == 0, done.stdout) == (told, "p $(x) %s\n" if told else "")
