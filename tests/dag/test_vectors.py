"""CIDs that others made of the same input: IPIP-499 for both profiles, js-ipfs-unixfs where it agrees with them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import attrs
import pytest
import trio
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

from sessionctx.content import CID, Block, PBLink, unixfs
from sessionctx.dag import PROFILES, V0_2015, V1_2025, Files
from sessionctx.dag.unixfs import build_directory, open_node

SHARED = Path(__file__).resolve().parents[3] / "shared" / "fixtures"
FILE = SHARED / "ipip-0499" / "vectors.json"
VECTORS = json.loads(FILE.read_text()) if FILE.exists() else {"vectors": [], "alphabet": ""}
DEEP = os.environ.get("HYPOTHESIS_PROFILE") == "deep"
PIECE = 1 << 20


def keystream(seed: str):
    """The bytes of ChaCha20 under a key made of *seed*, piece by piece."""
    key = hashlib.sha256(seed.encode()).digest()
    cipher = Cipher(algorithms.ChaCha20(key, bytes(16)), mode=None).encryptor()
    return lambda size: cipher.update(bytes(size))


async def stream(seed: str, size: int) -> AsyncIterator[bytes]:
    take = keystream(seed)
    while size:
        piece = take(min(size, PIECE))
        size -= len(piece)
        yield piece


class Forgetting:
    """A store that keeps nothing: the 1 GiB vectors are about names."""

    async def put_many(self, blocks):
        self.last = list(blocks)[-1]
        await trio.lowlevel.checkpoint()

    async def sync(self):
        await trio.lowlevel.checkpoint()


def cases(kind):
    found = [vector for vector in VECTORS["vectors"] if vector["kind"] == kind]
    return pytest.mark.parametrize("vector", found, ids=[f"{v['profile']}-{v['cid'][-6:]}" for v in found])


@cases("file")
async def test_files_get_the_cids_of_ipip_499(vector, store):
    big = vector.get("size", 0) > 1 << 29
    if big and not DEEP:
        pytest.skip("a GiB; it runs with HYPOTHESIS_PROFILE=deep")
    literal = vector.get("literal")
    source = literal.encode() if literal is not None else stream(vector["seed"], vector["size"])
    added = await Files(Forgetting() if big else store).add(source, profile=vector["profile"])
    assert str(added.cid) == vector["cid"]
    assert added.size == (vector["size"] if literal is None else len(literal))


def names(vector):
    take = keystream(vector["seed"])
    lengths = [vector["name_len"]] * (vector["files"] - 1) + [vector["last_name_len"]]
    alphabet = VECTORS["alphabet"]
    return ["".join(alphabet[byte % len(alphabet)] for byte in take(length)) for length in lengths]


@cases("dir")
async def test_directories_get_the_cids_of_ipip_499(vector, store, tmp_path):
    """On the threshold a directory is one block, a byte above it is sharded; both come back complete."""
    expected = names(vector)
    for name in expected:
        (tmp_path / name).write_bytes(b"x")
    files = Files(store)
    added = await files.add(tmp_path, profile=vector["profile"])
    assert str(added.cid) == vector["cid"]
    assert added.files == vector["files"]
    assert (await files.stat(added.cid)).sharded == (vector["expect"] == "hamt")
    async with files.ls(added.cid) as entries:
        assert sorted([entry.name async for entry in entries]) == sorted(expected)
    for name in expected[::400]:
        assert (await files.stat(added.cid, path=name)).size == 1


def test_the_profiles_are_those_of_ipip_499(fixtures):
    said = json.loads((fixtures("ipip-0499") / "vectors.json").read_text())["profiles"]
    for name, profile in PROFILES.items():
        assert profile.cid_version == said[name]["cid_version"]
        assert profile.chunk_size == said[name]["chunk"]
        assert profile.width == said[name]["width"]
        assert profile.raw_leaves == (said[name]["leaves"] == "raw")
        assert profile.hamt_fanout == said[name]["hamt_fanout"]
        assert profile.hamt_threshold == said[name]["hamt_threshold"]
        assert said[name]["estimate"].startswith(profile.hamt_estimate)


# --- js-ipfs-unixfs


def parity(fixtures):
    return json.loads((fixtures("js-ipfs-unixfs") / "vectors.json").read_text())


@pytest.mark.parametrize(("layout", "width"), [("balanced", 174), ("flat", 1000)])
async def test_a_file_has_the_cid_of_js_and_go(fixtures, store, layout, width):
    """A flat layout is a balanced one with room for all leaves in its root."""
    added = await Files(store).add(bytes(45_900_000), profile=attrs.evolve(V0_2015, width=width))
    assert str(added.cid) == parity(fixtures)["go_parity"][layout]


@pytest.mark.parametrize("count", [1343, 1344])
def test_big_directories_have_the_cids_of_js(fixtures, count):
    """CIDs of version 1 and raw leaves, but sharded by the bytes of names and CIDs: a profile between the two."""
    said = parity(fixtures)["autoshard_links_bytes"]
    profile = attrs.evolve(V1_2025, hamt_estimate="links")
    text = said["entry"].partition("content = ")[2]
    entries = []
    for number in range(count):
        name = text.replace("{i}", str(number))
        entries.append(PBLink(CID.of(name.encode()), name, len(name)))
    blocks: list[Block] = []
    built = build_directory(profile, blocks.append, entries)
    assert str(built.cid) == said[f"n={count}"]["cid"]
    node = open_node(blocks[-1])
    assert node.fields.type.name.lower() == ("directory" if count == 1343 else "hamt_shard")


async def test_the_trickle_layout_is_read(fixtures, store, file, pb):
    """174 leaves at the root, then a subtree with the rest; leaves of the type that the first tools used."""

    def leaf(size):
        return pb((), unixfs.Data(unixfs.Type.RAW, bytes(size), filesize=size), version=0)

    def node(parts):
        sizes = [open_node(part).size for part in parts]
        links = [("", part, len(part.data) + sum(link.tsize for link in open_node(part).links)) for part in parts]
        fields = unixfs.Data(unixfs.Type.FILE, filesize=sum(sizes), blocksizes=sizes)
        return pb(links, fields, version=0)

    full, last = leaf(262144), leaf(24800)
    inner = node([full, last])
    root = node([full] * 174 + [inner])
    said = next(cid for key, cid in parity(fixtures)["go_parity"].items() if key.startswith("trickle"))
    assert str(root.cid) == said
    await store.put_many([full, last, inner, root])
    async with Files(store).cat(root.cid, offset=262144 * 170) as chunks:
        assert b"".join([chunk async for chunk in chunks]) == bytes(45_900_000 - 262144 * 170)
