"""A connected socket in the place of smbprotocol's own transport: its reader ends when told, and it stays open."""

from __future__ import annotations

import os
import select
import socket
import struct
import threading
from contextlib import suppress
from typing import Any, Final

_LARGEST: Final = 1024 * 1024
"""Bytes of a message while logging in."""


class Wire:
    """A socket in the place of smbprotocol's transport: ends when told, and then leaves the socket open."""

    def __init__(self, fileno: int) -> None:
        self._socket: socket.socket | None = socket.socket(fileno=fileno)
        self._socket.setblocking(True)
        self._stop, self._stopped = os.pipe()
        self._lock = threading.Lock()
        self.connected = True
        self.answered = self.old = False

    def connect(self) -> None:
        """It is connected already."""

    def close(self) -> None:
        """Let the thread that receives end."""
        with self._lock:
            if self.connected:
                self.connected = False
                os.write(self._stopped, b"x")

    def send(self, message: Any) -> None:
        """Send a message, given as bytes or as one of smbprotocol's structures."""
        assert self._socket is not None
        message = message if isinstance(message, bytes) else message.pack()
        self._socket.sendall(struct.pack(">I", len(message)) + message)

    def recv(self, timeout: float) -> bytes:  # noqa: ARG002 - the whole login has a limit
        """Return the next message; nothing when it is over."""
        size = struct.unpack(">I", self._exactly(4) or bytes(4))[0]
        message = self._exactly(size) if 0 < size <= _LARGEST else b""
        self.answered |= bool(message)
        if message[:4] == b"\xffSMB":
            self.old = True
            message = b""
        if not message:
            self.close()
        return message

    def keep(self) -> socket.socket:
        """Return the socket: it is the caller's now."""
        assert self._socket is not None
        kept, self._socket = self._socket, None
        kept.setblocking(False)
        return kept

    def drop(self) -> None:
        """Break the line, if it is still ours; who waits for it goes on at once."""
        self.close()
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """Close what is still ours, when no thread uses it any longer."""
        for fileno in (self._stop, self._stopped):
            os.close(fileno)
        if self._socket is not None:
            self._socket.close()

    def _exactly(self, size: int) -> bytes:
        data = b""
        poll = select.poll()
        assert self._socket is not None
        for fileno in (self._socket.fileno(), self._stop):
            poll.register(fileno, select.POLLIN)
        while len(data) < size:
            poll.poll()
            if not self.connected:
                return b""
            try:
                came = self._socket.recv(size - len(data))
            except OSError:
                return b""
            if not came:
                return b""
            data += came
        return data
