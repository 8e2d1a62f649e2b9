"""What is decided without a line: URLs, windows, cuts, how ssh is started and what it means."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionctx.errors import AccessDenied, InvalidLocation, PeerFailed, Stalled, Unreachable
from sessionctx.storage.sftp.command import SshOptions, account, argv, reason
from sessionctx.storage.sftp.cutter import Cutter
from sessionctx.storage.sftp.faults import inside
from sessionctx.storage.sftp.target import Target, parse
from sessionctx.storage.sftp.window import LEAST, MOST, TOGETHER, UNKNOWN, piece, window

# --- targets


@pytest.mark.parametrize(
    ("url", "host", "root", "user", "port", "at"),
    [
        ("sftp://host/srv/data", "host", "/srv/data", None, None, b"/srv/data/x"),
        ("sftp://me@host:2222/", "host", "/", "me", 2222, b"/x"),
        ("sftp://host", "host", "/", None, None, b"/x"),
        ("sftp://host/~/my/data/", "host", "my/data", None, None, b"my/data/x"),
        ("sftp://host/~", "host", "", None, None, b"x"),
        ("sftp://m%40e@[::1]/a%20b", "::1", "/a b", "m@e", None, b"/a b/x"),
    ],
)
def test_a_url_says_where(url, host, root, user, port, at):
    target = parse(url)
    assert (target.host, target.root, target.user, target.port) == (host, root, user, port)
    assert target.at("x") == at
    assert parse(target.url) == target
    assert target.public == target.url


def test_the_root_itself_has_a_name():
    assert [parse(url).at("") for url in ("sftp://h/", "sftp://h/~", "sftp://h/a/")] == [b"/", b".", b"/a"]


def test_a_password_is_in_the_url_and_nowhere_else():
    target = parse("sftp://me:hunt%2Fer@host/x")
    assert target.password == "hunt/er"
    assert target.url == "sftp://me:hunt%2Fer@host/x"
    assert parse("sftp://host/x", user="me", password="hunt/er") == target
    for shown in (target.public, target.endpoint, repr(target), " ".join(argv(target, SshOptions()))):
        assert "hunt" not in shown


@pytest.mark.parametrize(
    "url",
    [
        "sftp:///x",
        "sftp://-oProxyCommand=evil/x",
        "sftp://-l@host/x",
        "sftp://a b/x",
        "sftp://host;ls/x",
        "sftp://host:0/x",
        "sftp://host:99999/x",
        "sftp://me:secret@host:port/x",
        "sftp://:secret@host/x",
        "sftp://me:sec%0Aret@host/x",
        "sftp://me:secret@host/../x",
        "sftp://me:secret@host/a%00b",
        "sftp://me:secret@host/x?y",
        "sftp://me:secret@ho$t/x#y",
    ],
)
def test_a_url_that_can_be_none_is_refused_without_its_secrets(url):
    with pytest.raises(InvalidLocation) as caught:
        parse(url)
    assert "secret" not in str(caught.value)


@given(st.text(), st.text(), st.text())
def test_whatever_the_parts_are_ssh_is_given_no_option_by_them(user, host, path):
    """A host or a user is refused, or is one that ssh cannot take for an option."""
    try:
        target = parse(f"sftp://{user}@{host}/{path}")
    except InvalidLocation:
        return
    words = argv(target, SshOptions())
    assert words[words.index("--") + 1 :] == [target.host, "sftp"]
    assert not target.host.startswith("-")
    assert not (target.user or "").startswith("-")


# --- ssh


def options_of(words: list[str]) -> set[str]:
    return {words[n + 1] for n, word in enumerate(words) if word == "-o"}


def test_unknown_hosts_are_refused_and_nothing_is_asked():
    options = options_of(argv(Target("h", "/"), SshOptions()))
    assert {"StrictHostKeyChecking=yes", "BatchMode=yes", "RequestTTY=no", "ClearAllForwardings=yes"} <= options


def test_options_reach_ssh():
    target = Target("h", "/", "me", 2222)
    options = SshOptions(
        identity=Path("/k"), known_hosts=Path("/a b/%k"), config=Path("/c"), host_keys="new", idle=30, program="ssh2"
    )
    words = argv(target, options)
    assert words[0] == "ssh2"
    assert words[words.index("-F") + 1] == "/c"
    assert words[words.index("-i") + 1] == "/k"
    assert words[words.index("-l") + 1] == "me"
    assert words[words.index("-p") + 1] == "2222"
    assert {
        'UserKnownHostsFile="/a b/%%k"',
        "GlobalKnownHostsFile=none",
        "StrictHostKeyChecking=accept-new",
        "IdentitiesOnly=yes",
        "ServerAliveInterval=10",
        "ServerAliveCountMax=3",
        "ConnectTimeout=30",
    } <= options_of(words)


def test_a_file_name_that_would_end_its_quotes_is_refused():
    with pytest.raises(InvalidLocation):
        argv(Target("h", "/"), SshOptions(known_hosts=Path('/a" ProxyCommand "evil')))


def test_the_account_is_as_ssh_names_it():
    assert account("user me\nhostname example.org\nport 22\n") == "me@example.org"
    assert account("user me\nhostname example.org\nhostkeyalias other\n") == "me@other"


@pytest.mark.parametrize(
    ("said", "kind", "meaning"),
    [
        ("No ED25519 host key is known for [h]:1\nHost key verification failed.", Unreachable, "host key is not known"),
        ("@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.", Unreachable, "another"),
        ("me@h: Permission denied (publickey).", AccessDenied, "authentication failed"),
        ("Warning: Identity file k not accessible: gone.\nme@h: Permission denied (publickey).", AccessDenied, "key"),
        ("ssh: Could not resolve hostname h: Name or service not known", Unreachable, "no such host"),
        ("ssh: connect to host h port 1: Connection refused", Unreachable, "refused"),
        ("ssh: connect to host h port 1: No route to host", Unreachable, "no way"),
        ("ssh: connect to host h port 1: Connection timed out", Unreachable, "does not answer"),
        ("Timeout, server h not responding.", Stalled, "silent"),
        ("subsystem request failed on channel 0", PeerFailed, "no SFTP"),
        ("Unable to negotiate with h port 1: no matching cipher found.", Unreachable, "cipher"),
        ("c: line 1: Bad configuration option: x", Unreachable, "configuration"),
        ("Connection closed by h port 1", Unreachable, "the connection ended (ssh: Connection closed by h port 1)"),
        ("", Unreachable, "the connection ended"),
    ],
)
def test_what_ssh_says_is_said_in_plain_words(said, kind, meaning):
    found, why = reason(said, began=False)
    assert found is kind
    assert meaning in why
    assert why.isprintable()


def test_a_line_that_was_in_use_has_failed():
    assert reason("Connection reset by peer", began=True)[0] is PeerFailed


# --- how much at a time


@given(st.none() | st.floats(0, 100), st.none() | st.floats(0, 1e12), st.integers(0, 5000))
def test_a_window_is_bounded_alone_and_together(latency, rate, sharers):
    room = window(latency, rate, sharers)
    assert room <= MOST
    assert room * sharers <= TOGETHER
    assert sharers > TOGETHER // LEAST or room >= LEAST


def test_a_window_is_what_the_line_holds_twice():
    assert window(None, None, 1) == UNKNOWN
    assert window(0.1, 20e6, 1) == 4_000_000
    assert window(0.001, 1e6, 1) == LEAST


@given(st.integers(0, MOST), st.integers(1, 300_000))
def test_pieces_are_never_larger_than_the_server_takes(room, most):
    assert 0 < piece(room, most, 32_768) <= most


@given(
    st.lists(st.binary(max_size=50), max_size=20), st.integers(1, 20), st.sampled_from([bytes, bytearray, memoryview])
)
def test_what_is_cut_is_what_was_given(pieces, size, kind):
    """Whatever sizes come, the bytes stay in order; all but the last are whole, and none can be changed later."""
    cutter, found = Cutter(size), []
    for data in pieces:
        given = kind(bytearray(data)) if kind is memoryview else kind(data)
        found += list(cutter.cut(given))
        if kind is not bytes:
            given[:] = bytes(len(data))
    found += list(cutter.rest())
    assert b"".join(map(bytes, found)) == b"".join(pieces)
    assert all(len(each) == size for each in found[:-1])


def test_large_bytes_are_not_copied():
    data = bytes(100)
    cuts = list(Cutter(30).cut(data))
    assert all(cut.obj is data for cut in cuts)


def test_inside_is_by_whole_names():
    assert inside(b"/a", b"/a/b")
    assert inside(b"/a", b"/a")
    assert inside(b"/", b"/x")
    assert not inside(b"/a", b"/ab")
    assert not inside(b"/a", b"/")
