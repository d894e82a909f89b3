"""The status table of the data path: every kind of request and what a reader makes of the answer."""

import html
import json
import re
from urllib.parse import quote

import numcodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.door import Door, header, open_door
from builders.wkw_files import LayerFiles, dataset, noise, ramp
from zarrlink.errors import NotPermitted
from zarrlink.geometry import Mag
from zarrlink.http.problems import TABLE, problem_of
from zarrlink.links.interface import KEEP

DAY_MS = 86_400_000
GOOD = "v3/a.zarr/0/c/0/0/0"


def make_objects() -> dict[str, bytes]:
    """Two levels; layer `a` plain, `c` of three channels, and a name that needs encoding."""
    mags = {Mag(1, 1, 1): ramp((40, 40, 40)), Mag(2, 2, 2): ramp((20, 20, 20))}
    rgb = LayerFiles("c", {Mag(1, 1, 1): ramp((20, 20, 20), channels=3)})
    objects = dataset(LayerFiles("a", mags), rgb, LayerFiles("Zellen 100% ä", mags))
    del objects["a/1/z1/y1/x1.wkw"]
    return objects


OBJECTS = make_objects()
# For properties, which share one door; nothing in it is changed.
SHARED = open_door(OBJECTS)


@pytest.fixture
def door() -> Door:
    return open_door(dict(OBJECTS))


STATUSES = {
    # Metadata that is there.
    "v3/a.zarr/zarr.json": 200,
    "v3/a.zarr/1/zarr.json": 200,
    "v2/a.zarr/.zgroup": 200,
    "v2/a.zarr/.zattrs": 200,
    "v2/a.zarr/.zmetadata": 200,
    "v2/a.zarr/1/.zarray": 200,
    "v2/a.zarr/1/.zattrs": 200,
    # Listings, with and without a slash.
    "v3": 200,
    "v3/": 200,
    "v2/a.zarr": 200,
    "v2/a.zarr/": 200,
    "v3/a.zarr/1": 200,
    "v3/a.zarr/1/": 200,
    # Chunks.
    GOOD: 200,
    "v2/a.zarr/0/0/0/0": 200,
    "v2/a.zarr/1/0/0/0": 200,
    "v2/c.zarr/0/0/0/0/0": 200,
    "v3/c.zarr/0/c/0/0/0/0": 200,
    # Never written, or outside the shape.
    "v2/a.zarr/0/4/4/4": 404,
    "v3/a.zarr/0/c/1/1/1": 404,
    "v2/a.zarr/0/5/0/0": 404,
    "v3/a.zarr/0/c/0/0/99": 404,
    "v2/a.zarr/0/999999999999999/0/0": 404,
    "v2/c.zarr/0/1/0/0/0": 404,
    # Words that are not there: what readers probe for.
    "v2/a.zarr/zarr.json": 404,
    "v2/a.zarr/0/.zgroup": 404,
    "v2/a.zarr/0/zarr.json": 404,
    "v3/a.zarr/.zattrs": 404,
    "v3/a.zarr/0/.zarray": 404,
    "v3/a.zarr/labels/zarr.json": 404,
    "v2/a.zarr/labels/.zattrs": 404,
    "v2/a.zarr/OME/METADATA.ome.xml": 404,
    "v3/a.zarr/attributes.json": 404,
    "v3/a": 404,
    "v3/a/zarr.json": 404,
    "v4/a.zarr/zarr.json": 404,
    "favicon.ico": 404,
    # Not canonical.
    "v3/a.zarr/0/c/00/0/0": 400,
    "v3/a.zarr/0/c/+0/0/0": 400,
    "v3/a.zarr/0/c/-1/0/0": 400,
    "v3/a.zarr/0/c/0x0/0/0": 400,
    "v3/a.zarr/0/c/0.0.0": 400,
    "v3/a.zarr/0/c.0.0.0": 400,
    "v3/a.zarr/0/0/0/0": 400,
    "v3/a.zarr/0/c/0/0": 400,
    "v3/a.zarr/0/c/0/0/0/0": 400,
    "v3/a.zarr/0/c/0/0/0/": 400,
    "v3/a.zarr/0/c": 400,
    "v3/a.zarr/0/c/": 400,
    "v3/a.zarr/c/0/0/0": 400,
    "v3/a.zarr/00/zarr.json": 400,
    "v2/a.zarr/0/0.0.0": 400,
    "v2/a.zarr/0/01/0/0": 400,
    "v2/a.zarr/0/%30/0/0": 400,
    "v2/a.zarr/0/%D9%A0/0/0": 400,
    "v2/a.zarr/0/\u0663/0/0": 400,
    "v2/a.zarr/0/1e3/0/0": 400,
    "v2/a.zarr/0/" + "9" * 400 + "/0/0": 404,
    "v3/a.zarr/0/c/9999999999999999999/0/0": 404,
    "v2/a.zarr/0/" + "9" * 4001 + "/0/0": 400,
    "v2/a.zarr/0//0/0": 400,
    "v2/a.zarr//.zgroup": 400,
    # Traversal and bad encoding.
    "v3/a.zarr/../../../etc/passwd": 400,
    "v3/a.zarr/..": 400,
    "v3/../v3/a.zarr/zarr.json": 400,
    "v3/%2e%2e/a.zarr/zarr.json": 400,
    "v3/a.zarr/%2e%2e/zarr.json": 400,
    "v3/a.zarr/0/c/%2e%2e/0/0": 400,
    "v3/a%2Fb.zarr/zarr.json": 400,
    "v3/a%5Cb.zarr/zarr.json": 400,
    "v3/a%00.zarr/zarr.json": 400,
    "v3/%FF.zarr/zarr.json": 400,
    # One object, one address: an escape that is not needed would make others.
    "v3/%61.zarr/zarr.json": 400,
    "v3/a%2Ezarr/zarr.json": 400,
    "v3/Zellen%20100%25%20%c3%a4.zarr/zarr.json": 400,
    "v3/Zellen%20100%25%20%C3%A4.zarr/zarr.json": 200,
    "v3/%.zarr/zarr.json": 400,
    "v3/%zz.zarr/zarr.json": 400,
    "v3//a.zarr/zarr.json": 400,
    "..": 400,
    "%2e%2e/": 400,
    # What the link does not open.
    "v3/b.zarr/zarr.json": 410,
    "v3/b.zarr/0/c/0/0/0": 410,
    "v2/a.zarr/2/.zarray": 410,
    "v2/a.zarr/2/0/0/0": 410,
    "v2/a.zarr/2/": 410,
    "v3/a.zarr/17/c/0/0/0": 410,
}


