"""What is asked of both gateways."""

from __future__ import annotations

from collections.abc import Iterator

from tests.interop.compare import Asked

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
FILES = (
    "/ascii.txt", "/multiblock.txt", "/ą/ę/file-źł.txt", "/ą/ę/t.json", "/page/index.html", "/page/style.css", "/link",
    "/data.bin", "/pixel.png", "/untold", "/nothing", "/a%23b%3Fc.txt", "/emoji%F0%9F%9A%80.txt",
    "/sub%20dir/file!'()*~.txt", "/Portugal%252C+Espa%C3%B1a=Peninsula%20Ib%C3%A9rica.txt",
)  # fmt: skip
WAYS = ("/./ą/../ascii.txt", "//ascii.txt", "/ascii.txt/", "/ą%2Fę%2Ft.json", "/ą%2F..%2Fascii%2Etxt")
NOWHERE = ("/none", "/none/", "/ascii.txt/x", "/link/x", "/..", "/../../x", "/page/none/x")
IN_DATA = ("", "/", "/foo", "/foo/link", "/foo/link/bar", "/file", "/list/1", "/list/9", "/list/x", "/none")
PATHS = {
    "dir": ("", "/", "/ą/ę", "/ą/ę/", "/page", "/page/", "/empty/", *FILES, *WAYS, *NOWHERE),
    "old": ("", "/", "/multiblock.txt"),
    "hamt": ("", "/", "/77.txt", "/none"),
    "file": ("",),
    "holes": ("",),
    "dag-json": IN_DATA,
    "dag-cbor": IN_DATA,
    "json": ("", "/", "/test"),
    "cbor": ("", "/test"),
    "slash": ("/", "/a/b.txt", "/a%2Fb.txt"),
    "data-first": ("/", "/hello.txt"),
    "dated": ("",),
    "nameless": ("",),
    "outside": ("", "/", "/in"),
    "inline": ("",),
    "absent": ("", "/x"),
}
FORMATS = ("raw", "car", "tar", "json", "cbor", "dag-json", "dag-cbor", "ipns-record")
TYPES = (
    "application/vnd.ipld.raw", "application/vnd.ipld.car", "application/vnd.ipld.car;version=1;order=dfs;dups=y",
    "application/vnd.ipld.car; order=unk; dups=n", "application/vnd.ipld.car;version=2", "application/x-tar",
    "application/json", "application/cbor", "application/vnd.ipld.dag-json", "application/vnd.ipld.dag-cbor",
    "text/html", BROWSER, "foo/bar", "foo, application/vnd.ipld.raw,bar", "text/plain;q=0.3, application/x-tar;q=0.9",
)  # fmt: skip
CARS = (
    "dag-scope=block", "dag-scope=entity", "dag-scope=all", "dag-scope=bad", "car-dups=y", "car-dups=n", "car-version=1",
    "car-version=2", "car-order=unk", "car-order=dfs",
)  # fmt: skip
SPANS = ("0:0", "10:300", "512:*", "512:-256", "-300:-1", "-9999:*", "-9999:-3", "2000:3000", "5:2", "bad")
RANGES = (
    "bytes=2-5",
    "bytes=0-0",
    "bytes=2-",
    "bytes=-3",
    "bytes=-99999",
    "bytes=2-5,0-1",
    "bytes=99999-",
    "lines=1-2",
)


def asked_of(root: str) -> Iterator[Asked]:
    """Everything that is asked about one *root*."""
    for path in PATHS[root]:
        yield from _plainly(root, path)
        yield from (Asked(root, path, query=f"?format=car&{more}") for more in CARS)
        yield from (Asked(root, path, query=f"?format=car&dag-scope=entity&entity-bytes={span}") for span in SPANS)
        for asked in RANGES:
            yield Asked(root, path, headers=(("range", asked),))
            yield Asked(root, path, query="?format=raw", headers=(("range", asked),))


def _plainly(root: str, path: str) -> Iterator[Asked]:
    yield Asked(root, path)
    yield Asked(root, path, "HEAD")
    yield Asked(root, path, "OPTIONS")
    yield Asked(root, path, "POST")
    for name in FORMATS:
        yield Asked(root, path, query=f"?format={name}")
        yield Asked(root, path, "HEAD", f"?format={name}")
    yield from (Asked(root, path, headers=(("accept", kind),)) for kind in TYPES)
    yield Asked(root, path, query="?format=raw", headers=(("accept", "application/vnd.ipld.car"),))
    yield Asked(root, path, query="?format=car", headers=(("accept", "application/vnd.ipld.car;dups=y"),))
    yield Asked(root, path, query="?format=raw&filename=foobar.bin")
    for query in ("?filename=x.css", "?filename=%D1%82.png&download=true", "?download=true"):
        yield Asked(root, path, query=query)
    yield Asked(root, path, headers=(("if-none-match", '"other", *'),))
    yield Asked(root, path, headers=(("cache-control", "only-if-cached"),))
