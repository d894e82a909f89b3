"""`make smoke`: it passes on a sound server, and each of its checks fails where it should, by name."""

from __future__ import annotations

import asyncio
import gzip
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from builders.broken import Asked, Broken, Fault, Reply
from builders.loopback import served
from builders.template import ROOT
from builders.wkw_files import LayerFiles, dataset, noise, pyramid, ramp, write_tree
from zarrlink.formats.blosc1 import raw_frame_header
from zarrlink.geometry import Mag
from zarrlink.library import Subject
from zarrlink.links.service import LinkRequest, create_link
from zarrlink_local.machine import Machine, now_ms, open_machine
from zarrlink_local.server import create_app

ONE, TWO = Mag(1, 1, 1), Mag(2, 2, 2)


class Site:
    """A machine with a dataset, and its application."""

    def __init__(self, folder: Path, *layers: LayerFiles) -> None:
        write_tree(dataset(*layers), folder / "mouse")
        self.machine: Machine = open_machine(folder / "state.sqlite")
        self.record = self.machine.catalogue.register("mouse", str(folder / "mouse"), now_ms())
        self.app = create_app(self.machine, "http://127.0.0.1")

    def make_link(self, wish: LinkRequest | None = None) -> str:
        machine = self.machine
        made = create_link(machine.library, machine.links, Subject(self.record), "ann", wish or LinkRequest(), now_ms())
        return machine.keys.token(asyncio.run(made).link.id)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    layer = LayerFiles("em", pyramid(ramp((32, 32, 32)), (ONE, TWO)), block_side=8, file_side=4)
    return Site(tmp_path_factory.mktemp("smoke"), layer)


def faults_of(smoke: Any, address: str) -> dict[str, str | None]:
    client = smoke.Client(address)
    try:
        return dict(smoke.results(client))
    finally:
        client.close()


def test_a_sound_server_passes(smoke: Any, site: Site) -> None:
    with served(site.app) as address:
        found = faults_of(smoke, f"{address}/zarr/{site.make_link()}/")
    assert {name: fault for name, fault in found.items() if fault is not None} == {}
    assert found.keys() == set(FAULTS), "each check is shown to fail below"


@pytest.mark.parametrize(
    "layers",
    [
        (LayerFiles("rgb", {ONE: ramp((20, 20, 20), channels=3)}),),
        (LayerFiles("one block", {ONE: noise((8, 8, 8), "float32")}),),
        (LayerFiles("cells", {ONE: noise((30, 30, 30), "uint64")}, (5, 8, 3)), LayerFiles("z", {ONE: ramp((8, 8, 8))})),
    ],
    ids=["channels", "unsharded", "cut blocks"],
)
def test_any_kind_of_layer_passes(smoke: Any, tmp_path: Path, layers: tuple[LayerFiles, ...]) -> None:
    site = Site(tmp_path, *layers)
    with served(site.app) as address:
        found = faults_of(smoke, f"{address}/zarr/{site.make_link()}/")
    assert {name: fault for name, fault in found.items() if fault is not None} == {}
    assert len(found) > 30


# ---- Faults


def on(
    kind: str, change: Callable[[Reply], object], *, method: str = "GET", status: int | None = None, asks: str = ""
) -> Fault:
    """A fault in the replies to one kind of request: with that status, and that header in the request."""

    def fault(asked: Asked, reply: Reply) -> None:
        fits = kind in ("", asked.kind) and method == asked.method and asks in ("", *asked.headers)
        if fits and status in (None, reply.status):
            change(reply)

    return fault


def without(header: str) -> Callable[[Reply], object]:
    return lambda reply: reply.headers.pop(header, None)


def with_header(header: str, value: str) -> Callable[[Reply], object]:
    return lambda reply: reply.headers.update({header: value})


def with_status(status: int) -> Callable[[Reply], None]:
    def change(reply: Reply) -> None:
        reply.status = status

    return change


def squeeze(reply: Reply) -> None:
    reply.replace_body(gzip.compress(reply.body))
    reply.headers["content-encoding"] = "gzip"