@pytest.mark.parametrize("path", STATUSES)
def test_status(door: Door, path: str) -> None:
    get, head = door.get(path), door.head(path)

    assert get.status == head.status == STATUSES[path], get
    assert header(get, "access-control-allow-origin") == "*"
    assert header(get, "content-length") == header(head, "content-length") == str(len(get.body))
    assert head.body == b""
    if get.status in (400, 410):
        assert header(get, "cache-control") == "no-store"
    if get.status >= 400:
        problem = json.loads(get.body)
        assert header(get, "content-type") == "application/problem+json"
        assert problem["status"] == get.status
        assert problem["detail"]
        assert door.base.removeprefix("/zarr/") not in get.body.decode(), "the token is a secret"


def test_an_absent_chunk_is_cached_like_a_present_one(door: Door) -> None:
    caching = header(door.get(GOOD), "cache-control")
    assert caching == "private, max-age=300"
    assert header(door.get("v2/a.zarr/0/4/4/4"), "cache-control") == caching
    # A word that is no chunk is an error.
    assert header(door.get("v2/a.zarr/0/.zgroup"), "cache-control") == "no-store"


def test_a_layer_name_is_percent_encoded(door: Door) -> None:
    name = quote("Zellen 100% ä", safe="")
    assert door.get(f"v3/{name}.zarr/zarr.json").status == 200
    assert door.get(f"v2/{name}.zarr/0/0/0/0").body == door.get("v2/a.zarr/0/0/0/0").body


@pytest.mark.parametrize("name", ["a%2Fb", "a b", "ä", "a#b", "a?b", "100%", "a+b&c;d=e", "a.zarr", "'\"<b>"])
def test_any_name_of_a_layer_is_decoded_once(name: str) -> None:
    """From the listing of the layers down to a chunk, and as the link's page says it."""
    volume = noise((9, 9, 9), "uint16")
    door = open_door(dataset(LayerFiles(name, {Mag(1, 1, 1): volume})))
    facts = json.loads(door.send("GET", f"{door.base}/", accept="application/json").body)
    (layer,) = facts["layers"]
    assert layer["name"] == name
    for dialect, document in (("v2", ".zarray"), ("v3", "zarr.json")):
        (listed,) = re.findall('href="([^"]*)"', door.get(f"{dialect}/").body.decode())
        assert f"{dialect}/{html.unescape(listed).removeprefix('./')}" == f"{layer[dialect]}/"
        assert door.get(f"{layer[dialect]}/0/{document}").status == 200
        twice = layer[dialect].replace("%", "%25")
        assert twice == layer[dialect] or door.get(f"{twice}/0/{document}").status == 410
    chunk = numcodecs.Blosc().decode(door.get(f"{layer['v2']}/0/0/0/0").body)
    np.testing.assert_array_equal(np.frombuffer(chunk, "<u2").reshape(8, 8, 8), volume[:8, :8, :8])


