"""Against a real Samba server: what it lets us, what goes wrong there, and what is said about it."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import traceback
from contextlib import ExitStack
from functools import partial

import pytest
import trio

from sessionctx.errors import (
    AccessDenied,
    CannotDo,
    FileChanged,
    FileExists,
    InvalidLocation,
    MissingExtra,
    NoRoom,
    NoSuchFile,
    NotOffered,
    PeerFailed,
    Unreachable,
)
from sessionctx.storage import WriteOptions, open_storage
from sessionctx.testing.storage import Pieces, content, everything, listed
from tests.storage.process import free_port
from tests.storage.smbd import PASSWORD, USER, smbd

DATA = os.urandom(3_000_000)

pytestmark = pytest.mark.usefixtures("no_threads_left")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


async def nothing_left(folder):
    """Wait until the server has seen to it that *folder* is empty."""
    with trio.fail_after(5):
        while names(folder):  # noqa: ASYNC110 - it is the server's folder
            await trio.sleep(0.01)


# --- logging in


@pytest.mark.parametrize("dialect", ["SMB2_02", "SMB2_10", "SMB3_00"])
async def test_older_dialects_are_spoken_signed_and_encrypted_where_they_can(dialect, tmp_path):
    with smbd(tmp_path, server_max_protocol=dialect) as server:
        for encrypt in (None, True) if dialect.startswith("SMB3") else (None,):
            async with open_storage(server.url(), encrypt=encrypt) as backend:
                await backend.write("file", DATA)
                assert await content(backend, "file") == DATA
                assert backend._share._line.login.keys.encrypt is bool(encrypt)


async def test_encryption_is_insisted_on_or_refused(tmp_path):
    with ExitStack() as stack:
        demanding = stack.enter_context(smbd(tmp_path / "demanding", server_smb_encrypt="required"))
        unable = stack.enter_context(smbd(tmp_path / "unable", server_smb_encrypt="off"))
        async with open_storage(demanding.url(), encrypt=False) as backend:
            with pytest.raises(AccessDenied, match="encrypt=False"):
                await backend.stat()
        async with open_storage(unable.url(), encrypt=True) as backend:
            with pytest.raises(NotOffered, match="encrypt=True"):
                await backend.stat()


async def test_a_server_that_speaks_only_smb_1_is_named(tmp_path):
    with smbd(tmp_path, server_max_protocol="NT1", server_min_protocol="NT1") as server:
        async with open_storage(server.url()) as backend:
            with pytest.raises((NotOffered, PeerFailed), match="SMB 1"):
                await backend.stat()


async def test_signing_may_be_left_to_the_server(server, folder):
    async with open_storage(server.url(folder.name), sign=False) as backend:
        await backend.write("file", DATA)
        assert await content(backend, "file") == DATA


async def test_few_credits_make_it_slower_and_not_fail(tmp_path):
    with smbd(tmp_path, smb2_max_credits="4") as server:
        async with open_storage(server.url()) as backend:
            async with trio.open_nursery() as nursery:
                for n in range(4):
                    nursery.start_soon(backend.write, f"file{n}", DATA)
            for n in range(4):
                assert await content(backend, f"file{n}") == DATA


async def test_credentials_may_be_given_apart_from_the_url(server):
    async with open_storage(f"smb://{USER}@127.0.0.1:{server.port}/share", password=PASSWORD) as backend:
        assert (await backend.stat()).kind == "folder"
        assert backend.public == f"smb://127.0.0.1:{server.port}/share"
        assert backend.endpoint == f"smb://127.0.0.1:{server.port}"


async def test_nothing_secret_is_shown(server, caplog):
    caplog.set_level(logging.DEBUG)
    async with open_storage(server.url()) as backend:
        await backend.stat()
        assert PASSWORD not in repr(backend)
        assert PASSWORD not in backend.public
    wrong = f"smb://{USER}:wr0ng-s3cret@127.0.0.1:{server.port}/share"
    async with open_storage(wrong) as backend:
        with pytest.raises(AccessDenied, match="wrong user name or password") as caught:
            await backend.stat()
    said = caplog.text + "".join(traceback.format_exception(caught.value))
    assert "smbprotocol" in said
    for secret in (PASSWORD, "wr0ng-s3cret", "NTLM", "TlRMTV"):  # the last is how NTLM's messages begin, in base64
        assert secret not in said


@pytest.mark.parametrize(
    ("url", "kind", "words"),
    [
        ("smb://127.0.0.1:{port}/share", AccessDenied, "no user was given"),
        ("smb://{user}:s3cret%2Fpass%40word@127.0.0.1:{port}/nothing", NoSuchFile, "no share of that name"),
        ("smb://root:x@127.0.0.1:{nobody}/share", Unreachable, "cannot be reached"),
    ],
)
async def test_why_it_cannot_be_reached_is_said(server, url, kind, words):
    async with open_storage(url.format(user=USER, port=server.port, nobody=free_port())) as backend:
        with pytest.raises(kind, match=words):
            await backend.stat()


async def test_what_has_to_be_installed_is_said_at_once(monkeypatch):
    monkeypatch.setitem(sys.modules, "smbprotocol.connection", None)
    with pytest.raises(MissingExtra, match=r"pip install 'sessionctx\[smb\]'"):
        async with open_storage("smb://nas/share"):
            pass


async def test_something_else_than_smb_is_named():
    async def serve(stream):
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await stream.aclose()

    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, host="127.0.0.1"), serve, 0)
        port = listener.socket.getsockname()[1]
        async with open_storage(f"smb://u:p@127.0.0.1:{port}/share") as backend:
            with pytest.raises(PeerFailed, match="not SMB at all"):
                await backend.stat()
        nursery.cancel_scope.cancel()


# --- files


async def test_a_share_that_is_read_only_says_so(server, folder):
    (folder / "file").write_bytes(b"x")
    async with open_storage(server.url(folder.name, share="frozen")) as backend:
        assert await content(backend, "file") == b"x"
        for attempt in (backend.write("file", b"y"), backend.delete("file"), backend.rename("file", "other")):
            with pytest.raises(AccessDenied):
                await attempt


async def test_a_full_disk_leaves_nothing(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mounted = await trio.run_process(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", small], check=False)
    if mounted.returncode:
        pytest.skip("no small file system can be mounted here")
    try:
        with smbd(tmp_path, data=small) as server:
            async with open_storage(server.url()) as backend:
                with pytest.raises(NoRoom, match="file cannot be written: the disk is full"):
                    await backend.write("file", DATA)
                assert await listed(backend) == {}
                await backend.write("file", b"fits")
    finally:
        await trio.run_process(["umount", "-l", small])


async def test_reserved_characters_are_kept_as_linux_and_macos_keep_them(server, folder):
    async with open_storage(server.url(folder.name)) as backend:
        await backend.write('what? "now": <a|b>*.', b"x")
        assert names(folder) == ["what\uf025 \uf020now\uf020\uf022 \uf023a\uf027b\uf024\uf021\uf029"]
        assert list(await listed(backend)) == ['what? "now": <a|b>*.']
        with pytest.raises(InvalidLocation):
            await backend.stat("x" * 300)


async def test_what_others_wrote_is_seen_and_what_we_write_others_see(server, folder):
    (folder / "theirs").write_bytes(DATA)
    os.utime(folder / "theirs", (1e9, 1e9))
    async with open_storage(server.url(folder.name)) as backend:
        entry = await backend.stat("theirs")
        assert (entry.size, entry.modified) == (len(DATA), 1e9)
        assert (await listed(backend))["theirs"] == entry
        await backend.write("ours", DATA, options=WriteOptions(modified=1.5e9))
    assert (folder / "ours").read_bytes() == DATA
    assert (folder / "ours").stat().st_mtime == 1.5e9
    assert names(folder) == ["ours", "theirs"]


async def test_a_file_that_is_replaced_while_it_is_read_is_not_mixed(server, folder):
    async with open_storage(server.url(folder.name)) as backend:
        await backend.write("file", bytes(20_000_000))
        async with backend.read("file") as reader:
            first = await anext(reader)
            await backend.write("file", b"\1" * 20_000_000)
            with pytest.raises(FileChanged):
                first = bytes(first) + await everything(reader)
        assert not any(first)
        assert await content(backend, "file") == b"\1" * 20_000_000


async def test_readers_that_never_rest_do_not_keep_a_file_from_being_replaced(server, folder):
    async with open_storage(server.url(folder.name)) as backend:
        await backend.write("file", bytes(3_000_000))

        async def read():
            while True:
                try:
                    data = await content(backend, "file")
                except FileChanged:
                    continue
                assert data == bytes([data[0]]) * 3_000_000

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(read)
            for n in range(5):
                await backend.write("file", bytes([n]) * 3_000_000)
            nursery.cancel_scope.cancel()
        assert await content(backend, "file") == b"\4" * 3_000_000
        assert not backend._share._readers
        assert not backend._share._replaced


async def test_a_file_that_is_deleted_while_the_reader_makes_way_is_noticed(server, folder):
    async with open_storage(server.url(folder.name)) as backend:
        await backend.write("file", DATA * 4)
        async with backend.read("file") as reader:
            await anext(reader)
            with backend._share.readers_kept_away("file"):
                (folder / "file").unlink()
            with pytest.raises(FileChanged):
                await everything(reader)


@pytest.mark.parametrize("size", [0, 15_000_000, 20_000_000])
async def test_a_file_that_is_changed_in_place_while_it_is_read_is_noticed(server, folder, size):
    (folder / "file").write_bytes(bytes(20_000_000))
    async with open_storage(server.url(folder.name)) as backend, backend.read("file") as reader:
        await anext(reader)
        with (folder / "file").open("r+b") as file:
            file.truncate(size)
            file.seek(0)
            file.write(b"x" * 5)
        with pytest.raises(FileChanged):
            await everything(reader)


async def test_what_somebody_else_has_open_can_be_read_and_replaced(server, folder):
    async with open_storage(server.url(folder.name)) as one, open_storage(server.url(folder.name)) as other:
        await one.write("file", b"first")
        async with other.read("file") as reader:
            await one.write("file", b"second")
            assert await everything(reader) == b"first"
        assert await content(other, "file") == b"second"


async def test_a_failed_rename_leaves_the_file_where_it_is(server, folder):
    async with open_storage(server.url(folder.name)) as backend:
        await backend.write("file", b"x")
        await backend.write("folder/inside", b"y")
        with pytest.raises(FileExists, match="folder"):
            await backend.rename("file", "folder")
        with pytest.raises(FileExists, match="folder"):
            await backend.write("folder", b"z")
        assert await content(backend, "file") == b"x"
        await backend.rename("file", "file")
        assert await content(backend, "file") == b"x"
        assert sorted(await listed(backend, recursive=True)) == ["file", "folder", "folder/inside"]


async def test_if_absent_is_decided_by_the_server_in_the_end(server, folder):
    async with open_storage(server.url(folder.name)) as backend:

        async def late():
            yield b"ours"
            (folder / "file").write_bytes(b"theirs")

        with pytest.raises(FileExists):
            await backend.write("file", late(), options=WriteOptions(if_absent=True))
        assert await content(backend, "file") == b"theirs"
        assert names(folder) == ["file"]


async def test_the_server_copies_by_itself(server, folder):
    (folder / "large").write_bytes(DATA * 12)
    async with open_storage(server.url(folder.name)) as backend:
        copied = await backend.copy("large", "deep/copy")
        assert copied == await backend.stat("deep/copy")
        assert (folder / "deep/copy").read_bytes() == DATA * 12
        await backend.copy("large", "large")
        assert (folder / "large").read_bytes() == DATA * 12
        with pytest.raises(NoSuchFile):
            await backend.copy("absent", "copy")
        with pytest.raises(NoSuchFile):
            await backend.copy("deep", "copy")


async def test_what_it_cannot_do_it_says(server):
    async with open_storage(server.url()) as backend:
        with pytest.raises(CannotDo, match="no order"):
            async with backend.list(after="x"):
                pass
        for path in ("", "a//b"):
            with pytest.raises(InvalidLocation):
                await backend.write(path, b"x")
            with pytest.raises(InvalidLocation):
                await backend.rename(path, "x")
        with pytest.raises(InvalidLocation):
            await backend.delete("")


async def test_folders_are_made_at_any_depth(server, folder):
    deep = "/".join("abcdefghij" * 20)
    async with open_storage(server.url(f"{folder.name}/not/there/yet")) as backend:
        with pytest.raises(NoSuchFile):
            await backend.stat()
        await backend.mkdir(deep)
        assert (await backend.stat(deep)).kind == "folder"
        await backend.write("file", b"x")
        with pytest.raises(FileExists):
            await backend.mkdir("file/below")
        with pytest.raises(FileExists):
            await backend.write("file/below/it", b"x")
    assert (folder / "not/there/yet" / deep).is_dir()


# --- listings


async def test_a_folder_that_cannot_be_read_is_listed_with_the_reason(server, folder):
    for name in "abc":
        (folder / name).mkdir()
        (folder / name / "file").write_bytes(b"x")
    async with open_storage(server.url(folder.name)) as backend:
        async with backend.list(recursive=True) as listing:
            found = [await anext(listing)]
            for name in "abc":
                if name != found[0].path:
                    (folder / name / "file").unlink()
                    (folder / name).rmdir()
            found += [entry async for entry in listing]
    assert {entry.path for entry in found if entry.problem is None} == {found[0].path, f"{found[0].path}/file"}
    assert all(isinstance(entry.problem, NoSuchFile) for entry in found[2:])
    assert len(found) == 4


async def test_links_that_lead_round_in_circles_end(server, folder):
    (folder / "a/b").mkdir(parents=True)
    (folder / "a/b/file").write_bytes(b"x")
    (folder / "a/b/round").symlink_to("..")
    (folder / "a/b/away").symlink_to("/etc")
    (folder / "a/b/gone").symlink_to("nowhere")
    async with open_storage(server.url(folder.name)) as backend:
        found = await listed(backend, recursive=True)
        assert {path: entry.kind for path, entry in found.items()} == {
            "a": "folder", "a/b": "folder", "a/b/file": "file", "a/b/round": "link",
        }  # fmt: skip
        with pytest.raises((NoSuchFile, AccessDenied)):
            await content(backend, "a/b/away/passwd")


async def test_a_listing_is_asked_for_page_by_page(server, folder):
    for n in range(800):
        (folder / f"a file with quite a long name {n:05}").touch()
    async with open_storage(server.url(folder.name)) as backend:
        assert len(await listed(backend)) == 800
        async with backend.list() as listing:
            await anext(listing)
            assert len(listing._ready) < 600


# --- whole or not at all


async def test_a_process_that_is_killed_leaves_nothing(server, folder):
    script = f"""
