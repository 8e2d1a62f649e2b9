"""CAR files from the command line."""

from __future__ import annotations

import subprocess

import pytest

from sessionctx.content import CID, car, carv2
from sessionctx.content.car import CarDecoder


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in" / "sub").mkdir(parents=True)
    (tmp_path / "in" / "a.txt").write_text("a")
    (tmp_path / "in" / "sub" / "b.bin").write_bytes(b"b" * 3_000_000)
    return tmp_path / "in"


def content(path):
    return {each.relative_to(path): each.read_bytes() for each in path.rglob("*") if each.is_file()}


def decoded(data):
    decoder = CarDecoder()
    found = decoder.feed(data)
    decoder.finish()
    return decoder.roots, found


@pytest.mark.parametrize("options", [[], ["--car-version", "2"], ["--car-version", "2", "--no-index"]])
def test_a_folder_is_packed_checked_and_unpacked(cli, folder, tmp_path, options):
    packed = cli("car", "pack", folder, tmp_path / "a.car", *options)
    assert packed.code == 0
    root = packed.out.strip()
    data = (tmp_path / "a.car").read_bytes()
    assert data.startswith(carv2.PRAGMA) is bool(options)
    assert decoded(data)[0] == (CID.parse(root),)
    verified = cli("car", "verify", tmp_path / "a.car")
    assert (verified.code, verified.out) == (0, "")
    assert "are good" in verified.err
    unpacked = cli("car", "unpack", tmp_path / "a.car", "-o", tmp_path / "out")
    assert unpacked.code == 0
    assert content(tmp_path / "out") == content(folder)
    listed = cli("car", "ls", tmp_path / "a.car")
    assert [line.split("\t")[0] for line in listed.out.splitlines()] == [str(cid) for cid, _ in decoded(data)[1]]
    assert not (tmp_path / "home").exists(), "nothing was put into the store"
    assert cli("car", "pack", folder, tmp_path / "a.car", *options).code == 1
    assert (tmp_path / "a.car").read_bytes() == data


def test_what_the_store_has_is_packed_by_its_name(cli, folder, tmp_path, command):
    root = cli("add", "-q", folder).out.split()[0]
    done = cli("--json", "car", "pack", f"{root}/sub", tmp_path / "a.car")
    assert done.code == 0
    assert done.summary["root"] == root
    with command("car", "pack", f"{root}/sub", "-", "-q", text=False) as process:
        data, _ = process.communicate(timeout=30)
    assert data == (tmp_path / "a.car").read_bytes()
    unpacked = cli("car", "unpack", tmp_path / "a.car", "--root", f"{root}/sub", "-o", tmp_path / "out")
    assert unpacked.code == 0
    assert content(tmp_path / "out") == content(folder / "sub")


def test_pipes(folder, tmp_path, command):
    with command("car", "pack", folder, "-", "-q", text=False) as packing:
        data, _ = packing.communicate(timeout=30)
    with command("car", "ls", "-", stdin=subprocess.PIPE, text=False) as listing:
        out, _ = listing.communicate(data, timeout=30)
    assert listing.returncode == 0
    assert len(out.splitlines()) == len(decoded(data)[1])


def test_what_is_bad_or_missing_is_said(cli, folder, tmp_path):
    cli("car", "pack", folder, tmp_path / "a.car")
    (root,), found = decoded((tmp_path / "a.car").read_bytes())
    leaf, block = found[-1]
    sections = [car.encode_section(cid, data) for cid, data in found]
    (tmp_path / "bad.car").write_bytes(car.encode_header([root]) + b"".join(sections[:-1]) + sections[-1][:-1] + b"x")
    bad = cli("car", "verify", tmp_path / "bad.car", "--json")
    assert bad.code == 6
    assert (bad.summary["bad"], bad.summary["missing"]) == (1, 0)
    assert [line["cid"] for line in bad.lines if line["type"] == "bad"] == [str(leaf)]
    (tmp_path / "short.car").write_bytes(car.encode_header([root]) + b"".join(sections[:-1]))
    short = cli("car", "verify", tmp_path / "short.car", "--json")
    assert short.code == 4
    assert [line["cid"] for line in short.lines if line["type"] == "missing"] == [str(leaf)]
    assert len(block) > 0


def test_what_cannot_be_done(cli, tmp_path):
    (tmp_path / "none.car").write_bytes(car.encode_header([]))
    assert cli("car", "unpack", tmp_path / "none.car").code == 2
    assert cli("car", "pack", "no such thing", tmp_path / "x.car").code == 2
    assert cli("car", "pack", tmp_path, "-", "--car-version", "2").code == 2
    assert cli("car", "ls", tmp_path / "no.car").code == 1
    for verb in ("verify", "unpack"):
        piped = cli("car", verb, "-")
        assert piped.code == 2
        assert "save the CAR to a file" in piped.err
    (tmp_path / "cut.car").write_bytes(car.encode_header([])[:-1])
    for verb in ("ls", "verify", "unpack"):
        done = cli("car", verb, tmp_path / "cut.car")
        assert done.code == 1
        assert "ends within its header" in done.err or "ends within the section" in done.err
