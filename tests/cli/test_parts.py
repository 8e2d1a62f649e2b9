"""The parts of the command line that need no process: values, references, codes, what is printed."""

from __future__ import annotations

import sys

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionctx import errors
from sessionctx.cli import options
from sessionctx.cli.exits import MEANINGS, Exit, cause, exit_code
from sessionctx.cli.output import Output, printable
from sessionctx.cli.peertable import human, table
from sessionctx.cli.reference import Reference, reference
from sessionctx.content import CID

NAME = "bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.BlockNotFound("x"), Exit.NOT_FOUND),
        (errors.PathNotFound("x"), Exit.NOT_FOUND),
        (errors.NoPeers("x"), Exit.NOT_FOUND),
        (errors.FetchFailed("x"), Exit.TEMPORARY),
        (errors.FetchFailed("x", reasons={"a": errors.Busy("x"), "b": errors.Lied("x")}), Exit.MISMATCH),
        (errors.HashMismatch("x"), Exit.MISMATCH),
        (errors.LimitReached("x"), Exit.LIMIT),
        (errors.InvalidCID("x"), Exit.USAGE),
        (errors.InvalidPeer("x"), Exit.USAGE),
        (errors.MissingExtra("x"), Exit.USAGE),
        (errors.StoreFull("x"), Exit.FAILED),
        (errors.TargetExists("x"), Exit.FAILED),
        (OSError("x"), Exit.FAILED),
        (BrokenPipeError("x"), Exit.NO_READER),
        (ExceptionGroup("x", [ValueError("y"), ExceptionGroup("z", [errors.LimitReached("x")])]), Exit.LIMIT),
        (ExceptionGroup("x", [ValueError("y")]), Exit.FAILED),
    ],
)
def test_each_error_has_its_code(error, code):
    assert exit_code(error) is code


def test_every_code_has_a_meaning():
    assert set(MEANINGS) == set(Exit)


def test_of_a_group_ours_is_told():
    ours = errors.StoreError("ours")
    assert cause(ExceptionGroup("x", [ValueError("other"), ours])) is ours


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (NAME, Reference(CID.parse(NAME))),
        (f"{NAME}/a/b", Reference(CID.parse(NAME), "a/b")),
        (f"/ipfs/{NAME}/a b/", Reference(CID.parse(NAME), "a b")),
        (f"ipfs://{NAME}/a%20b", Reference(CID.parse(NAME), "a b")),
        (f"{NAME}/a%20b", Reference(CID.parse(NAME), "a%20b")),
    ],
)
def test_a_reference_is_written_in_several_ways(text, expected):
    assert reference(text) == expected


def test_what_a_reference_is_called():
    assert reference(NAME).name == NAME == str(reference(NAME))
    assert reference(f"{NAME}/a/b").name == "b"
    assert str(reference(f"{NAME}/a/b")) == f"{NAME}/a/b"


@pytest.mark.parametrize("text", ["", "hello", f"{NAME}x", "ipfs://", "/ipfs/", "\x1b[31mred"])
def test_what_is_no_reference_is_refused_without_obeying_it(text):
    with pytest.raises(click.BadParameter, match="is no CID") as refused:
        reference(text)
    assert "\x1b" not in refused.value.message


@pytest.mark.parametrize(
    ("text", "expected"),
    [("127.0.0.1:0", ("127.0.0.1", 0)), ("[::1]:80", ("::1", 80)), ("localhost:65535", ("localhost", 65535))],
)
def test_an_address_is_host_and_port(text, expected):
    assert options.address(text) == expected


@pytest.mark.parametrize("text", ["", "localhost", ":80", "::1:80", "host:", "host:65536", "host:http", "a b:1"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(click.BadParameter, match="HOST:PORT"):
        options.address(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seconds=30", ("seconds", 30)),
        ("seconds=0.5", ("seconds", 0.5)),
        ("bytes=10MiB", ("bytes", 10 << 20)),
        ("requests=7", ("requests", 7)),
        ("in_flight=2", ("in_flight", 2)),
    ],
)
def test_a_limit_is_a_name_and_an_amount(text, expected):
    assert options.limit(text) == expected


@pytest.mark.parametrize(
    "text", ["", "seconds", "seconds=", "seconds=soon", "bytes=1.5", "bytes=10MB", "weeks=1", "bytes=-1"]
)
def test_what_is_no_limit_is_refused(text):
    with pytest.raises(click.BadParameter):
        options.limit(text)


@given(st.text())
def test_what_is_printed_cannot_command_a_terminal(text):
    """However a name looks, what is printed of it has no control characters, and a plain name is printed as it is."""
    shown = printable(text)
    assert shown.isprintable()
    assert (shown == text) == text.isprintable()


def test_lone_surrogates_are_printable():
    printable("\udcff\x1b").encode()


@pytest.mark.parametrize(
    ("amount", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (3 << 20, "3.0 MiB"), (5 << 30, "5.0 GiB"), (2 << 40, "2.0 TiB")],
)
def test_amounts_are_short(amount, text):
    assert human(amount) == text


def test_the_peer_table_shows_what_is_known():
    row = dict.fromkeys(("asked", "found", "missing", "failed", "lied"), 7)
    row |= {"kind": "good", "bytes": 2048, "latency": 0.0123, "throughput": 1024.0, "state": "good"}
    unknown = {**row, "kind": "slow", "latency": None, "throughput": None, "bytes": 0}
    lines = table([row, unknown]).splitlines()
    assert "12.3 ms" in lines[3]
    assert "1.0 KiB/s" in lines[3]
    assert lines[4].split() == ["slow", "7", "7", "7", "7", "7", "0", "B", "-", "-", "good"]


def test_only_errors_are_said_in_quiet(capsys):
    output = Output(quiet=True)
    output.note("hello")
    output.error(ValueError(), 1)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "sessionctx: ValueError\n")


def test_the_summary_comes_once(capfd):
    output = Output(json=True)
    output.summary(ok=True)
    output.summary(ok=False)
    output.finish()
    assert capfd.readouterr().out == '{"type": "summary", "ok": true}\n'


def test_without_the_extra_the_command_says_what_to_install(monkeypatch, capsys):
    from sessionctx.cli import main

    for name in [name for name in sys.modules if name.startswith("sessionctx.cli.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "click", None)
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert capsys.readouterr().err == "sessionctx: the command line needs click: pip install 'sessionctx[cli]'\n"
