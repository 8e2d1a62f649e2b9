"""What is signed or encrypted can be read by who holds the keys, and not be changed by who does not."""

from __future__ import annotations

import importlib
import os

import pytest

from sessionctx.errors import BadAnswer
from sessionctx.storage.smb import messages
from sessionctx.storage.smb.messages import Command
from sessionctx.storage.smb.seal import TAG, Keys, Seal

KEY = bytes(range(16))


def frame(size=100, flags=messages.SIGNED):
    ask = messages.ask(Command.WRITE, os.urandom(size))
    messages.put_header(ask.frame, ask.command, message_id=3, session=5, tree=6, charge=1, wanted=1, flags=flags)
    return ask.frame


def encrypting(key, other, *, counter_mode=False):
    keys = Keys(encrypt=True, counter_mode=counter_mode, encryption_key=key, decryption_key=other)
    return Seal(keys, 5)


def signed_by_the_server(signing):
    """A message as a server would have signed it."""
    seal, message = Seal(Keys(signing=signing, signing_key=KEY), 5), frame()[messages.LENGTH :]
    message[48:64] = seal._signature(message, 3, 1)
    return message


@pytest.mark.parametrize("signing", ["hmac", "cmac", "gmac"])
def test_a_signature_holds_for_what_was_signed_and_nothing_else(signing):
    seal, message = Seal(Keys(signing=signing, signing_key=KEY), 5), signed_by_the_server(signing)
    seal.check(memoryview(bytearray(message)), 3, signed=True)
    with pytest.raises(BadAnswer, match="signature"):
        seal.check(memoryview(bytearray(message)), 3, signed=False)
    for at in (0, 50, 70, len(message) - 1):
        changed = bytearray(message)
        changed[at] ^= 1
        with pytest.raises(BadAnswer, match="signature"):
            seal.check(memoryview(changed), 3, signed=True)


def test_our_signature_is_that_of_smbprotocol():
    connection = importlib.import_module("smbprotocol.connection")
    for signing, dialect, number in (("hmac", 0x210, None), ("cmac", 0x302, None), ("gmac", 0x311, 2)):
        other = connection.Connection(None, "host")
        other.dialect, other.signing_algorithm_id = dialect, number
        sent = frame()
        plain = bytes(sent[messages.LENGTH :])
        Seal(Keys(signing=signing, signing_key=KEY), 5).sign(sent, 3)
        assert bytes(sent[52:68]) == other._generate_signature(plain, KEY, 3, False, Command.WRITE)


@pytest.mark.parametrize("counter_mode", [False, True])
def test_what_is_encrypted_is_read_with_the_key_and_cannot_be_changed(counter_mode):
    us, other = KEY, KEY[::-1]
    here, there = (encrypting(*keys, counter_mode=counter_mode) for keys in ((us, other), (other, us)))
    sent = frame()
    wire = bytearray(b"".join(bytes(part) for part in here.close(sent)))[messages.LENGTH :]
    assert bytes(sent[68:]) not in bytes(wire)
    assert there.open(wire + bytes(TAG)) == sent[messages.LENGTH :]
    for at in (5, 21, 40, 60, len(wire) - 1):
        changed = bytearray(wire)
        changed[at] ^= 1
        with pytest.raises(BadAnswer):
            there.open(changed + bytes(TAG))


def test_what_comes_in_the_clear_is_refused_where_all_is_encrypted():
    with pytest.raises(BadAnswer, match="in the clear"):
        encrypting(KEY, KEY).open(frame()[messages.LENGTH :] + bytes(TAG))
    with pytest.raises(BadAnswer, match="encrypted"):
        Seal(Keys(), 5).open(bytearray(b"\xfdSMB") + bytes(100))
    with pytest.raises(BadAnswer, match="cut short"):
        encrypting(KEY, KEY).open(bytearray(b"\xfdSMB") + bytes(TAG))


def test_keys_are_not_shown():
    keys = Keys(signing_key=b"s3cret", encryption_key=b"s3cret", decryption_key=b"s3cret")
    assert "s3cret" not in repr(keys)
