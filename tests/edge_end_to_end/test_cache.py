"""One warm cache for all links to a view, and for nobody else: counted at the server, read by ordinary clients."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, product
from pathlib import Path

import numpy as np
import pytest
import tensorstore
import zarr

from builders.local_cdn import LocalEdge, ask
from builders.local_jobs import until
from builders.wkw_files import LayerFiles, dataset, noise, ramp, write_tree
from edge_end_to_end.conftest import EM, ONE
from end_to_end.clients import CLIENTS
from zarrlink.geometry import BoundingBox
from zarrlink.http import routes
from zarrlink.links.edge_log import FIELDS, read_openings
from zarrlink.links.service import LinkRequest


def without_the_last_file(volume: np.ndarray) -> np.ndarray:
    volume = volume.copy()
    volume[32:, 32:, 32:] = 0
    return volume


def test_two_links_to_one_view_share_one_entry(edge: LocalEdge) -> None:
    first, second = (edge.layer(edge.link("mouse"), "em")["v2"] for _ in range(2))
    edge.asked.clear()
    cold, warm = ask(f"{first}/0/1/2/3"), ask(f"{second}/0/1/2/3")
    assert (cold.status, cold.headers["x-cache"], warm.headers["x-cache"]) == (200, "MISS", "HIT")
    assert warm.body == cold.body
    assert len(edge.reads()) == 1
    # A browser keeps it for itself, and not for long.
    assert warm.headers["cache-control"] == cold.headers["cache-control"] == "private, max-age=300"


@pytest.mark.parametrize("client", CLIENTS)
def test_every_client_reads_to_the_voxel_cold_and_warm(edge: LocalEdge, client: str) -> None:
    layer = edge.layer(edge.link("mouse"), "em")
    expected = without_the_last_file(EM)
    np.testing.assert_array_equal(CLIENTS[client](layer, 0), expected)
    edge.asked.clear()
    np.testing.assert_array_equal(CLIENTS[client](layer, 0), expected)
    # Some look for documents that are not there, and that these are not is no answer to be kept.
    assert [path for path in edge.reads() if re.search(r"/0/(c/)?[0-9]+/[0-9]+/[0-9]+$", path)] == []


def test_100_cold_requests_of_two_links_are_one_of_the_server(edge: LocalEdge) -> None:
    layers = [edge.layer(edge.link("mouse"), "em")["v3"] for _ in range(2)]
    # A view of their own, in which nothing is cached.
    wish = LinkRequest(layers=("em",), box=BoundingBox((0, 0, 0), (40, 40, 40)), expires_ms=None)
    layers = [edge.layer(edge.link("mouse", wish), "em")["v3"] for _ in range(2)]
    edge.asked.clear()
    together = threading.Barrier(100)

    def read(layer: str) -> bytes:
        together.wait()
        reply = ask(f"{layer}/0/c/0/0/0")
        assert reply.status == 200
        return reply.body

    with ThreadPoolExecutor(100) as readers:
        bodies = set(readers.map(read, (layer for layer, _ in zip(cycle(layers), range(100), strict=False))))
    assert len(bodies) == 1
    assert len(edge.reads("/v3/em.zarr/0/c/0/0/0")) == 1


def test_a_full_link_and_a_limited_one_read_interleaved_and_no_voxel_crosses(edge: LocalEdge) -> None:
    """The box begins and ends inside of blocks whose other voxels the cache holds for the full link."""
    box = BoundingBox((13, 10, 9), (20, 21, 22))
    full = edge.link("mouse")
    limited = edge.link("mouse", LinkRequest(layers=("em",), box=box, expires_ms=None))
    inside = np.zeros((23, 23, 25), np.uint8)
    inside[1:, 2:, 5:] = EM[9:31, 10:31, 13:33]
    expected = {full.id: without_the_last_file(EM), limited.id: inside}
    arrays = []
    for link, dialect in product((full, limited), ("v2", "v3")):
        address = edge.layer(link, "em")[dialect]
        driver = {"v2": "zarr", "v3": "zarr3"}[dialect]
        opened = tensorstore.open({"driver": driver, "kvstore": f"{address}/0/"}).result()
        arrays.append((expected[link.id], zarr.open_group(address, mode="r")["0"], opened))
    random = np.random.default_rng(7)
    for _ in range(12):
        for volume, by_zarr, by_tensorstore in arrays:
            assert by_zarr.shape == by_tensorstore.shape == volume.shape
            low = [int(random.integers(0, length - 8)) for length in volume.shape]
            cut = tuple(slice(start, start + int(random.integers(1, 24))) for start in low)
            np.testing.assert_array_equal(by_zarr[cut], volume[cut])
            cut = tuple(slice(part.start, min(part.stop, end)) for part, end in zip(cut, volume.shape, strict=True))
            np.testing.assert_array_equal(by_tensorstore[cut].read().result(), volume[cut])
    assert {path.split("/")[2] for path in edge.reads() if path.startswith("/c/")} >= {full.view.id, limited.view.id}


def test_webknossos_dialect_by_link_shares_it_too(edge: LocalEdge) -> None:
    first, second = (edge.machine.keys.token(edge.link("mouse").id) for _ in range(2))
    edge.asked.clear()
    cold = ask(f"{edge.address}/data/v9/annotations/zarr/{first}/em/1/0.0.0.0")
    warm = ask(f"{edge.address}/data/v14/annotations/zarr/{second}/em/1/0.0.0.0")
    assert (cold.status, cold.headers["x-cache"], warm.headers["x-cache"]) == (200, "MISS", "HIT")
    assert len(edge.reads("/w2/em/1/0.0.0.0")) == len(edge.reads()) == 1


def test_parts_heads_and_conditions_are_answered_from_the_whole(edge: LocalEdge) -> None:
    chunk = f"{edge.layer(edge.link('mouse'), 'em')['v3']}/0/c/0/0/0"
    edge.asked.clear()
    # The first is a part already.
    part = ask(chunk, headers={"Range": "bytes=3-9"})
    whole = ask(chunk)
    assert (part.status, part.body) == (206, whole.body[3:10])
    assert part.headers["content-range"] == f"bytes 3-9/{len(whole.body)}"
    assert ask(chunk, headers={"Range": "bytes=-5"}).body == whole.body[-5:]
    assert ask(chunk, headers={"Range": f"bytes={len(whole.body) - 4}-"}).body == whole.body[-4:]
    head = ask(chunk, "HEAD")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(len(whole.body)))
    etag = whole.headers["etag"]
    same = ask(chunk, headers={"If-None-Match": etag})
    assert (same.status, same.body, same.headers["cache-control"]) == (304, b"", "private, max-age=300")
    assert ask(chunk, headers={"If-None-Match": '"another"'}).status == 200
    assert ask(chunk, headers={"Range": "bytes=0-3", "If-Range": etag}).status == 206
    assert ask(chunk, headers={"Range": "bytes=0-3", "If-Range": '"another"'}).status == 200
    behind = ask(chunk, headers={"Range": f"bytes={len(whole.body)}-"})
    assert (behind.status, behind.headers["content-range"]) == (416, f"bytes */{len(whole.body)}")
    assert {one.headers["access-control-allow-origin"] for one in (part, whole, head, same, behind)} == {"*"}
    assert len(edge.reads()) <= 1


def test_absent_chunks_are_cached_like_present_ones_and_errors_are_not(edge: LocalEdge) -> None:
    layer = edge.layer(edge.link("mouse"), "em")["v2"]
    edge.asked.clear()
    for key in ("0/7/7/7", "0/9/0/0"):
        replies = [ask(f"{layer}/{key}") for _ in range(2)]
        assert [reply.status for reply in replies] == [404, 404]
        assert replies[1].is_hit
        # But not for a year: the file may be on its way.
        assert replies[1].headers["cache-control"] == "public, max-age=60, s-maxage=60"
        assert len(edge.reads(f"/{key}")) <= 1
    for key, status in (("0/01/0/0", 400), ("7/0/0/0", 410)):
        replies = [ask(f"{layer}/{key}") for _ in range(2)]
        assert [reply.status for reply in replies] == [status, status]
        assert {reply.headers["cache-control"] for reply in replies} == {"no-store"}
        assert len(edge.reads(f"/{key}")) == 2


def test_a_source_that_fails_is_asked_again(new_edge: Callable[..., LocalEdge], tmp_path: Path) -> None:
    file = tmp_path / "data/mouse/em/1/z0/y0/x0.wkw"
    write_tree(dataset(LayerFiles("em", {ONE: ramp((16, 16, 16))})), tmp_path / "data/mouse")
    edge = new_edge(tmp_path / "state.sqlite", tmp_path / "data")
    layer = edge.layer(edge.link("mouse"), "em")["v2"]
    aside = file.rename(tmp_path / "aside")
    file.mkdir()
    failed = ask(f"{layer}/0/0/0/0")
    assert (failed.status, failed.headers["access-control-allow-origin"]) == (503, "*")
    assert failed.headers["cache-control"] == "no-store"
    file.rmdir()
    aside.rename(file)
    assert ask(f"{layer}/0/0/0/0").status == 200


def test_metadata_is_sent_stale_while_it_is_fetched_anew(
    new_edge: Callable[..., LocalEdge], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "METADATA_MAX_AGE_S", 1)
    write_tree(dataset(LayerFiles("em", {ONE: noise((16, 16, 16))})), tmp_path / "data/mouse")
    edge = new_edge(tmp_path / "state.sqlite", tmp_path / "data")
    document = f"{edge.layer(edge.link('mouse'), 'em')['v3']}/zarr.json"
    assert ask(document).headers["x-cache"] == "MISS"
    stale = until(lambda: (reply := ask(document)).headers["x-cache"] == "STALE" and reply)
    assert (stale.status, stale.headers["cache-control"]) == (200, "private, max-age=1")
    until(lambda: ask(document).is_hit)
    assert len(edge.reads("/zarr.json")) >= 2


def test_the_page_and_listings_are_never_cached(edge: LocalEdge) -> None:
    page = edge.page(edge.link("mouse"))
    edge.asked.clear()
    for address in (page, f"{page}v3/", f"{page}v3/em.zarr/", f"{page}v3/em.zarr/0"):
        for _ in range(2):
            reply = ask(address)
            assert (reply.status, reply.headers["cache-control"]) == (200, "no-store")
            assert "x-cache" not in reply.headers
    assert len(edge.reads()) == 8
    facts = ask(page, headers={"Accept": "application/json"})
    assert (facts.status, facts.headers["cache-control"]) == (200, "no-store")
    bare = ask(page.rstrip("/"))
    assert (bare.status, bare.headers["location"]) == (308, f"./{page.rstrip('/').rpartition('/')[2]}/")


def test_what_the_log_holds_counts_openings_and_nothing_else(edge: LocalEdge) -> None:
    link = edge.link("mouse")
    layer = edge.layer(link, "em")["v3"]
    for key in ("zarr.json", "0/zarr.json", "0/c/0/0/0", "0/c/0/0/0"):
        assert ask(f"{layer}/{key}").status == 200
    ask(f"{layer}/zarr.json", "HEAD")
    until(lambda: edge.cdn.log.read_text().count(link.id) == 2)
    text = edge.cdn.log.read_text()
    assert read_openings(["#Fields: " + " ".join(FIELDS), *text.splitlines()])[link.id].openings == 2
    assert "/" not in text
    assert edge.machine.keys.token(link.id) not in text