def test_listings_link_relatively_with_and_without_a_slash(door: Door) -> None:
    from urllib.parse import urljoin

    for path in ("v3", "v3/", "v2/a.zarr", "v2/a.zarr/", "v2/a.zarr/1", "v2/a.zarr/1/"):
        body = door.get(path).body.decode()
        links = [part.split('"')[0] for part in body.split('href="')[1:]]
        assert links
        for link in links:
            target = urljoin(f"http://host{door.base}/{path}", link)
            reply = door.send("GET", target.removeprefix("http://host"))
            assert reply.status == 200, (path, link)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE", "get"])
def test_other_methods_are_refused(door: Door, method: str) -> None:
    reply = door.send(method, f"{door.base}/{GOOD}")
    assert reply.status == 405
    assert header(reply, "allow") == "GET, HEAD, OPTIONS"


def test_a_preflight_needs_no_link(door: Door) -> None:
    reply = door.send("OPTIONS", "/zarr/whatever/v3/a.zarr/0/c/0/0/0")
    assert reply.status == 204
    assert "Range" in (header(reply, "access-control-allow-headers") or "")


@pytest.mark.parametrize("below", ["", "/", f"/{GOOD}", "/v2/a.zarr/.zgroup", "/v3/b.zarr/zarr.json", "/../x"])
@pytest.mark.parametrize("token", ["", "x", "a" * 33, "a" * 5000, "%2e%2e", "..", "ä" * 33, "\ud800"])
def test_a_token_that_is_not_ours_is_410(door: Door, token: str, below: str) -> None:
    for accept in ("*/*", "text/html", "application/json"):
        assert door.send("GET", f"/zarr/{token}{below}", accept=accept).status == 410


@pytest.mark.parametrize("path", ["", "v3/", GOOD, "v3/a.zarr/zarr.json", "v3/b.zarr/zarr.json", "v2/a.zarr/0/4/4/4"])
def test_a_revoked_or_expired_link_is_410_from_the_next_request_on(door: Door, path: str) -> None:
    door.make_link()
    expires_ms = door.link.expires_ms
    assert door.get("v3/a.zarr/zarr.json").status == 200
    door.links.change(door.link.id, None, expires_ms=door.clock.now_ms - 1)
    assert door.get(path).status == door.head(path).status == 410
    assert header(door.get(path), "cache-control") == "no-store"
    door.links.change(door.link.id, None, expires_ms=expires_ms)
    assert door.get(path).status != 410 or "b.zarr" in path
    door.links.revoke(door.link.id, None, door.clock.now_ms)
    assert door.get(path).status == 410
    door.links.change(door.link.id, None, name=KEEP, expires_ms=None)
    assert door.get(path).status == 410


def test_the_expiry_itself_is_the_last_moment(door: Door) -> None:
    door.make_link()
    door.clock.now_ms = door.link.expires_ms
    assert door.get(GOOD).status == 200
    door.clock.now_ms += 1
    assert door.get(GOOD).status == 410


RANGES = {
    "bytes=0-0": (206, 0, 1),
    "bytes=0-": (206, 0, None),
    "bytes=5-9": (206, 5, 10),
    "bytes=-1": (206, -1, None),
    "bytes=-99999999": (206, 0, None),
    "bytes=3-99999999": (206, 3, None),
    "Bytes= 3-4 ": (206, 3, 5),
    "bytes=0-999999999999999999": (206, 0, None),
    "bytes=99999999-": (416, 0, 0),
    "bytes=-0": (416, 0, 0),
    # Nothing that makes sense: the whole, which is never wrong.
    "bytes=9-5": (200, 0, None),
    "bytes=a-b": (200, 0, None),
    "bytes=0-1,3-4": (200, 0, None),
    "bytes=0-5,2-9": (200, 0, None),
    "bytes=": (200, 0, None),
    "bytes=-": (200, 0, None),
    "bytes=--1": (200, 0, None),
    "bytes=\u0661-2".encode().decode("latin-1"): (200, 0, None),
    "lines=0-1": (200, 0, None),
    "bytes=0-99999999999999999999999999": (206, 0, None),
    "bytes=99999999999999999999999999-": (416, 0, 0),
    "": (200, 0, None),
}