def as_if_utf8(reply: Reply) -> None:
    """What API Gateway does to bytes where it is not told that they are bytes."""
    reply.replace_body(reply.body.decode("utf-8", "replace").encode())


def flip_in_index(reply: Reply) -> None:
    reply.replace_body(reply.body[:-10] + bytes([reply.body[-10] ^ 1]) + reply.body[-9:])


def damage_last_frame(reply: Reply) -> None:
    """Its first byte, the format's version; the first frame stays whole, or no chunk would be found."""
    start = int.from_bytes(reply.body[-20:-12], "little")
    reply.replace_body(reply.body[:start] + b"\x07" + reply.body[start + 1 :])


def black(reply: Reply) -> None:
    """A sound frame of other voxels."""
    reply.replace_body(raw_frame_header(512, 1) + bytes(512))


def with_other_bytes(reply: Reply) -> None:
    """Of the same length, under the same headers."""
    reply.body = bytes(byte ^ 1 for byte in reply.body)


def ranged(first: str, last: str) -> Callable[[Asked], bool]:
    def fits(asked: Asked) -> bool:
        start, _, end = asked.headers.get("range", "").removeprefix("bytes=").partition("-")
        return bool(asked.headers.get("range")) and (start != "", end != "") == (first != "", last != "")

    return fits


def in_range(kind: str, form: Callable[[Asked], bool], change: Callable[[Reply], object]) -> Fault:
    def fault(asked: Asked, reply: Reply) -> None:
        if asked.kind == kind and reply.status == 206 and form(asked):
            change(reply)

    return fault


def sample_faults(kind: str) -> Iterator[tuple[str, list[Fault]]]:
    yield (
        f"{kind}: GET with length and ETag",
        [
            on(kind, without("etag"), status=200),
            on(kind, with_header("etag", 'W/"weak"'), status=200),
            on(kind, without("accept-ranges"), status=200),
        ],
    )
    yield (
        f"{kind}: CORS on 200",
        [
            on(kind, without("access-control-allow-origin"), status=200),
            on(kind, with_header("access-control-expose-headers", "ETag"), status=200),
        ],
    )
    yield (
        f"{kind}: HEAD length equals GET length",
        [
            on(kind, with_header("content-length", "0"), method="HEAD"),
            on(kind, with_status(403), method="HEAD"),
        ],
    )
    for name, form in {"a-b": ranged("a", "b"), "a-": ranged("a", ""), "-n": ranged("", "n")}.items():
        yield (
            f"{kind}: range {name} is 206",
            [
                in_range(kind, form, with_status(200)),
                in_range(kind, form, without("content-range")),
                in_range(kind, form, with_other_bytes),
            ],
        )
    yield (
        f"{kind}: a range behind the end is 416",
        [
            on(kind, with_status(200), status=416),
            on(kind, without("content-range"), status=416),
        ],
    )
    yield (
        f"{kind}: a known ETag is 304",
        [
            on(kind, with_status(200), status=304),
            on(kind, with_status(304), status=200, asks="if-none-match"),
        ],
    )
    if kind != "metadata":
        yield f"{kind}: not compressed once more", [on_gzip(kind)]


def on_gzip(kind: str) -> Fault:
    def fault(asked: Asked, reply: Reply) -> None:
        if asked.kind == kind and "gzip" in asked.headers.get("accept-encoding", "") and reply.status == 200:
            squeeze(reply)

    return fault