import trio
from sessionctx.storage import open_storage
async def source():
    for _ in range(8):
        yield bytes(1 << 20)  # more than are in flight at a time: one at least has arrived
    print("going", flush=True)
    await trio.sleep_forever()
async def main():
    async with open_storage({server.url(folder.name)!r}) as backend:
        await backend.write("file", source())
trio.run(main)
"""
    process = await trio.lowlevel.open_process([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert (await process.stdout.receive_some()).startswith(b"going")
    assert len(names(folder)) == 1
    process.kill()
    await process.wait()
    await process.stdout.aclose()
    await nothing_left(folder)


async def test_an_interrupt_leaves_nothing(server, folder):
    class Interrupted(BaseException):
        pass

    async def source():
        yield DATA
        raise Interrupted

    with pytest.raises(Interrupted):
        async with open_storage(server.url(folder.name)) as backend:
            await backend.write("file", source())
    await nothing_left(folder)


async def test_a_source_may_use_its_memory_again(server, folder):
    async def source():
        buffer = bytearray(300_000)
        for n in range(20):
            buffer[:] = bytes([n]) * len(buffer)
            yield memoryview(buffer)

    async with open_storage(server.url(folder.name)) as backend:
        await backend.write("file", source())
    assert (folder / "file").read_bytes() == b"".join(bytes([n]) * 300_000 for n in range(20))


async def test_an_error_in_the_block_comes_out_as_it_is(server):
    with pytest.raises(KeyError):
        async with open_storage(server.url()) as backend:
            await backend.stat()
            raise KeyError("x")


async def test_pieces_of_any_kind_are_written(server, folder):
    async with open_storage(server.url(folder.name)) as backend:
        await backend.write("file", Pieces([b"a", bytearray(b"b"), memoryview(b"cdef")[::1]]))
        assert await content(backend, "file") == b"abcdef"
