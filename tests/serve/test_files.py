"""Files, directories and symlinks, as a browser gets them."""

from __future__ import annotations

import json
import random
import tarfile
from io import BytesIO
from urllib.parse import quote

import attrs
import pytest

from sessionctx import Node, serve
from sessionctx.blocks import MemoryBlockstore
from sessionctx.content import CID, DAG_PB, Block, PBLink, PBNode, dagpb, unixfs
from sessionctx.dag import V1_2025
from tests.serve.conftest import SMALL, Counting, about

NAME = "file-źł.txt"
PAGE = b"<!doctype html><title>Hello</title>"
HELLO = bytes(Block.of(b"hello\n").cid).hex()
BINARY = random.Random(1).randbytes(1024)


@attrs.frozen
class Site:
    """A folder as people publish them."""

    node: Node
    root: CID

    async def cid(self, path):
        return (await self.node.dag.resolve(f"{self.root}/{path}")).cid


@pytest.fixture
async def site(tmp_path):
    folder = tmp_path / "site"
    (folder / "ą" / "ę").mkdir(parents=True)
    (folder / "ą" / "ę" / NAME).write_text("text\n")
    (folder / "page").mkdir()
    (folder / "page" / "index.html").write_bytes(PAGE)
    (folder / "data.bin").write_bytes(BINARY)
    (folder / "t.json").write_text('{"a": 1}')
    (folder / "a#b?c & <d>.txt").write_text("odd")
    (folder / "link").symlink_to("t.json")
    (folder / "empty").mkdir()
    node = Node.over(Counting())
    return Site(node, (await node.files.add(folder, profile=SMALL)).cid)


@pytest.fixture
def app(site):
    return serve.gateway(site.node.store)


# --- files


async def test_a_file_is_served_with_all_that_a_browser_wants_to_know(app, ask, site):
    file, inner = await site.cid(f"ą/ę/{NAME}"), [await site.cid("ą"), await site.cid("ą/ę")]
    path = "/".join(map(quote, ("ą", "ę", NAME)))
    answer = await ask(app, f"/ipfs/{site.root}/{path}")
    assert (answer.status, answer.body, answer.whole) == (200, b"text\n", True)
    assert about(answer) == {
        "content-type": "text/plain; charset=utf-8",
        "content-length": "5",
        "accept-ranges": "bytes",
        "etag": f'"{file}"',
        "cache-control": "public, max-age=29030400, immutable",
        "vary": "Accept",
        "x-content-type-options": "nosniff",
        "ipfs-uri": f"ipfs://{site.root}/{path}",
        "x-ipfs-roots": ",".join(map(str, (site.root, *inner, file))),
    }
    head = await ask(app, f"/ipfs/{site.root}/{path}", "HEAD")
    assert (head.status, head.body, head.headers) == (200, b"", answer.headers)


@pytest.mark.parametrize("path", ["t.json", "ą", "ą/", "page/", "link"])
async def test_caches_keep_what_was_negotiated_apart(app, ask, site, path):
    other = await ask(app, f"/ipfs/{site.root}/{path}", accept="application/vnd.ipld.raw")
    said = await ask(app, f"/ipfs/{site.root}/{path}", accept="*/*")
    assert (said.headers["vary"], other.headers["vary"]) == ("Accept", "Accept")
    again = await ask(app, f"/ipfs/{site.root}/{path}", accept="*/*", if_none_match="*")
    assert again.headers["vary"] == "Accept"
    assert "vary" not in (await ask(app, f"/ipfs/{site.root}/{path}?format=raw")).headers


@pytest.mark.parametrize("asked", ["bytes=250-600", "bytes=0-0", "bytes=-3", "bytes=1000-", "bytes=255-256,1-2"])
async def test_ranges_of_a_file(app, ask, site, asked):
    answer = await ask(app, f"/ipfs/{site.root}/data.bin", range=asked)
    first, last = asked.removeprefix("bytes=").split(",")[0].split("-")
    begin = int(first) if first else len(BINARY) - int(last)
    end = int(last) + 1 if first and last else len(BINARY)
    assert (answer.status, answer.body) == (206, BINARY[begin:end])
    assert answer.headers["content-range"] == f"bytes {begin}-{end - 1}/{len(BINARY)}"
    assert answer.headers["content-length"] == str(end - begin)
    assert answer.headers["content-type"] == "application/octet-stream"
    refused = await ask(app, f"/ipfs/{site.root}/data.bin", range=f"bytes={len(BINARY)}-")
    assert (refused.status, refused.headers["content-range"]) == (416, f"bytes */{len(BINARY)}")


