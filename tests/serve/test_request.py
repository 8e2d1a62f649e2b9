"""What a request asks for, and what is wrong with it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionctx.content import CID
from sessionctx.serve.request import Refused, read

NAME = "bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"


@pytest.mark.parametrize(
    ("target", "path", "scope", "span"),
    [
        (f"/ipfs/{NAME}?format=raw", "", "all", None),
        (f"/ipfs/{NAME}/?format=raw", "", "all", None),
        (f"/ipfs/{NAME}?format=car", "", "all", None),
        (f"/ipfs/{NAME}/a/b?format=car", "a/b", "all", None),
        (f"/ipfs/{NAME}/a/b/?format=car", "a/b", "all", None),
        (f"/ipfs/{NAME}/a%20b/%D1%8F?format=car", "a b/я", "all", None),
        (f"/ipfs/{NAME}?format=car&dag-scope=block", "", "block", None),
        (f"/ipfs/{NAME}?format=car&dag-scope=entity", "", "entity", None),
        (f"/ipfs/{NAME}?format=car&entity-bytes=0:*", "", "entity", "0:*"),
        (f"/ipfs/{NAME}?format=car&dag-scope=all&entity-bytes=-5:-1", "", "entity", "-5:-1"),
        (f"/ipfs/{NAME}?format=car&format=raw", "", "all", None),
    ],
)
def test_a_request_is_understood(scope_of, target, path, scope, span):
    request = read(scope_of(target))
    assert request.cid == CID.parse(NAME)
    assert (request.path, request.scope, request.span) == (path, scope, span)


def test_the_content_path_is_the_one_that_was_asked_for(scope_of):
    other = CID.parse(NAME).encode(base="base36")
    request = read(scope_of(f"/ipfs/{other}/a%20b?format=car"))
    assert request.content_path == f"/ipfs/{other}/a%20b"


def test_a_server_that_gives_no_raw_path_will_do(scope_of):
    scope = scope_of("/")
    scope.update(path=f"/ipfs/{NAME}/a b", raw_path=None, query_string=b"format=car")
    assert read(scope).path == "a b"


@pytest.mark.parametrize(
    ("target", "method", "status", "why"),
    [
        (f"/ipfs/{NAME}?format=raw", "POST", 405, "GET and HEAD"),
        (f"/ipfs/{NAME}?format=raw", "OPTIONS", 405, "GET and HEAD"),
        ("/", "GET", 404, "trustless gateway"),
        ("/ipns/example.org?format=car", "GET", 404, "serves /ipfs/"),
        ("/ipfs/?format=raw", "GET", 400, "no CID"),
        ("/ipfs/hello?format=raw", "GET", 400, "no CID"),
        ("/ipfs/%FF?format=raw", "GET", 400, "UTF-8"),
        (f"/ipfs/{NAME}", "GET", 406, "format=raw"),
        (f"/ipfs/{NAME}?format=json", "GET", 406, "format=car"),
        (f"/ipfs/{NAME}/a?format=raw", "GET", 400, "no path"),
        (f"/ipfs/{NAME}?format=car&dag-scope=some", "GET", 400, "dag-scope"),
        (f"/ipfs/{NAME}?format=car&entity-bytes=5", "GET", 400, "entity-bytes"),
        (f"/ipfs/{NAME}?format=car&entity-bytes=*:5", "GET", 400, "entity-bytes"),
        (f"/ipfs/{NAME}?format=car&entity-bytes=0:" + "9" * 30, "GET", 400, "entity-bytes"),
        (f"/ipfs/{NAME}?format=car&entity-bytes=5:2", "GET", 400, "before it begins"),
        (f"/ipfs/{NAME}?format=car&entity-bytes=-2:-5", "GET", 400, "before it begins"),
        (f"/ipfs/{NAME}?format=car" + "&a=b" * 200, "GET", 400, "100 parameters"),
    ],
)
def test_what_makes_no_sense_is_refused_with_advice(scope_of, target, method, status, why):
    with pytest.raises(Refused, match=why) as refused:
        read(scope_of(target, method))
    assert refused.value.status == status
    assert (refused.value.headers == {"Allow": "GET, HEAD"}) is (status == 405)


def test_repeated_headers_are_one(scope_of):
    scope = scope_of(f"/ipfs/{NAME}", accept="text/html")
    scope["headers"].append((b"Accept", b"application/vnd.ipld.raw"))
    assert read(scope).wanted.format == "raw"


@pytest.mark.parametrize(
    ("value", "wants"),
    [("only-if-cached", True), ("no-store, Only-If-Cached", True), ("no-cache", False), ("only-if-cached-not", False)],
)
def test_only_if_cached_is_one_directive_among_others(scope_of, value, wants):
    assert read(scope_of(f"/ipfs/{NAME}?format=raw", cache_control=value)).only_if_cached is wants


@given(st.text(max_size=40), st.text(alphabet="&=%:abcformtdgs-*019é\x00", max_size=40))
def test_any_target_is_understood_or_refused(path, query):
    """Whatever stands in the request line, it is a request or it is refused with a 4xx."""
    raw = path.encode("utf-8", "surrogatepass")
    scope = {"type": "http", "method": "GET", "path": path, "raw_path": b"/ipfs/" + raw, "headers": []}
    scope["query_string"] = query.encode("latin-1")
    try:
        read(scope)
    except Refused as refused:
        assert 400 <= refused.status < 500
        assert refused.text
