"""What the origin answers behind a CDN, and for how long anybody may keep it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from builders.door import header, open_door
from builders.edge_origin import SECRET, EdgeOrigin
from builders.wkw_files import LayerFiles, dataset, ramp
from zarrlink.errors import InvalidRequest, SourceUnavailable
from zarrlink.geometry import BoundingBox, Mag
from zarrlink.http.edge_door import PAUSE_S, EdgeDoor, FileSecrets
from zarrlink.http.message import Request
from zarrlink.http.pinned import MAX_KNOWN, PinnedLinks
from zarrlink.links.service import LinkRequest

ONE, TWO = Mag(1, 1, 1), Mag(2, 2, 2)
GOOD = "v3/a.zarr/0/c/0/0/0"
FOR_A_YEAR = "public, max-age=300, s-maxage=31536000, immutable"
FOR_A_MINUTE = "public, max-age=60, s-maxage=60"


@pytest.fixture
def origin() -> EdgeOrigin:
    objects = dataset(
        LayerFiles("a", {ONE: ramp((40, 40, 40)), TWO: ramp((20, 20, 20))}), LayerFiles("b", {ONE: ramp((9, 9, 9))})
    )
    del objects["a/1/z1/y1/x1.wkw"]
    return EdgeOrigin(open_door(objects, wish=LinkRequest(layers=("a",))))


CACHED = {
    GOOD: (200, FOR_A_YEAR),
    "v2/a.zarr/0/0/0/0": (200, FOR_A_YEAR),
    "w3/a/1/0.0.0.0": (200, FOR_A_YEAR),
    # Never written, or outside the shape: kept, but not for long, since a file may be on its way.
    "v2/a.zarr/0/4/4/4": (404, FOR_A_MINUTE),
    "v3/a.zarr/0/c/0/0/99": (404, FOR_A_MINUTE),
    "w2/a/1/0.7.0.0": (404, FOR_A_MINUTE),
    "v3/a.zarr/zarr.json": (200, FOR_A_MINUTE),
    "v2/a.zarr/0/.zarray": (200, FOR_A_MINUTE),
    "w2/a/.zattrs": (200, FOR_A_MINUTE),
    "w3/a/1/zarr.json": (200, FOR_A_MINUTE),
    "v2/a.zarr/0/.zattrs": (200, FOR_A_MINUTE),
    # Errors.
    "v3/a.zarr/0/.zattrs": (404, "no-store"),
    "v3/a.zarr/0/c/00/0/0": (400, "no-store"),
    "v3/b.zarr/zarr.json": (410, "no-store"),
    "v3/a.zarr/7/c/0/0/0": (410, "no-store"),
    "w3/b/1/0.0.0.0": (410, "no-store"),
    "w3/a/4-4-4/0.0.0.0": (410, "no-store"),
    # What depends on the link is not pinned.
    "v3/": (200, "no-store"),
    "w3/datasource-properties.json": (200, "no-store"),
}


@pytest.mark.parametrize("rest", CACHED)
def test_what_is_pinned_is_kept_as_long_as_it_cannot_change(origin: EdgeOrigin, rest: str) -> None:
    for method in ("GET", "HEAD"):
        reply = origin.pinned(rest, method=method)
        assert (reply.status, header(reply, "cache-control")) == CACHED[rest]
        assert header(reply, "access-control-allow-origin") == "*"


def test_a_pinned_answer_is_the_one_that_the_link_gives(origin: EdgeOrigin) -> None:
    for rest in CACHED:
        if not rest.startswith("w"):
            mine, pinned = origin.door.get(rest), origin.pinned(rest)
            same = mine.body == pinned.body or (mine.status == pinned.status >= 400)
            # Titles and relative links of folders come from the address.
            assert same or rest.endswith("/"), rest
            assert header(mine, "etag") == header(pinned, "etag") or rest.endswith("/")


def test_ranges_and_conditions_are_kept_like_the_whole(origin: EdgeOrigin) -> None:
    part = origin.pinned(GOOD, range="bytes=0-9")
    assert (part.status, len(part.body), header(part, "cache-control")) == (206, 10, FOR_A_YEAR)
    same = origin.pinned(GOOD, if_none_match=header(part, "etag") or "")
    assert (same.status, header(same, "cache-control")) == (304, FOR_A_YEAR)
    outside = origin.pinned(GOOD, range="bytes=99999999-")
    assert (outside.status, header(outside, "cache-control")) == (416, "no-store")


def test_a_source_that_fails_is_not_kept(origin: EdgeOrigin) -> None:
    origin.door.source.failures = {"x0.wkw": SourceUnavailable("denied")}
    reply = origin.pinned(GOOD)
    assert (reply.status, header(reply, "cache-control")) == (503, "no-store")


def test_a_viewer_that_is_to_ask_each_time_is_told_so_and_the_cdn_is_not(origin: EdgeOrigin) -> None:
    origin.path = replace(origin.path, viewer_max_age_s=0)
    assert header(origin.pinned(GOOD), "cache-control") == "public, max-age=0, s-maxage=31536000, immutable"
    assert header(origin.pinned("v3/a.zarr/zarr.json"), "cache-control") == "public, max-age=0, s-maxage=60"
    assert header(origin.unpinned(GOOD), "cache-control") == "private, no-cache"


def test_who_comes_past_the_cdn_gets_nothing(origin: EdgeOrigin) -> None:
    link = origin.door.link
    addresses = (
        f"{origin.door.base}/{GOOD}",
        f"{origin.door.base}/",
        f"/c/{link.view.id}/{origin.revision()}/{GOOD}",
        f"/u/{link.id}/",
        f"/data/annotations/zarr/{origin.door.base[6:]}/a/1/0.0.0.0",
    )
    for address in addresses:
        for method in ("GET", "HEAD", "OPTIONS", "POST"):
            for secret in (None, "", "x", SECRET[:-1], SECRET + "s"):
                reply = origin.send(method, address, secret=secret, x_zarrlink_link=link.id)
                assert (reply.status, header(reply, "cache-control")) == (410, "no-store")
                assert header(reply, "access-control-allow-origin") == "*"
    # With it, what the edge would have rewritten is refused all the same.
    for address in (addresses[0], addresses[1], addresses[4], "/zarr/", "/api/datasets"):
        assert origin.send("GET", address).status == 410


def test_without_a_cdn_its_addresses_open_nothing(origin: EdgeOrigin) -> None:
    link = origin.door.link
    for address in (f"/c/{link.view.id}/{origin.revision()}/{GOOD}", f"/u/{link.id}/{GOOD}", "/u/-/", "/c/", "/u/"):
        headers = {"x_zarrlink_link": link.id, "x_zarrlink_edge": SECRET, "x_zarrlink_token": origin.door.base[6:]}
        assert origin.door.send("GET", address, **headers).status == 410


def test_a_pinned_answer_does_not_ask_whether_the_link_still_lives(origin: EdgeOrigin) -> None:
    """The edge has; and requests of other links may hang on this one."""
    door = origin.door
    door.links.revoke(door.link.id, None, door.clock.now_ms)
    assert origin.pinned(GOOD).status == 200
    assert origin.unpinned(GOOD).status == 410


def test_a_link_opens_its_own_view_and_no_other(origin: EdgeOrigin) -> None:
    door, full = origin.door, origin.door.link
    door.make_link(LinkRequest(layers=("a",), box=BoundingBox((0, 0, 0), (20, 20, 20))))
    narrow = door.link
    assert origin.pinned(GOOD).status == 200
    address = f"/c/{full.view.id}/{origin.revision(full)}/{GOOD}"
    assert origin.send("GET", address, x_zarrlink_link=full.id).status == 200
    for named in (narrow.id, "", "AAAAAAAAAAAAAAAA", "\xff" * 16):
        reply = origin.send("GET", address, x_zarrlink_link=named)
        assert (reply.status, header(reply, "cache-control")) == (410, "no-store")
    assert origin.send("GET", address).status == 410
    for broken in ("/c/", "/c", f"/c/{full.view.id}", f"/c/{full.view.id}/", f"/c/{full.view.id}/x", "/u/"):
        assert origin.send("GET", broken, x_zarrlink_link=full.id).status in (404, 410)


def test_a_link_is_looked_up_once_and_not_for_ever(origin: EdgeOrigin) -> None:
    door, asked = origin.door, []

    class Counting:
        def get(self, link_id: str):
            asked.append(link_id)
            return replace(door.link, id=link_id)

    links, known = Counting(), PinnedLinks()
    for _ in range(2):
        for number in range(MAX_KNOWN):
            known.get(links, str(number), door.link.view.id)
    assert len(asked) == MAX_KNOWN
    known.get(links, "one more", door.link.view.id)
    known.get(links, "0", door.link.view.id)
    assert asked[MAX_KNOWN:] == ["one more", "0"]


def test_what_is_not_pinned_is_answered_as_without_a_cdn(origin: EdgeOrigin) -> None:
    door = origin.door
    for rest in (
        GOOD,
        "v3/a.zarr/zarr.json",
        "v2/a.zarr/0/4/4/4",
        "v3/b.zarr/zarr.json",
        "v3/a.zarr/0/c/00/0/0",
        "../x",
        "w3",
    ):
        mine, unpinned = door.get(rest), origin.unpinned(rest)
        assert (mine.status, header(mine, "cache-control")) == (unpinned.status, header(unpinned, "cache-control"))
    page = origin.unpinned("", accept="text/html")
    assert (page.status, header(page, "cache-control")) == (200, "no-store")
    assert header(page, "referrer-policy") == "no-referrer"
    facts = origin.unpinned("", accept="application/json")
    assert json.loads(facts.body)["layers"][0]["v3"] == "v3/a.zarr"
    door.links.change(door.link.id, None, expires_ms=door.clock.now_ms - 1)
    page = origin.unpinned("", accept="text/html")
    assert (page.status, header(page, "content-type")) == (410, "text/html; charset=utf-8")
    for rest in (GOOD, "v3/", "v3/a.zarr/zarr.json"):
        assert origin.unpinned(rest).status == 410
    assert origin.send("GET", f"/u/AAAAAAAAAAAAAAAA/{GOOD}").status == 410


def test_a_token_that_the_edge_cannot_check_is_checked_here(origin: EdgeOrigin) -> None:
    token = origin.door.base.removeprefix("/zarr/")
    assert origin.send("GET", f"/u/-/{GOOD}", x_zarrlink_token=token).status == 200
    assert origin.send("GET", "/u/-/", x_zarrlink_token=token, accept="text/html").status == 200
    for wrong in ("", token[:-1] + ("A" if token[-1] != "A" else "B"), origin.door.link.id):
        assert (
            origin.send("GET", f"/u/-/{GOOD}", x_zarrlink_token=wrong, x_zarrlink_link=origin.door.link.id).status
            == 410
        )
    assert origin.send("GET", f"/u/-/{GOOD}", x_zarrlink_link=origin.door.link.id).status == 410


class Rotated:
    """Secrets that are exchanged, and how often they were read."""

    def __init__(self) -> None:
        self.secrets = ["old" * 20]
        self.reads = 0

    def current(self) -> bytes:
        self.reads += 1
        return self.secrets[0].encode()

    def previous(self) -> bytes | None:
        self.reads += 1
        return self.secrets[1].encode() if len(self.secrets) > 1 else None


def test_a_secret_is_exchanged_while_both_are_sent() -> None:
    from zarrlink.errors import LinkGone

    secrets, clock = Rotated(), [0.0]
    door = EdgeDoor(secrets, monotonic=lambda: clock[0])

    def is_let_in(secret: str) -> bool:
        try:
            door.check({b"x-zarrlink-edge": secret.encode()})
        except LinkGone:
            return False
        return True

    assert is_let_in("old" * 20)
    assert is_let_in("old" * 20)
    assert secrets.reads == 1
    secrets.secrets = ["new" * 20, "old" * 20]
    assert is_let_in("old" * 20)
    assert is_let_in("new" * 20)
    # Parts of the CDN still send the old one.
    assert is_let_in("old" * 20)
    assert is_let_in("new" * 20)
    before = secrets.reads
    assert not any(is_let_in(f"guess {number}" * 9) for number in range(100))
    assert secrets.reads == before, "whoever guesses does not make us read"
    secrets.secrets = ["newest" * 20, "new" * 20]
    clock[0] += PAUSE_S
    assert is_let_in("newest" * 20)
    assert not is_let_in("old" * 20)


def test_secrets_in_a_file_are_its_owners_alone(tmp_path) -> None:
    file = tmp_path / "cdn"
    for text, mode, accepted in (
        ("a" * 32, 0o600, True),
        ("a" * 31, 0o600, False),
        ("a" * 32, 0o640, False),
        ("", 0o600, False),
    ):
        file.write_text(f"{text}\n")
        file.chmod(mode)
        if accepted:
            assert FileSecrets(file).current() == text.encode()
            assert FileSecrets(file).previous() is None
        else:
            with pytest.raises(InvalidRequest):
                FileSecrets(file).current()
    file.chmod(0o600)
    file.write_text("b" * 40 + "\n" + "a" * 32)
    assert FileSecrets(file).previous() == b"a" * 32
    with pytest.raises(InvalidRequest):
        FileSecrets(tmp_path / "none").current()


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("links.example.org", "https://links.example.org"),
        ("127.0.0.1:8443", "https://127.0.0.1:8443"),
        ("[::1]:80", "https://[::1]:80"),
        ("", None),
        ("a b", None),
        ("evil.org/path", None),
        ("user@evil.org", None),
        ("-x", None),
    ],
)
def test_the_public_address_is_what_the_edge_says(host: str, address: str | None) -> None:
    request = Request("GET", "/", {b"x-zarrlink-host": host.encode()})
    assert EdgeDoor.fixed((SECRET,)).public_url(request.headers) == address
