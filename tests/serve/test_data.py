"""Blocks of data: as they are, in other codecs, as pages."""

from __future__ import annotations

import json

import pytest

from sessionctx import Node, serve
from sessionctx.blocks import MemoryBlockstore
from sessionctx.content import CBOR, DAG_CBOR, DAG_JSON, JSON, RAW, Block, decode, encode
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


@pytest.mark.parametrize(("codec", "other"), [(DAG_CBOR, DAG_JSON), (DAG_JSON, DAG_CBOR)])
async def test_one_codec_as_the_other(node, app, ask, codec, other):
    value = {"link": (await node.dag.put([1])), "bytes": b"\x00", "list": [None, 1.5]}
    cid = await node.dag.put(value, codec=codec)
    kind, disposition, extension, name = TYPES[other]
    for query, accept in ((f"?format={name}", ""), ("", f"foo, {kind},bar")):
        answer = await ask(app, f"/ipfs/{cid}{query}", accept=accept)
        assert (answer.status, answer.body) == (200, encode(other, value))
        assert answer.headers["content-type"] == kind
        assert answer.headers["content-disposition"] == f'{disposition}; filename="{cid}.{extension}"'
        assert answer.headers["etag"] == f'"{cid}.{name}"'
    assert (await ask(app, f"/ipfs/{cid}?format={name}", range="bytes=1-3")).body == encode(other, value)[1:4]


@pytest.mark.parametrize(("codec", "plain"), [(DAG_JSON, "json"), (DAG_CBOR, "cbor")])
async def test_data_with_links_under_a_plain_name(node, app, ask, codec, plain):
    cid = await node.dag.put({"a": 1}, codec=codec)
    for query, accept in ((f"?format={plain}", ""), ("", f"application/{plain}")):
        answer = await ask(app, f"/ipfs/{cid}{query}", accept=accept)
        assert (answer.body, answer.headers["content-type"]) == (encode(codec, {"a": 1}), f"application/{plain}")
    crossed = await ask(app, f"/ipfs/{cid}?format={'cbor' if plain == 'json' else 'json'}")
    assert decode(DAG_CBOR if plain == "json" else DAG_JSON, crossed.body) == {"a": 1}


async def test_plain_json_is_read_as_dag_json_if_it_can_be(node, app, ask):
    good = Block.of(b'{"b": 1, "a": {"/": {"bytes": "oQ"}}}', codec=JSON)
    bad = Block.of(b'{"/": "no CID"}', codec=JSON)
    await node.store.put_many([good, bad])
    answer = await ask(app, f"/ipfs/{good.cid}?format=dag-json")
    assert answer.body == b'{"a":{"/":{"bytes":"oQ"}},"b":1}'
    assert answer.headers["content-type"] == "application/vnd.ipld.dag-json"
    assert (await ask(app, f"/ipfs/{bad.cid}?format=dag-json")).status == 406
    assert (await ask(app, f"/ipfs/{bad.cid}")).body == bad.data


async def test_what_a_format_cannot_say_is_not_acceptable(node, app, ask):
    careless = Block.of(b"\xf9\x7e\x00", codec=DAG_CBOR)  # NaN, in two bytes
    await node.store.put(careless)
    assert (await ask(app, f"/ipfs/{careless.cid}?format=dag-json")).status == 406
    assert (await ask(app, f"/ipfs/{careless.cid}")).body == careless.data


async def test_a_directory_and_a_file_as_data(node, app, ask, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").write_bytes(b"x")
    root = (await node.files.add(tmp_path / "a")).cid
    for name, codec in (("dag-json", DAG_JSON), ("dag-cbor", DAG_CBOR)):
        answer = await ask(app, f"/ipfs/{root}?format={name}")
        found = decode(codec, answer.body)
        assert [link["Name"] for link in found["Links"]] == ["file"]
        assert answer.headers["content-type"] == f"application/vnd.ipld.{name}"
        leaf = await ask(app, f"/ipfs/{root}/file?format={name}")
        assert decode(codec, leaf.body) == b"x"
    assert Block.of(b"x", codec=RAW).cid in [link["Hash"] for link in found["Links"]]


async def test_paths_lead_through_data_but_not_into_it(node, app, ask):
    inner = await node.dag.put({"hello": "this is not a link"})
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
    assert text.endswith("</html>\n")
    assert "<script>" not in text
    assert f'<a href="/ipfs/{link}">{link}</a>' in text
    assert (await ask(app, f"/ipfs/{cid}/", accept="text/html", range="bytes=0-14")).body == b"<!doctype html>"
    assert (await ask(app, f"/ipfs/{cid}/", accept="text/html", if_none_match=answer.headers["etag"])).status == 304
