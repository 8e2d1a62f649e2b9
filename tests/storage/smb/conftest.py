"""Samba servers for the tests of this folder: one for each module, and others of one's own making."""

from __future__ import annotations

import secrets
import threading

import pytest

from tests.storage.smbd import smbd


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with smbd(tmp_path_factory.mktemp("smbd")) as server:
        yield server


@pytest.fixture
def folder(server):
    """A new folder in the share."""
    folder = server.data / secrets.token_hex(4)
    folder.mkdir()
    return folder


@pytest.fixture
def no_threads_left():
    """Whatever the test does, no thread of smbprotocol, nor one that works for it, is there afterwards."""
    yield
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if "msg_worker" in name]