async def test_a_range_needs_only_its_own_blocks(app, ask, site):
    file = await site.cid("data.bin")
    first, second, *_ = (await site.node.store.get(file)).links()
    site.node.store.lost |= {first, second}
    answer = await ask(app, f"/ipfs/{file}", range="bytes=600-601")
    assert (answer.status, answer.body, answer.error) == (206, BINARY[600:602], None)
    lost = await ask(app, f"/ipfs/{file}", range="bytes=100-101")
    assert lost.status == 404


async def test_a_file_that_breaks_off_has_no_end(app, ask, site):
    file = await site.cid("data.bin")
    site.node.store.lost.add((await site.node.store.get(file)).links()[2])
    answer = await ask(app, f"/ipfs/{file}")
    assert (answer.status, answer.whole) == (200, False)
    assert BINARY.startswith(answer.body)
    assert answer.error is not None


@pytest.mark.parametrize("sent", ["{tag}", "W/{tag}", '"a", "b", {tag}', "*"])
async def test_what_a_browser_has_is_not_sent_again(app, ask, site, sent):
    tag = f'"{await site.cid("t.json")}"'
    answer = await ask(app, f"/ipfs/{site.root}/t.json", if_none_match=sent.format(tag=tag))
    assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", tag)


async def test_a_name_that_the_reader_chooses(app, ask, site):
    file = await site.cid("t.json")
    plain = await ask(app, f"/ipfs/{file}")
    assert plain.headers["content-type"] == "application/json"
    assert "content-disposition" not in plain.headers
    named = await ask(app, f"/ipfs/{file}?filename=n%C3%A4me.txt")
    assert named.headers["content-type"] == "text/plain; charset=utf-8"
    assert named.headers["content-disposition"] == "inline; filename=\"n_me.txt\"; filename*=UTF-8''n%C3%A4me.txt"
    kept = await ask(app, f"/ipfs/{site.root}/t.json?download=true")
    assert kept.headers["content-disposition"] == 'attachment; filename="t.json"'


@pytest.mark.parametrize("query", ["?format=json", "?format=cbor"])
async def test_a_file_is_no_data_that_could_have_another_form(app, ask, site, query):
    answer = await ask(app, f"/ipfs/{site.root}/t.json{query}")
    assert (answer.status, answer.body) == (200, b'{"a": 1}')
    assert answer.headers["content-type"] == "application/json"


async def test_a_symlink_is_what_it_says(app, ask, site):
    answer = await ask(app, f"/ipfs/{site.root}/link")
    assert (answer.status, answer.body, answer.headers["content-type"]) == (200, b"t.json", "inode/symlink")


async def test_odd_names_and_ways_to_write_them(app, ask, site):
    name = "a#b?c & <d>.txt"
    answer = await ask(app, f"/ipfs/{site.root}/{quote(name)}")
    assert answer.body == b"odd"
    assert answer.headers["ipfs-uri"] == f"ipfs://{site.root}/{quote(name, safe='')}"
    assert answer.headers["x-ipfs-path"] == f"/ipfs/{site.root}/{name}"
    detour = await ask(app, f"/ipfs/{site.root}/page%2F..%2Ft%2Ejson")
    assert detour.body == b'{"a": 1}'
    assert detour.headers["ipfs-uri"] == f"ipfs://{site.root}/t.json"
    assert (await ask(app, f"/ipfs/{site.root}/no")).status == 404
    assert (await ask(app, f"/ipfs/{site.root}/t.json/no")).status == 404
    assert (await ask(app, "/ipns/example.org/")).status == 404


async def test_a_cid_of_version_0_has_the_same_address(ask):
    node = Node.over(MemoryBlockstore())
    root = (await node.files.add(b"x", profile="unixfs-v0-2015")).cid
    answer = await ask(serve.gateway(node.store), f"/ipfs/{root}")
    assert root.version == 0
    assert answer.headers["ipfs-uri"] == f"ipfs://{CID.new(1, DAG_PB, root.multihash)}"


