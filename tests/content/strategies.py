"""Names, nodes, values and streams for the properties of this floor."""

from __future__ import annotations

from hypothesis import strategies as st

from sessionctx.content import CID, DAG_PB, PBLink, PBNode, car, codes, multihash, unixfs

numbers = st.integers(0, 2**63 - 1) | st.integers(0, 300)
hash_codes = st.sampled_from([codes.SHA1, codes.SHA2_256, codes.SHA2_512, codes.SHA3_256, codes.BLAKE2B_256])
codec_codes = st.sampled_from([codes.RAW, codes.DAG_PB, codes.DAG_CBOR, codes.DAG_JSON])


@st.composite
def cids(draw):
    """Any CID: of both versions, known and unknown codecs and functions, any length of digest."""
    if draw(st.booleans()):
        return CID.of(draw(st.binary(max_size=8)), codec=DAG_PB, version=0)
    digest = draw(st.binary(max_size=multihash.MAX_DIGEST) | st.binary(min_size=32, max_size=32))
    codec = draw(st.one_of(codec_codes, numbers).filter(lambda code: code != codes.LIBP2P_KEY))
    return CID.new(1, codec, multihash.wrap(draw(st.one_of(hash_codes, numbers)), digest))


links = st.builds(PBLink, cids(), st.none() | st.text(max_size=8), st.none() | numbers)
nodes = st.builds(PBNode, st.lists(links, max_size=4).map(tuple), st.none() | st.binary(max_size=40))

u64 = st.integers(0, 2**64 - 1) | st.integers(0, 300)
times = st.builds(unixfs.Mtime, st.integers(-(2**63), 2**63 - 1), st.integers(0, 999_999_999))
unixfs_data = st.builds(
    unixfs.Data,
    type=st.sampled_from(unixfs.Type),
    data=st.none() | st.binary(max_size=20),
    filesize=st.none() | u64,
    blocksizes=st.lists(u64 | st.just(262144), max_size=6).map(tuple),
    hash_type=st.none() | u64,
    fanout=st.none() | u64,
    mode=st.none() | st.integers(0, 2**32 - 1),
    mtime=st.none() | times,
)

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.binary(max_size=40)
    | cids()
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)

sections = st.lists(st.tuples(cids(), st.binary(max_size=60)), max_size=6)


@st.composite
def cars(draw):
    """The bytes of a CAR, its roots and its sections."""
    roots, inside = draw(st.lists(cids(), max_size=2)), draw(sections)
    return car.encode_header(roots) + b"".join(car.encode_section(*each) for each in inside), roots, inside
