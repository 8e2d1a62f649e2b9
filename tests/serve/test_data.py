"""Blocks of data: as they are, or as pages."""

from __future__ import annotations

import json

import pytest

from sessionctx import Node, serve
from sessionctx.blocks import MemoryBlockstore
from sessionctx.content import CBOR, DAG_CBOR, DAG_JSON, JSON, RAW, Block, encode
from tests.serve.conftest import about

TYPES = {
    DAG_JSON: ("application/vnd.ipld.dag-json", "inline", "json", "dag-json"),
    DAG_CBOR: ("application/vnd.ipld.dag-cbor", "attachment", "cbor", "dag-cbor"),
    JSON: ("application/json", "inline", "json", "json"),
    CBOR: ("application/cbor", "attachment", "cbor", "cbor"),
}


@pytest.fixture
async def node():
    return Node.over(MemoryBlockstore())


@pytest.fixture
def app(node):
    return serve.gateway(node.store)


@pytest.mark.parametrize("codec", TYPES)
async def test_data_is_served_as_it_is(node, app, ask, codec):
    kind, disposition, extension, name = TYPES[codec]
    block = Block.of(encode(codec, {"test": ["data", 1]}) + b"", codec=codec)
    await node.store.put(block)
    for query, accept in (("", ""), (f"?format={name}", ""), ("", kind), ("", "*/*")):
        answer = await ask(app, f"/ipfs/{block.cid}{query}", accept=accept)
        assert (answer.status, answer.body) == (200, block.data)
    assert about(answer) == {
        "content-type": kind,
        "content-length": str(len(block.data)),
        "content-disposition": f'{disposition}; filename="{block.cid}.{extension}"',
        "accept-ranges": "bytes",
        "etag": f'"{block.cid}.{name}"',
        "cache-control": "public, max-age=29030400, immutable",
        "vary": "Accept",
        "x-content-type-options": "nosniff",
        "x-ipfs-path": f"/ipfs/{block.cid}",
        "ipfs-uri": f"ipfs://{block.cid}",
        "x-ipfs-roots": str(block.cid),
    }
    part = await ask(app, f"/ipfs/{block.cid}", range="bytes=2-5")
    assert (part.status, part.body) == (206, block.data[2:6])
    assert (await ask(app, f"/ipfs/{block.cid}", if_none_match=f'"{block.cid}.{name}"')).status == 304
    assert (await ask(app, f"/ipfs/{block.cid}", "HEAD")).headers == answer.headers


async def test_what_was_written_carelessly_is_served_as_it_is(node, app, ask):
    block = Block.of(b'{ "b": 1, "a": 2 }', codec=DAG_JSON)
    await node.store.put(block)
    for query in ("", "?format=dag-json", "?format=json"):
        assert (await ask(app, f"/ipfs/{block.cid}{query}")).body == block.data


@pytest.mark.parametrize(("codec", "plain"), [(DAG_JSON, "json"), (DAG_CBOR, "cbor")])
async def test_data_with_links_under_a_plain_name(node, app, ask, codec, plain):
    cid = await node.dag.put({"a": 1}, codec=codec)
    for query, accept in ((f"?format={plain}", ""), ("", f"application/{plain}")):
        answer = await ask(app, f"/ipfs/{cid}{query}", accept=accept)
        assert (answer.body, answer.headers["content-type"]) == (encode(codec, {"a": 1}), f"application/{plain}")
        assert answer.headers.get("content-location") == (None if query else f"/ipfs/{cid}?format={plain}")


@pytest.mark.parametrize(
    ("codec", "others"),
    [
        (DAG_JSON, ["dag-cbor", "cbor"]),
        (DAG_CBOR, ["dag-json", "json"]),
        (JSON, ["dag-json", "dag-cbor", "cbor"]),
        (CBOR, ["dag-json", "dag-cbor", "json"]),
        (RAW, ["dag-json", "dag-cbor"]),
    ],
)
async def test_nothing_is_converted(node, app, ask, codec, others):
    block = Block.of(encode(codec, b"bytes" if codec == RAW else {"a": 1}), codec=codec)
    await node.store.put(block)
    for name in others:
        accept = f"application/{'vnd.ipld.' if '-' in name else ''}{name}"
        for query, header in ((f"?format={name}", ""), ("", accept)):
            answer = await ask(app, f"/ipfs/{block.cid}{query}", accept=header)
            assert answer.status == 406
            assert b"get it as ?format=raw" in answer.body
    assert (await ask(app, f"/ipfs/{block.cid}?format=raw")).body == block.data


