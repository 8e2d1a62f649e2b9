"""What the command line prints: data on stdout, everything else on stderr, and with ``--json`` one object per line."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping

import attrs
import trio

FORMAT = 1
"""The version of the JSON Lines; it changes when a field changes its meaning."""

_ENOUGH = 64 * 1024


@attrs.define(eq=False)
class Output:
    """Where a verb says things. *json*, *quiet*, *verbose* and *progress* are the user's choice."""

    json: bool = False
    quiet: bool = False
    verbose: int = 0
    progress: bool = True
    _pending: bytearray = attrs.field(factory=bytearray, init=False)
    _summed_up: bool = attrs.field(default=False, init=False)

    def begin(self, command: str) -> None:
        """The first object of a run, which carries the version of the format."""
        if self.json:
            self._append(json.dumps({"type": "begin", "version": FORMAT, "command": command}))

    async def data(self, kind: str, line: str, /, **fields: object) -> None:
        """A result: *line* for people and pipes, or an object of type *kind* with *fields*."""
        self._append(_dumps({"type": kind, **fields}) if self.json else line)
        if len(self._pending) >= _ENOUGH:
            await self.flush()

    def note(self, text: str) -> None:
        """A message for people, on stderr; not with ``-q``."""
        if not self.quiet:
            self.complain(text)

    def complain(self, text: str) -> None:
        """A message on stderr that ``-q`` does not silence."""
        sys.stderr.write(printable(text, keep="\n") + "\n")
        sys.stderr.flush()

    def error(self, error: BaseException, code: int) -> None:
        """Why the run, or a part of it, failed."""
        text = str(error) or type(error).__name__
        self.complain(f"sessionctx: {text}")
        if self.json:
            record = {"type": "error", "error": type(error).__name__, "message": text, "exit": int(code)}
            self._append(_dumps(record))

    def summary(self, **fields: object) -> None:
        """The last object of a run; only the first call counts."""
        if self.json and not self._summed_up:
            self._append(_dumps({"type": "summary", **fields}))
        self._summed_up = True

    async def raw(self, data: bytes) -> None:
        """Bytes of content, for stdout. Does not block other tasks while the reader of a pipe takes its time."""
        await self.flush()
        await _write(data)

    async def flush(self) -> None:
        """Write what is pending to stdout."""
        data, self._pending = bytes(self._pending), bytearray()
        await _write(data)

    def finish(self) -> None:
        """Write what is pending, outside trio."""
        data, self._pending = bytes(self._pending), bytearray()
        _write_all(data)

    def _append(self, line: str) -> None:
        self._pending += f"{line}\n".encode("utf-8", "surrogateescape")


def printable(text: str, *, keep: str = "") -> str:
    """*text* with everything that a terminal might obey, and lone surrogates, written as escapes."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each in keep else _escaped(each) for each in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def _dumps(record: Mapping[str, object]) -> str:
    """One line of JSON. Not-UTF-8 file names are in it as escaped surrogates, as Python has them."""
    return json.dumps(record, ensure_ascii=True)


async def _write(data: bytes) -> None:
    if data:
        # the thread is given up on Ctrl-C: a reader may never read again
        await trio.to_thread.run_sync(_write_all, data, abandon_on_cancel=True)
    else:
        await trio.lowlevel.checkpoint()


def _write_all(data: bytes) -> None:
    """Write to the file descriptor itself: an abandoned thread must not hold the lock of ``sys.stdout``."""
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]
