"""Names with characters that Windows reserves go out with stand-ins, and come back as they were."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionctx.errors import InvalidLocation
from sessionctx.storage.smb.names import from_wire, to_wire

names = st.text(
    st.characters(exclude_categories=["Cc", "Cs", "Co"], exclude_characters="/"), min_size=1, max_size=30
).filter(lambda name: name not in {".", ".."})


@given(st.lists(names, min_size=1, max_size=4))
def test_what_goes_out_comes_back_and_holds_nothing_reserved(way):
    wire = to_wire("/".join(way))
    assert [from_wire(name) for name in wire.split("\\")] == way
    assert not set('"*:<>?|/') & set(wire)
    assert not any(name.endswith((" ", ".")) for name in wire.split("\\"))


def test_the_stand_ins_are_those_of_macos_and_linux():
    assert to_wire('"*:<>?\\| .') == "\uf020\uf021\uf022\uf023\uf024\uf025\uf026\uf027 \uf029"
    assert to_wire("a ") == "a\uf028"


@pytest.mark.parametrize("path", ["a\uf020b", "x" * 256, "a/" + "\U0001f600" * 128])
def test_what_no_server_can_hold_is_refused(path):
    with pytest.raises(InvalidLocation, match="share") as caught:
        to_wire(path, storage="smb://nas/share")
    assert caught.value.path == path
