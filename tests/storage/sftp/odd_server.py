"""An SFTP server for tests, on its standard input and output, which is as odd as it is told; a program of its own.

Usage: odd_server.py FOLDER ODDITY...
"""

import os
import random
import select
import stat
import struct
import sys

FOLDER, ODD = sys.argv[1], set(sys.argv[2:])
PIECE = 10_000
HANDLES = {}


def string(data):
    return struct.pack(">I", len(data)) + data


def send(kind, number, body):
    data = string(struct.pack(">BI", kind, number) + body)
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def receive():
    head = exactly(4)
    return exactly(struct.unpack(">I", head)[0]) if head else None


def exactly(count):
    """Read so many bytes, and no byte more, so that select() tells the truth."""
    data = b""
    while len(data) < count:
        more = os.read(0, count - len(data))
        if not more:
            return None
        data += more
    return data


def status(number, code, message=b""):
    send(101, number, struct.pack(">I", code) + string(message) + string(b""))


def attributes(found):
    if "sizeless" in ODD:
        return struct.pack(">II", 4, found.st_mode)
    times = struct.pack(">II", int(found.st_atime), int(found.st_mtime))
    return struct.pack(">IQI", 1 | 4 | 8, found.st_size, found.st_mode) + times


def strings(body):
    length = struct.unpack_from(">I", body)[0]
    return body[4 : 4 + length], body[4 + length :]


def read(number, handle, offset, length):
    if "ends" in ODD and offset >= PIECE:
        status(number, 1)
        return
    data = os.pread(HANDLES[handle], min(length, PIECE) if "short" in ODD else length, offset)
    if "empty" in ODD:
        data = b""
    if "more" in ODD:
        data = bytes(length + 1)
    if data or ODD & {"empty", "more"}:
        send(103, number, string(data))
    else:
        status(number, 1)


def names(number, path):
    if path in HANDLES:
        status(number, 1)
        return
    HANDLES[path] = None
    found = [b".", b"..", b"plain", b"bro\xffken", b"a/b", b"new\nline", b"../up", b""]
    here = attributes(os.lstat(FOLDER))
    send(104, number, struct.pack(">I", len(found)) + b"".join(string(n) + string(b"") + here for n in found))


def answer(kind, number, body):
    first, rest = strings(body)
    path = first.decode(errors="replace")
    if kind == 3 and "pipe" in ODD:
        raise AssertionError("only files are to be opened")
    if kind == 3:
        flags = struct.unpack_from(">I", rest)[0]
        system = os.O_RDONLY if flags == 1 else os.O_WRONLY | os.O_CREAT | os.O_EXCL
        try:
            opened = os.open(path, system, 0o600)
        except FileNotFoundError:
            status(number, 2)
            return
        handle = b"%d" % opened
        HANDLES[handle] = opened
        send(102, number, string(handle))
    elif kind == 4:
        if HANDLES.get(first) is not None:
            os.close(HANDLES.pop(first))
        status(number, 0)
    elif kind == 5:
        offset, length = struct.unpack(">QI", rest)
        read(number, first, offset, length)
    elif kind == 6:
        offset = struct.unpack_from(">Q", rest)[0]
        data, _ = strings(rest[8:])
        if "full" in ODD:
            status(number, 4, b"Failure")
        else:
            os.pwrite(HANDLES[first], data, offset)
            status(number, 0)
    elif kind in {7, 17}:
        look(kind, number, path)
    elif kind == 8:
        send(105, number, attributes(os.fstat(HANDLES[first])))
    elif kind == 11:
        send(102, number, string(first))
    elif kind == 12:
        names(number, first)
    elif kind == 13:
        os.remove(path)  # noqa: PTH107
        status(number, 0)
    elif kind == 16:
        send(104, number, struct.pack(">I", 1) + string(os.path.realpath(first)) + string(b"") + bytes(4))
    elif kind == 18:
        target, _ = strings(rest)
        if os.path.lexists(target):
            status(number, 4)
        else:
            os.replace(first, target)  # noqa: PTH105
            status(number, 0)
    elif kind == 200 and first.startswith(b"statvfs"):
        send(201, number, struct.pack(">11Q", 4096, 4096, 100, 0, 0, 10, 5, 5, 0, 0, 255))
    else:
        status(number, 8)


def look(kind, number, path):
    try:
        found = os.lstat(path) if kind == 7 else os.stat(path)  # noqa: PTH116
    except FileNotFoundError:
        status(number, 2)
        return
    if "pipe" in ODD and stat.S_ISREG(found.st_mode):
        found = os.stat_result((stat.S_IFIFO, *tuple(found)[1:]))
    send(105, number, attributes(found))


def main():
    receive()
    version = 6 if "new" in ODD else 3
    if "garbage" in ODD:
        sys.stdout.buffer.write(b"Welcome to this server! Its owner prints this at every login.\n")
    full = string(b"statvfs@openssh.com") + string(b"2") if "full" in ODD else b""
    sys.stdout.buffer.write(string(struct.pack(">BI", 2, version) + string(b"odd") + string(b"1") + full))
    sys.stdout.buffer.flush()
    held = []
    while (packet := receive()) is not None:
        kind, number = struct.unpack_from(">BI", packet)
        held.append((kind, number + ("stranger" in ODD and kind == 5), packet[5:]))
        if "shuffled" in ODD and select.select([0], [], [], 0.01)[0]:
            continue  # as long as more comes
        random.shuffle(held)
        for each in held:
            answer(*each)
        held.clear()


main()
