"""What names cost: they are made, read and checked for every block."""

from __future__ import annotations

from tests.bench.harness import Row, bench, measure


@bench("content.cid")
def cid(quick):
    from sessionctx.content import CID, DAG_PB

    v1, v0 = CID.of(b"x"), CID.of(b"x", codec=DAG_PB, version=0)
    names = {"parse": CID.parse, "from_bytes": CID.from_bytes, "v1": v1, "v0": v0, "same": CID.parse(str(v1))}
    names |= {"raw1": bytes(v1), "raw0": bytes(v0), "text1": str(v1), "text0": str(v0), "text36": v1.encode("base36")}
    names |= {"table": {v1: 1}}
    for name, call, limit in [
        ("CID.from_bytes, v1", "from_bytes(raw1)", 1),
        ("CID.from_bytes, v0", "from_bytes(raw0)", 1),
        ("CID.parse, v1 base32", "parse(text1)", 5),
        ("CID.parse, v1 base36", "parse(text36)", 5),
        ("CID.parse, v0", "parse(text0)", 5),
        ("str(CID), v1, first time", "v1.encode()", None),
        ("str(CID), v0, first time", "v0.encode('base58btc')", None),
        ("str(CID), again", "str(v1)", None),
        ("hash(CID)", "hash(v1)", None),
        ("CID == CID", "v1 == same", None),
        ("dict[CID]", "table[same]", None),
        ("CID.multihash", "v1.multihash", None),
    ]:
        yield measure(name, call, names, limit=limit, quick=quick)


@bench("content.verify")
def verifying(quick):
    """What a check costs besides the hash function itself."""
    from hashlib import sha256

    from sessionctx.content import Block, verify

    for size in (1024, 256 * 1024):
        block = Block.of(bytes(size))
        names = {"verify": verify, "cid": block.cid, "data": block.data, "sha256": sha256, "Block": Block}
        bare = measure("", "sha256(data).digest()", names, quick=quick)
        for name, call in (("verify", "verify(cid, data)"), ("Block(cid, data)", "Block(cid, data)")):
            row = measure("", call, names, quick=quick)
            yield Row(f"{name}, {size // 1024} KiB", figure=row.figure, unit="us", spread=row.spread)
            if size == 1024:  # above, noise is larger than the difference
                yield Row(f"{name}, besides sha256", figure=max(row.figure - bare.figure, 0.0), unit="us", limit=1)


@bench("content.codecs")
def codecs(quick):
    """A file node of 174 links, as the importers of old wrote it, a directory, and records of dag-cbor."""
    from sessionctx.content import CID, PBLink, PBNode, dagcbor, dagpb, unixfs

    cids = [CID.of(bytes((i,))) for i in range(174)]
    fields = unixfs.Data(unixfs.Type.FILE, filesize=174 * 262144, blocksizes=(262144,) * 174)
    file = PBNode(tuple(PBLink(cid, "", 262158) for cid in cids), unixfs.encode(fields))
    directory = PBNode(tuple(PBLink(cid, f"file-{i:05}", i * 1000) for i, cid in enumerate(cids)), b"\x08\x01")
    records = [{"id": i, "name": f"record {i}", "link": cids[i % 174], "v": [i, i + 1]} for i in range(1000)]
    names = {"dagpb": dagpb, "dagcbor": dagcbor, "unixfs": unixfs, "fields": fields, "file": file}
    names |= {"file_bytes": dagpb.encode(file), "directory_bytes": dagpb.encode(directory), "records": records}
    names |= {"cbor": dagcbor.encode(records)}
    for name, call, limit in [
        ("dagpb.decode, file of 174 links", "dagpb.decode(file_bytes)", 250),
        ("dagpb.encode, file of 174 links", "dagpb.encode(file)", 250),
        ("dagpb.decode, directory of 174 names", "dagpb.decode(directory_bytes)", 400),
        ("unixfs.decode, 174 block sizes", "unixfs.decode(file.data)", 50),
        ("unixfs.check_file, 174 block sizes", "unixfs.check_file(fields, file)", 20),
        ("dagcbor.decode, 1000 records", "dagcbor.decode(cbor)", None),
        ("dagcbor.encode, 1000 records", "dagcbor.encode(records)", None),
    ]:
        yield measure(name, call, names, limit=limit, quick=quick)


@bench("content.car")
def car(quick):
    from sessionctx.content import Block, CarDecoder
    from sessionctx.content import car as writer

    blocks = [Block.of(i.to_bytes(4, "big") * 256) for i in range(1000)]
    stream = writer.encode_header([]) + b"".join(writer.encode_section(block.cid, block.data) for block in blocks)

    def decode(size):
        decoder = CarDecoder()
        found = sum(len(decoder.feed(stream[at : at + size])) for at in range(0, len(stream), size))
        decoder.finish()
        assert found == len(blocks)

    for size in (65536, 100):
        yield measure(f"CarDecoder, a block of 1 KiB, fed by {size}", lambda: decode(size), per=1000, quick=quick)  # noqa: B023