FAULTS: dict[str, list[Fault]] = {
    "page: facts as JSON by Accept": [
        on("page", with_header("content-type", "text/html"), asks="accept"),
        on("page", lambda reply: reply.replace_body(b"<!doctype html>")),
        on("page", lambda reply: reply.replace_body(b'{"layers": []}')),
        on("page", with_status(503)),
    ],
    "layer: metadata and a stored chunk are found": [
        on("metadata", with_status(503)),
        on("metadata", lambda reply: reply.replace_body(b"{}")),
        on("shard", with_status(404)),
        on("shard", with_status(403)),
        on("shard", flip_in_index, status=200),
    ],
    "page: HTML by Accept": [
        on("page", lambda reply: "html" in reply.headers["content-type"] and with_status(500)(reply))
    ],
    "page: kept by no cache": [on("page", with_header("cache-control", "max-age=60"))],
    **{name: faults for kind in ("metadata", "chunk", "shard") for name, faults in sample_faults(kind)},
    "chunk: Blosc frame decodes to its size": [
        on("chunk", as_if_utf8, status=200),
        on("chunk", lambda reply: reply.replace_body(reply.body[:-1]), status=200),
        on("chunk", squeeze, status=200),
    ],
    "shard: index and Blosc frames decode": [
        on("shard", damage_last_frame, status=200),
    ],
    "chunk: same voxels in v2 and v3": [on("chunk", black, status=200)],
    "absent chunk: 404 with CORS": [
        on("chunk", without("access-control-allow-origin"), status=404),
        on("shard", with_status(403), status=404),
        on("shard", without("access-control-expose-headers"), status=404),
    ],
    "unknown key: 404 with CORS": [
        on("other", without("access-control-allow-origin"), status=404),
        on("other", with_status(403), status=404),
    ],
    "made-up token: 410 with CORS": [
        on("", without("access-control-allow-origin"), status=410),
        on("chunk", with_status(404), status=410),
        on("page", with_status(403), status=410),
    ],
    "made-up token: kept by no cache": [on("shard", with_header("cache-control", "max-age=60"), status=410)],
    "preflight: OPTIONS allows what readers send": [
        on("", with_status(405), method="OPTIONS"),
        on("", without("access-control-allow-origin"), method="OPTIONS"),
        on("", with_header("access-control-allow-headers", "Accept"), method="OPTIONS"),
        on("", with_header("access-control-allow-methods", "POST"), method="OPTIONS"),
    ],
    "other methods: 405 with CORS": [
        on("", with_status(200), method="DELETE"),
        on("", without("access-control-allow-origin"), method="DELETE"),
    ],
}


@pytest.mark.parametrize(
    ("name", "number"), [(name, number) for name, of in FAULTS.items() for number in range(len(of))]
)
def test_each_fault_is_found_by_its_check(smoke: Any, site: Site, name: str, number: int) -> None:
    with served(Broken(site.app, FAULTS[name][number])) as address:
        found = faults_of(smoke, f"{address}/zarr/{site.make_link()}/")
    assert found[name] is not None
    assert "expected" in found[name]


def test_what_is_printed_and_how_it_ends(site: Site) -> None:
    with served(Broken(site.app, FAULTS["preflight: OPTIONS allows what readers send"][0])) as address:
        token = site.make_link()
        run = smoke_process(f"{address}/zarr/{token}")
    assert run.returncode == 1
    assert "FAILED  preflight: OPTIONS allows what readers send: status: expected 200 or 204, got 405" in run.stdout
    assert "ok      page: HTML by Accept" in run.stdout
    assert run.stdout.splitlines()[-1] == f"{len(FAULTS) - 1} ok, 1 failed"
    assert token not in run.stdout + run.stderr, "the address is a secret"


def test_an_address_below_the_link_will_do(site: Site) -> None:
    with served(site.app) as address:
        run = smoke_process(f"{address}/zarr/{site.make_link()}/v3/em.zarr")
    assert run.returncode == 0, run.stdout


@pytest.mark.parametrize("address", ["", "example.org", "https://example.org/api/", "ftp://example.org/zarr/x/"])
def test_what_is_no_address_is_said_so(address: str) -> None:
    run = smoke_process(address)
    assert (run.returncode, run.stdout) == (2, "")
    assert "give the address of a link" in run.stderr


def test_nobody_there(site: Site) -> None:
    with served(site.app) as address:
        pass
    run = smoke_process(f"{address}/zarr/{site.make_link()}/")
    assert (run.returncode, run.stdout) == (2, "")
    assert "nothing answers there" in run.stderr


def test_a_dead_link_is_nothing_to_check(site: Site) -> None:
    with served(site.app) as address:
        run = smoke_process(f"{address}/zarr/unknown/")
    assert (run.returncode, run.stdout) == (2, "")
    assert "410" in run.stderr


def smoke_process(address: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "infra" / "smoke.py"), address]
    return subprocess.run(command, capture_output=True, text=True, check=False)