@pytest.mark.parametrize("path", [GOOD, "v2/a.zarr/0/0/0/0", "v3/a.zarr/zarr.json"])
@pytest.mark.parametrize("asked", RANGES)
def test_ranges(door: Door, path: str, asked: str) -> None:
    whole = door.get(path)
    status, start, end = RANGES[asked]
    reply = door.get(path, range=asked)

    assert reply.status == status
    if status == 416:
        assert header(reply, "content-range") == f"bytes */{len(whole.body)}"
        return
    assert reply.body == whole.body[start:end]
    assert header(reply, "etag") == header(whole, "etag")
    assert header(reply, "content-length") == str(len(reply.body))
    if status == 206:
        first = start % len(whole.body)
        last = first + len(reply.body) - 1
        assert header(reply, "content-range") == f"bytes {first}-{last}/{len(whole.body)}"


@given(first=st.integers(0, 3000), length=st.integers(1, 3000), path=st.sampled_from([GOOD, "v3/c.zarr/0/c/0/0/0/0"]))
@settings(max_examples=150, deadline=None)
def test_any_range_is_that_part_of_the_whole(first: int, length: int, path: str) -> None:
    whole = SHARED.get(path).body
    reply = SHARED.get(path, range=f"bytes={first}-{first + length - 1}")
    assert reply.status == (206 if first < len(whole) else 416)
    if reply.status == 206:
        assert reply.body == whole[first : first + length]


def test_a_range_counts_only_for_the_object_it_was_meant_for(door: Door) -> None:
    etag = header(door.get(GOOD), "etag") or ""
    assert door.get(GOOD, range="bytes=0-3", if_range=etag).status == 206
    assert door.get(GOOD, range="bytes=0-3", if_range='"old"').status == 200
    assert door.get("v3/a.zarr/zarr.json", range="bytes=0-3", if_range='"old"').status == 200


@given(below=st.text(alphabet=st.characters(max_codepoint=255), max_size=60))
@settings(max_examples=300, deadline=None)
def test_whatever_is_asked_is_answered_by_the_table(below: str) -> None:
    base = SHARED.base
    for path in (f"/zarr/{below}", f"{base}/{below}", f"{base}/v3/a.zarr/{below}", f"{base}/v2/a.zarr/0/{below}"):
        assert SHARED.send("GET", path).status in (200, 400, 404, 410)


def test_what_goes_wrong_unexpectedly_is_a_failure_without_a_traceback(door: Door, caplog) -> None:
    door.source.failures = {"x0.wkw": RuntimeError("secret/path")}
    reply = door.get(GOOD)
    assert reply.status == 500
    assert b"secret" not in reply.body
    assert b"Traceback" not in reply.body
    assert "RuntimeError" in caplog.text
    assert json.loads(reply.body)["instance"] in caplog.text
    assert door.base.removeprefix("/zarr/") not in caplog.text


@pytest.mark.parametrize("kind", TABLE)
def test_every_problem_of_the_table_has_its_own_slug_and_a_status(kind: type) -> None:
    assert problem_of(kind.__new__(kind)) is TABLE[kind]
    assert 400 <= TABLE[kind].status <= 503
    # NotPermitted is of writes.
    assert kind is NotPermitted or TABLE[kind].status != 403, "readers take 403 for fill value"
    assert len({problem.slug for problem in TABLE.values()}) == len(TABLE)
    assert (TABLE[kind].status == 503) == any(name == b"retry-after" for name, _ in TABLE[kind].headers)


def test_the_viewer_is_told_to_ask_each_time_where_the_operator_says_so() -> None:
    from dataclasses import replace

    door = open_door(dataset(LayerFiles("a", {Mag(1, 1, 1): ramp((8, 8, 8))})))
    door.path = replace(door.path, viewer_max_age_s=0)
    assert header(door.get("v2/a.zarr/0/0/0/0"), "cache-control") == "private, no-cache"
    assert header(door.get("v2/a.zarr/.zgroup"), "cache-control") == "private, no-cache"