@pytest.mark.parametrize(
    ("root", "data"),
    [
        (
            "bafybeigqvyloizmfcdy6scaxnyltftzptaruqa3hnnplfzsbf4sqteiwlm",
            f"0a02080112330a24{HELLO}120968656c6c6f2e7478741806",
        ),
        (
            "bafybeigdcg7pksx2zk5336vrfsktjodlr4rbfz37qr3koc5xboxe5ekv24",
            f"12330a24{HELLO}120968656c6c6f2e74787418060a020801",
        ),
        (
            "bafybeicwgy2rlqmqqu3yy2tqvm2wbgdvy3snu4sbbv4wqpvpnoplpzxz74",
            f"0a250805121c80{'00' * 27}2822308002" + f"12350a24{HELLO}120b444668656c6c6f2e7478741806",
        ),
        (
            "bafybeicjwkfslu7gwyywffvqgse5kiibojtktxcdqhgv7ldj5fjdacuceq",
            f"12350a24{HELLO}120b444668656c6c6f2e7478741806" + f"0a250805121c80{'00' * 27}2822308002",
        ),
    ],
)
async def test_the_fields_of_a_node_may_come_in_either_order(ask, root, data):
    """The vectors of IPIP-550: a directory and a shard, with Data first and with Links first."""
    store = MemoryBlockstore()
    await store.put_many([Block.of(b"hello\n"), Block.of(bytes.fromhex(data), codec=DAG_PB)])
    app = serve.gateway(store)
    assert (await ask(app, f"/ipfs/{root}/hello.txt")).body == b"hello\n"
    assert (await ask(app, f"/ipfs/{root}?format=raw")).body == bytes.fromhex(data)
    assert b">hello.txt<" in (await ask(app, f"/ipfs/{root}/")).body


# --- directories


async def test_a_directory_without_a_slash_leads_to_itself_with_one(app, ask, site):
    answer = await ask(app, f"/ipfs/{site.root}/%C4%85?a=b")
    assert (answer.status, answer.headers["location"]) == (301, f"/ipfs/{site.root}/%C4%85/?a=b")
    assert (answer.body, answer.headers["x-ipfs-roots"]) == (b"", f"{site.root},{await site.cid('ą')}")
    assert "cache-control" not in answer.headers
    assert answer.headers["ipfs-uri"] == f"ipfs://{site.root}/%C4%85"


async def test_the_page_of_a_directory(app, ask, site):
    inner, file = await site.cid("ą/ę"), await site.cid(f"ą/ę/{NAME}")
    answer = await ask(app, f"/ipfs/{site.root}/ą/ę/")
    text = answer.body.decode()
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "public, max-age=604800, stale-while-revalidate=2678400"
    assert answer.headers["etag"].startswith('"DirIndex-')
    assert answer.headers["etag"].endswith(f'_CID-{inner}"')
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'unsafe-inline'")
    assert "Index of" in text
    here = f"/ipfs/{site.root}"
    crumbs = f'<a href="{here}">{site.root}</a>/<a href="{here}/%C4%85">ą</a>/<a href="{here}/%C4%85/%C4%99">ę</a>'
    assert f"/ipfs/{crumbs}" in text
    assert f'<a href="{here}/%C4%85/%C4%99/..">..</a>' in text
    assert f'<a href="{here}/%C4%85/%C4%99/file-%C5%BA%C5%82.txt">{NAME}</a>' in text
    shown = f'<a class="ipfs-hash" translate="no" href="/ipfs/{file}?filename=file-%25C5%25BA%25C5%2582.txt">'
    assert shown in text
    assert text.endswith("</html>\n")
    head = await ask(app, f"/ipfs/{site.root}/ą/ę/", "HEAD")
    assert (head.body, head.headers) == (b"", answer.headers)
    for tag in (answer.headers["etag"], f'W/"{inner}"'):
        assert (await ask(app, f"/ipfs/{site.root}/ą/ę/", if_none_match=tag)).status == 304


async def test_the_page_of_a_root_leads_to_nothing_above_and_shows_what_is_in_it(app, ask, site):
    text = (await ask(app, f"/ipfs/{site.root}/")).body.decode()
    assert ">..<" not in text
    assert "a#b?c &amp; &lt;d&gt;.txt</a>" in text
    assert "<d>" not in text
    assert ">link<" in text
    assert "http://" not in text
    assert "https://" not in text
    empty = (await ask(app, f"/ipfs/{site.root}/empty/")).body.decode()
    assert "Entries: 0" in empty
    assert '<a href="?format=json">json</a> <a href="?format=tar">tar</a> <a href="?format=car">car</a>' in empty


async def test_a_directory_with_an_index_is_a_page(app, ask, site):
    folder = await site.cid("page")
    answer = await ask(app, f"/ipfs/{site.root}/page/")
    assert (answer.status, answer.body) == (200, PAGE)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["etag"] == f'"{folder}"'
    assert answer.headers["cache-control"] == "public, max-age=29030400, immutable"
    assert answer.headers["x-ipfs-roots"] == f"{site.root},{folder}"
    assert (await ask(app, f"/ipfs/{site.root}/page/", if_none_match=f'"{folder}"')).status == 304
    assert (await ask(app, f"/ipfs/{site.root}/page/", range="bytes=0-4")).body == PAGE[:5]


