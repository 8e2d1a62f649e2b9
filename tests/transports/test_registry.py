"""Which transport asks which address."""

from __future__ import annotations

import importlib.metadata

import pytest

from sessionctx.errors import InvalidPeer
from sessionctx.transports import GatewayTransport, open_transport, registry


class Pigeon:
    """What another package would bring."""

    def __init__(self, url: str) -> None:
        self.url = url


@pytest.fixture
def installed(monkeypatch):
    """A package that is installed for the length of a test, and its scheme forgotten afterwards."""
    monkeypatch.setattr(registry, "_factories", dict(registry._factories))
    looked_for = []

    def install(**values):
        def entry_points(*, group, name):
            looked_for.append(name)
            points = [importlib.metadata.EntryPoint(n, v, "sessionctx.transports") for n, v in values.items()]
            return importlib.metadata.EntryPoints(points).select(group=group, name=name)

        monkeypatch.setattr(registry, "entry_points", entry_points)
        return looked_for

    return install


def test_gateways_are_built_in(installed):
    looked_for = installed()
    for url in ("http://127.0.0.1:8080/", "HTTPS://example.org"):
        transport = open_transport(url)
        assert isinstance(transport, GatewayTransport)
        assert transport.can.car
        assert transport.can.car
        assert url.lower().rstrip("/") == transport.url
    assert looked_for == []


def test_an_entry_point_brings_a_scheme_and_is_loaded_once(installed, monkeypatch):
    looked_for = installed(pigeon="json:loads")
    monkeypatch.setattr("json.loads", Pigeon)
    assert isinstance(open_transport("pigeon://loft"), Pigeon)
    assert open_transport("PIGEON://other").url == "PIGEON://other"
    assert looked_for == ["pigeon"]


def test_an_entry_point_that_cannot_be_loaded_is_named(installed):
    installed(pigeon="no_such_package:Pigeon")
    with pytest.raises(InvalidPeer, match=r"'pigeon://\.\.\.@loft'.*no_such_package:Pigeon.*cannot be loaded"):
        open_transport("pigeon://me:secret@loft")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("pigeon://loft", "no transport serves pigeon://; known are http, https"),
        ("example.org", "has no scheme: write https://example.org"),
        ("not a url", "is no URL"),
    ],
)
def test_what_nothing_serves(installed, url, message):
    installed()
    with pytest.raises(InvalidPeer, match=message):
        open_transport(url)


def test_real_entry_points_are_looked_at():
    with pytest.raises(InvalidPeer, match="no transport serves"):
        open_transport("no-such-scheme://x")
