"""``many`` against ``serve --objects``, as a user runs them."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

HERE = ("--usecase", "attachments", "--scope", "org=42")


@pytest.fixture
def serving(command, tmp_path):
    """Serve objects in another process; returns the URL."""
    started = []

    def start(*words):
        store = ("--store", str(tmp_path / "store"), "--objects", str(tmp_path / "shelf"))
        started.append(command("serve", *store, *words, stdout=subprocess.PIPE, text=True))
        return started[-1].stdout.readline().strip()

    yield start
    for process in started:
        process.terminate()
        process.communicate(timeout=30)


@pytest.fixture
def url(serving):
    return serving()


@pytest.fixture
def files(home):
    (home / "small").write_bytes(b"small")
    (home / "large").write_bytes(os.urandom(9_000_000))
    return home


def test_what_is_put_is_looked_at_got_and_deleted(cli, url, files):
    put = cli("many", "put", url, "small", "large", "absent", *HERE, "--prefix", "a/", "--zstd", "--ordered", "--json")
    assert put.code == 3
    results = [line for line in put.lines if line["type"] == "result"]
    assert [(line["index"], line["key"], line["ok"]) for line in results] == [
        (0, "a/small", True),
        (1, "a/large", True),
        (2, "a/absent", False),
    ]
    assert results[2]["error"] == "SourceUnreadable"
    assert (put.summary["done"], put.summary["failed"]) == (2, 1)
    looked = cli("many", "head", url, "a/small", "nowhere", *HERE, "--ordered", "--json")
    assert [line.get("absent") for line in looked.lines if line["type"] == "result"] == [None, True]
    got = cli("many", "get", url, "a/small", "a/large", *HERE, "-o", "copies")
    assert got.code == 0
    for name in ("small", "large"):
        assert (files / "copies" / "a" / name).read_bytes() == (files / name).read_bytes()
    assert cli("many", "delete", url, "a/small", *HERE).code == 0
    assert "a/small\tabsent" in cli("many", "get", url, "a/small", *HERE).out


def test_lines_of_json_are_read_from_stdin(cli, url, files, monkeypatch):
    lines = [json.dumps({"file": "small", "key": f"k{n}"}) for n in range(1200)] + ["", json.dumps("small")]
    read, write = os.pipe()
    with os.fdopen(write, "w") as pipe:
        pipe.write("\n".join(lines))
    with os.fdopen(read) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        put = cli("many", "put", url, "-", *HERE, "--expire", "ttl:1d")
    assert put.code == 0
    assert len(put.out.splitlines()) == 1201
    assert "small\tkept" in put.out.splitlines()
    assert "k1199\tkept" in put.out.splitlines()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--scope", "nonsense"), "NAME=VALUE"),
        (("--expire", "never"), "expiration"),
        (("--key", "nonsense"), "KID=FILE"),
        (("--key", "k=absent.pem"), "cannot be read"),
    ],
)
def test_what_makes_no_sense_is_said(cli, words, said):
    done = cli("many", "get", "http://127.0.0.1:9", "k", "--usecase", "good", *words)
    assert done.code in (1, 2)
    assert said in done.err


def test_a_key_that_leads_out_of_the_folder_is_not_written(cli, url, files):
    put = cli("many", "put", url, "small", *HERE, "--prefix", "../")
    assert put.code == 0
    got = cli("many", "get", url, "../small", *HERE, "-o", "copies")
    assert got.code != 0
    assert "is no path" in got.out
    assert (files / "small").read_bytes() == b"small"


def test_keys_open_a_service_that_is_closed_to_others(cli, serving, tmp_path, files):
    private = Ed25519PrivateKey.generate()
    (tmp_path / "private.pem").write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    (tmp_path / "public.pem").write_bytes(
        private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    key = f"k1={tmp_path / 'public.pem'}"
    url = serving("--objects-key", key)
    assert cli("many", "put", url, "small", *HERE).code != 0
    assert cli("many", "put", url, "small", *HERE, "--key", f"k1={tmp_path / 'private.pem'}").code == 0


def test_objects_without_a_key_stay_on_this_machine(cli, tmp_path):
    done = cli("serve", "--objects", str(tmp_path / "shelf"), "--listen", "0.0.0.0:0")
    assert done.code == 2
    assert "open to all" in done.err