async def test_a_directory_as_json(app, ask, site):
    answer = await ask(app, f"/ipfs/{site.root}?format=json")
    listed = json.loads(answer.body)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "public, max-age=29030400, immutable"
    assert listed["cid"] == str(site.root)
    (row,) = [entry for entry in listed["entries"] if entry["name"] == "t.json"]
    assert row == {"name": "t.json", "cid": str(await site.cid("t.json")), "dag_size": len('{"a": 1}')}
    assert len(listed["entries"]) == 7
    assert json.loads((await ask(app, f"/ipfs/{site.root}/empty/?format=json")).body)["entries"] == []


async def test_a_large_directory_is_sent_in_pieces_and_its_page_has_an_end(ask, monkeypatch):
    monkeypatch.setattr("sessionctx.serve.files.MOST_ROWS", 300)
    store = MemoryBlockstore()
    leaf = Block.of(b"x")
    links = tuple(PBLink(leaf.cid, f"name {n:04}", 1) for n in range(1000))
    fields = unixfs.encode(unixfs.Data(unixfs.Type.DIRECTORY))
    root = Block.of(dagpb.encode(PBNode(links, fields)), codec=DAG_PB)
    await store.put_many([leaf, root])
    app = serve.gateway(store)
    page = await ask(app, f"/ipfs/{root.cid}/")
    assert b"The first 300 entries" in page.body
    assert b">name 0299<" in page.body
    assert b">name 0300<" not in page.body
    listed = await ask(app, f"/ipfs/{root.cid}/?format=json")
    assert [entry["name"] for entry in json.loads(listed.body)["entries"]] == [f"name {n:04}" for n in range(1000)]
    assert max(map(len, (*page.pieces, *listed.pieces))) < 40_000


# --- tar


@pytest.mark.parametrize("profile", [SMALL, V1_2025])
async def test_a_folder_as_tar(ask, tmp_path, profile):
    folder = tmp_path / "some"
    (folder / "ą" / "deep").mkdir(parents=True)
    (folder / "ą" / "deep" / "file").write_bytes(BINARY[:700])
    (folder / "even").write_bytes(bytes(512))
    (folder / "none").write_bytes(b"")
    (folder / ("n" * 150)).write_bytes(b"long")
    (folder / "to").symlink_to("ą/deep/file")
    node = Node.over(MemoryBlockstore())
    root = (await node.files.add(folder, profile=profile)).cid
    answer = await ask(serve.gateway(node.store), f"/ipfs/{root}?format=tar")
    assert (answer.status, answer.whole) == (200, True)
    assert answer.headers["content-type"] == "application/x-tar"
    assert answer.headers["content-disposition"] == f'attachment; filename="{root}.tar"'
    assert answer.headers["etag"] == f'W/"{root}.x-tar"'
    assert len(answer.body) % 512 == 0
    with tarfile.open(fileobj=BytesIO(answer.body)) as archive:
        archive.extractall(tmp_path / "out", filter="data")
        assert archive.getmember(f"{root}/to").linkname == "ą/deep/file"
    found = {path.relative_to(folder) for path in folder.rglob("*")}
    assert {
        path.relative_to(tmp_path / "out" / str(root)) for path in (tmp_path / "out" / str(root)).rglob("*")
    } == found
    for path in found:
        if (folder / path).is_file():
            assert (tmp_path / "out" / str(root) / path).read_bytes() == (folder / path).read_bytes()


async def test_a_file_as_tar_by_what_is_accepted(app, ask, site):
    file = await site.cid("data.bin")
    answer = await ask(app, f"/ipfs/{site.root}/data.bin?filename=test%D1%82.tar", accept="application/x-tar")
    assert answer.headers["content-disposition"].startswith('attachment; filename="test_.tar"; filename*=UTF-8')
    with tarfile.open(fileobj=BytesIO(answer.body)) as archive:
        assert archive.getnames() == [str(file)]
        assert archive.extractfile(str(file)).read() == BINARY
    head = await ask(app, f"/ipfs/{site.root}/data.bin?format=tar", "HEAD")
    assert (head.status, head.body) == (200, b"")
    assert (await ask(app, f"/ipfs/{site.root}/data.bin?format=tar", if_none_match=f'"{file}.x-tar"')).status == 304


async def test_a_tar_with_names_that_lead_elsewhere_is_not_made(ask):
    store = MemoryBlockstore()
    leaf = Block.of(b"x")
    fields = unixfs.encode(unixfs.Data(unixfs.Type.DIRECTORY))
    root = Block.of(dagpb.encode(PBNode((PBLink(leaf.cid, "../x", 1),), fields)), codec=DAG_PB)
    await store.put_many([leaf, root])
    answer = await ask(serve.gateway(store), f"/ipfs/{root.cid}?format=tar")
    assert (answer.status, answer.whole) == (422, True)
    assert b"../x" in answer.body
