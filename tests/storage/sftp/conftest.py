from __future__ import annotations

import pytest

from tests.storage.sftp.servers import sshd


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """An sshd of our own, and who may come in."""
    with sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server
