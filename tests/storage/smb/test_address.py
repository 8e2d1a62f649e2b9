"""URLs of shares say where, and who asks; what is secret in them stays in them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionctx.errors import InvalidLocation
from sessionctx.storage.smb.address import Address, parsed


def test_all_parts_of_a_url_are_told_apart():
    address = parsed("smb://WORK;ann%20b:p%2Fw%40%3A@nas.example:1445/my%20share/a/b%25c")
    assert address == Address(
        host="nas.example", port=1445, share="my share", folder="a/b%c", user="ann b", domain="WORK", password="p/w@:"
    )
    assert address.public == "smb://nas.example:1445/my%20share/a/b%25c"
    assert address.login == "WORK\\ann b"


def test_a_url_may_leave_out_all_but_host_and_share():
    address = parsed("smb://nas/share")
    assert address == Address(host="nas", share="share")
    assert (address.url, address.public, address.login) == ("smb://nas/share", "smb://nas/share", None)


text = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=12)


@given(user=text.filter(lambda t: ";" not in t), password=st.none() | text, domain=st.none() | text)
def test_the_url_of_an_address_says_the_same(user, password, domain):
    address = Address(host="::1", port=1, share="s", folder="a/b", user=user, password=password, domain=domain)
    assert parsed(address.url) == address
    assert address.public == "smb://[::1]:1/s/a/b"


def test_credentials_are_not_shown():
    address = parsed("smb://ann:s3cret@nas/share")
    assert "s3cret" not in repr(address)
    assert "ann" not in repr(address)


@pytest.mark.parametrize(
    "url",
    [
        "smb://host", "smb://host/", "smb:///share", "smb://host:x/share", "smb://host:99999/share", "smb://u:s3cret@host",
        "smb://u:s3cret@host/share/../x", "smb://u:s3cret@host/share?x=1", "smb://u:s3cret@host/a%5Cb", "smb://host/a%00",
        "http://host/share", "smb://[::1/share",
    ],
)  # fmt: skip
def test_what_names_no_share_is_refused_without_secrets(url):
    with pytest.raises(InvalidLocation) as caught:
        parsed(url)
    assert "s3cret" not in str(caught.value)


def test_credentials_may_be_given_apart():
    address = parsed("smb://ann:one@nas/share").as_user(None, "two", "WORK")
    assert (address.user, address.password, address.domain) == ("ann", "two", "WORK")
