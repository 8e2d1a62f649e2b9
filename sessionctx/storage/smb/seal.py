"""Messages signed or encrypted, as the login agreed: with its keys, by the `cryptography` package ([MS-SMB2] 3.1.4)."""

from __future__ import annotations

import hashlib
import hmac
import os
import struct
from typing import Final, TypeAlias

import attrs
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC

from sessionctx.errors import BadAnswer
from sessionctx.storage.smb.messages import LENGTH

TAG: Final = 16
"""Bytes of a signature: a buffer for what is received has so many more."""
_SIGNATURE: Final = slice(48, 64)
_TRANSFORM: Final = 52
_FROM_SERVER: Final = 1

Buffer: TypeAlias = bytes | bytearray | memoryview


@attrs.frozen
class Keys:
    """What a login agreed on."""

    signing: str = "hmac"
    """``"hmac"``, ``"cmac"`` or ``"gmac"``."""
    signing_key: bytes | None = attrs.field(default=None, repr=False)
    sign: bool = True
    """Everything is signed."""
    encrypt: bool = False
    """Everything is encrypted."""
    counter_mode: bool = False
    """With CCM, and not GCM."""
    encryption_key: bytes | None = attrs.field(default=None, repr=False)
    decryption_key: bytes | None = attrs.field(default=None, repr=False)


@attrs.define(eq=False)
class Seal:
    """Signs or encrypts what goes out, and checks what comes."""

    keys: Keys
    session: int
    _out: AESGCM | AESCCM | None = attrs.field(init=False, default=None, repr=False)
    _in: AESGCM | AESCCM | None = attrs.field(init=False, default=None, repr=False)
    _gmac: AESGCM | None = attrs.field(init=False, default=None, repr=False)

    def __attrs_post_init__(self) -> None:
        cipher = AESCCM if self.keys.counter_mode else AESGCM
        if self.keys.encrypt:
            self._out, self._in = (cipher(key or b"") for key in (self.keys.encryption_key, self.keys.decryption_key))
        if self.keys.signing == "gmac" and self.keys.signing_key is not None:
            self._gmac = AESGCM(self.keys.signing_key)

    @property
    def signs(self) -> bool:
        """Whether messages carry signatures; encrypted ones need none."""
        return self.keys.sign and not self.keys.encrypt

    def sign(self, frame: bytearray, message_id: int) -> None:
        """Sign the request in *frame*, which begins with its length, if it is to be signed."""
        if self.signs:
            message = memoryview(frame)[LENGTH:]
            message[_SIGNATURE] = self._signature(message, message_id, 0)

    def close(self, frame: bytearray) -> list[Buffer]:
        """Return what goes out for *frame*: encrypted, if that was agreed on."""
        return [frame] if self._out is None else self._encrypted(self._out, memoryview(frame)[LENGTH:])

    def open(self, buffer: bytearray) -> memoryview:
        """Return the messages in *buffer*, which has `TAG` bytes more than what came. :exc:`BadAnswer` if forged."""
        message = memoryview(buffer)[:-TAG]
        encrypted = bytes(message[:4]) == b"\xfdSMB"
        if encrypted != self.keys.encrypt:
            raise BadAnswer("a message came in the clear, or encrypted, where that was not agreed on")
        return message if self._in is None else self._decrypted(self._in, buffer)

    def check(self, message: memoryview, message_id: int, *, signed: bool) -> None:
        """Check the signature of a reply that is no interim one. :exc:`BadAnswer` if it is wrong, or missing."""
        if not self.signs:
            return
        given = bytes(message[_SIGNATURE])
        message[_SIGNATURE] = bytes(TAG)
        if not (signed and hmac.compare_digest(given, self._signature(message, message_id, _FROM_SERVER))):
            raise BadAnswer("the signature of a message is wrong, or missing: somebody may have changed it on its way")

    def _signature(self, message: Buffer, message_id: int, sender: int) -> bytes:
        if self._gmac is not None:
            return self._gmac.encrypt(struct.pack("<QI", message_id, sender), b"", message)
        key = self.keys.signing_key or b""
        if self.keys.signing == "cmac":
            cmac = CMAC(AES(key))
            cmac.update(bytes(message))
            return cmac.finalize()
        return hmac.new(key, message, hashlib.sha256).digest()[:TAG]

    def _encrypted(self, cipher: AESGCM | AESCCM, message: memoryview) -> list[Buffer]:
        size = 11 if self.keys.counter_mode else 12
        nonce = os.urandom(size)
        covered = struct.pack("<16sIHHQ", nonce, len(message), 0, 1, self.session)
        sealed = memoryview(cipher.encrypt(nonce, message, covered))
        head = struct.pack(">I4s", _TRANSFORM + len(message), b"\xfdSMB") + bytes(sealed[-TAG:]) + covered
        return [head, sealed[:-TAG]]

    def _decrypted(self, cipher: AESGCM | AESCCM, buffer: bytearray) -> memoryview:
        whole = memoryview(buffer)
        if len(buffer) < _TRANSFORM + TAG:
            raise BadAnswer("an encrypted message is cut short")
        whole[-TAG:] = whole[4:20]  # the tag, where the cipher wants it: after what it covers
        nonce = bytes(whole[20 : 31 if self.keys.counter_mode else 32])
        try:
            return memoryview(cipher.decrypt(nonce, whole[_TRANSFORM:], whole[20:_TRANSFORM]))
        except InvalidTag:
            raise BadAnswer("an encrypted message does not decrypt: somebody may have changed it on its way") from None