async def test_a_directory_is_no_data(node, app, ask, tmp_path):
    (tmp_path / "a").mkdir()
    root = (await node.files.add(tmp_path / "a")).cid
    for name in ("dag-json", "dag-cbor"):
        assert (await ask(app, f"/ipfs/{root}?format={name}")).status == 406
        assert (await ask(app, f"/ipfs/{root}/?format={name}")).status == 406


async def test_paths_lead_through_data_but_not_into_it(node, app, ask):
    inner = await node.dag.put({"hello": "this is not a link"}, codec=DAG_JSON)
    outer = await node.dag.put({"foo": {"link": inner}}, codec=DAG_JSON)
    answer = await ask(app, f"/ipfs/{outer}/foo/link?format=dag-json")
    assert json.loads(answer.body) == {"hello": "this is not a link"}
    assert answer.headers["x-ipfs-roots"] == f"{outer},{inner}"
    inside = await ask(app, f"/ipfs/{outer}/foo?format=dag-json")
    assert inside.status == 501
    assert b"reading IPLD Kinds other than Links (CBOR Tag 42) is not implemented" in inside.body
    assert (await ask(app, f"/ipfs/{outer}/foo/no")).status == 404


async def test_a_browser_gets_a_page(node, app, ask):
    link = await node.dag.put([1])
    cid = await node.dag.put({"<script>": link, "n": float(2)})
    answer = await ask(app, f"/ipfs/{cid}/", accept="text/html,application/xhtml+xml,*/*;q=0.8")
    text = answer.body.decode()
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["etag"].startswith('"DagIndex-')
    assert "content-disposition" not in answer.headers
    assert "cache-control" not in answer.headers
    assert answer.headers["vary"] == "Accept"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'unsafe-inline'")
    assert text.endswith("</html>\n")
    assert "<script>" not in text
    assert f'<a href="/ipfs/{link}">{link}</a>' in text
    assert (await ask(app, f"/ipfs/{cid}/", accept="text/html", range="bytes=0-14")).body == b"<!doctype html>"
    assert (await ask(app, f"/ipfs/{cid}/?download=true", accept="text/html")).body == (await node.store.get(cid)).data
    assert (await ask(app, f"/ipfs/{cid}/", accept="text/html", if_none_match=answer.headers["etag"])).status == 304


async def test_plain_json_is_no_page(node, app, ask):
    block = Block.of(b'{"a": 1}', codec=JSON)
    await node.store.put(block)
    assert (await ask(app, f"/ipfs/{block.cid}", accept="text/html,*/*;q=0.8")).body == block.data


def _nested(depth: int, count: int) -> bytes:
    """Lists within each other, and numbers in the innermost: small as CBOR, large once it is indented."""
    return b"\x81" * depth + b"\x9a" + count.to_bytes(4, "big") + b"\x00" * count


@pytest.mark.parametrize(
    ("depth", "count", "shows"), [(3, 10, ""), (511, 200_000, "beginning"), (0, 1_000_000, "977 KiB")]
)
async def test_a_page_of_data_is_short_whatever_the_block_is(node, app, ask, depth, count, shows):
    block = Block.of(_nested(depth, count), codec=DAG_CBOR)
    await node.store.put(block)
    answer = await ask(app, f"/ipfs/{block.cid}", accept="text/html")
    assert (answer.status, answer.whole) == (200, True)
    assert len(answer.body) < 400_000
    assert shows in answer.body.decode()
    assert ("<pre>" in answer.body.decode()) == (count < 1_000_000)
    assert ("beginning" in answer.body.decode()) == (shows == "beginning")


async def test_a_long_text_is_cut_on_its_page(node, app, ask, monkeypatch):
    monkeypatch.setattr("sessionctx.serve.pages.MOST_TEXT", 20)
    cid = await node.dag.put(["<" * 100])
    text = (await ask(app, f"/ipfs/{cid}", accept="text/html")).body.decode()
    assert text.count("&lt;") == 20 - len('[\n  "')
    assert "beginning" in text


async def test_data_that_is_damaged_has_no_page_but_is_served(node, app, ask):
    block = Block.of(b"\x9f\xff", codec=DAG_CBOR)
    await node.store.put(block)
    assert (await ask(app, f"/ipfs/{block.cid}", accept="text/html")).status == 422
    assert (await ask(app, f"/ipfs/{block.cid}?format=dag-cbor")).body == block.data
