"""The WEBKNOSSOS dialect with a link's token in place of an id: the link's layers, box and mags, and nothing else."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest

from builders.annotation_zips import voxels
from builders.door import Door, header, open_door
from builders.painted import PaintedLayer, annotation
from builders.wkw_files import LayerFiles, Objects, dataset, noise, pyramid, ramp
from builders.zarr_readers import voxels_by_tensorstore, voxels_by_zarr
from zarrlink.errors import SourceUnavailable
from zarrlink.formats.zarr_keys import Dialect
from zarrlink.geometry import BoundingBox, Mag
from zarrlink.links.service import LinkRequest

ONE, TWO = Mag(1, 1, 1), Mag(2, 2, 1)
SEGMENTS = noise((70, 40, 36), "uint32")
COLOURS = ramp((70, 40, 36), "uint8", channels=3)
BOX = BoundingBox((10, 5, 3), (50, 30, 20))
WORDS: dict[str, Dialect] = {
    "/data/v10/annotations/zarr": "v2",
    "/data/v14/annotations/zarr": "v2",
    "/data/v15/annotations/zarr": "v3",
    "/data/annotations/zarr": "v3",
    "/data/v14/annotations/zarr3_experimental": "v3",
    "/data/annotations/zarr3_experimental": "v3",
}


def objects() -> Objects:
    layers = (
        LayerFiles("seg", pyramid(SEGMENTS, (ONE, TWO)), category="segmentation"),
        LayerFiles("rgb", {ONE: COLOURS}),
        LayerFiles("two", {ONE: ramp((9, 9, 9), channels=2)}),
        LayerFiles("Zellen 100%", {ONE: ramp((9, 9, 9))}),
        LayerFiles("secret", {ONE: ramp((9, 9, 9))}),
    )
    return dataset(*layers)


OPEN = ("Zellen 100%", "rgb", "seg", "two")


@pytest.fixture
def door() -> Door:
    return open_door(objects(), wish=LinkRequest(layers=OPEN))


def address(door: Door, word: str = "/data/annotations/zarr") -> str:
    return f"{word}/{door.base.removeprefix('/zarr/')}"


def tree(door: Door, layer: str, mag: str, shape: tuple[int, ...], dialect: Dialect, word: str) -> Objects:
    """A layer as its keys, with all chunks of one mag. `shape`: (x, y, z)."""
    documents = (".zgroup", ".zattrs", f"{mag}/.zarray") if dialect == "v2" else ("zarr.json", f"{mag}/zarr.json")
    chunks = itertools.product(*(range(-(-length // 32)) for length in shape))
    found = {}
    for key in (*documents, *(f"{mag}/0.{x}.{y}.{z}" for x, y, z in chunks)):
        reply = door.send("GET", f"{address(door, word)}/{layer}/{key}")
        assert reply.status in (200, 404), (key, reply)
        if reply.status == 200:
            found[key] = reply.body
    return found


@pytest.mark.parametrize("word", WORDS)
def test_every_voxel_of_a_layer(door: Door, word: str) -> None:
    dialect = WORDS[word]
    for layer, expected in (("seg", SEGMENTS[None]), ("rgb", np.moveaxis(COLOURS, 3, 0))):
        found = tree(door, layer, "1", (70, 40, 36), dialect, word)
        for read in (voxels_by_zarr, voxels_by_tensorstore):
            np.testing.assert_array_equal(read(found, dialect, "1").transpose(0, 3, 2, 1), expected)


@pytest.mark.parametrize("word", ["/data/v14/annotations/zarr", "/data/annotations/zarr"])
def test_nothing_outside_of_the_box_and_no_finer_mag(word: str) -> None:
    dialect = WORDS[word]
    door = open_door(objects(), wish=LinkRequest(layers=("seg",), box=BOX, finest=TWO))
    found = tree(door, "seg", "2-2-1", (30, 18, 23), dialect, word)
    got = voxels_by_zarr(found, dialect, "2-2-1")[0].transpose(2, 1, 0)
    expected = np.zeros((23, 18, 30), "uint32")
    expected[3:23, 2:18, 5:30] = pyramid(SEGMENTS, (ONE, TWO))[TWO][3:23, 2:18, 5:30]
    np.testing.assert_array_equal(got, expected)
    said = json.loads(door.send("GET", f"{address(door, word)}/datasource-properties.json").body)
    (layer,) = said["dataLayers"]
    assert [mag["mag"] for mag in layer["mags"]] == [[2, 2, 1]]
    assert layer["boundingBox"] == {"topLeft": [10, 5, 3], "width": 50, "height": 30, "depth": 20}
    for key in ("1/zarr.json", "1/.zarray", "1/0.0.0.0", "1", "1/", "4-4-1/0.0.0.0"):
        assert door.send("GET", f"{address(door, word)}/seg/{key}").status == 410, key


STATUSES = {
    "": 200,
    "/": 200,
    "/datasource-properties.json": 200,
    "/zarr.json": 404,
    "/.zgroup": 404,
    "/.zattrs": 404,
    "/seg": 200,
    "/seg/": 200,
    "/seg/1": 200,
    "/seg/2-2-1/": 200,
    "/seg/zarr.json": 200,
    "/seg/.zgroup": 404,
    "/seg/attributes.json": 404,
    "/seg/1/zarr.json": 200,
    "/seg/1/.zarray": 404,
    "/seg/1/.zattrs": 404,
    "/seg/labels/zarr.json": 404,
    "/seg/1/0.0.0.0": 200,
    "/seg/1/0.2.1.1": 200,
    # Outside of the shape.
    "/seg/1/0.3.0.0": 404,
    "/seg/1/1.0.0.0": 404,
    "/seg/1/0.99999999.0.0": 404,
    # Not canonical: as absent ones they would be fill value.
    "/seg/1/0.00.0.0": 400,
    "/seg/1/0.0.0": 400,
    "/seg/1/0.0.0.0.0": 400,
    "/seg/1/0/0/0/0": 400,
    "/seg/1/0.-1.0.0": 400,
    "/seg/1/c/0/0/0/0": 404,
    "/seg/1/0.0.0.0/": 400,
    "/seg//0.0.0.0": 400,
    "/seg/../seg/1/0.0.0.0": 400,
    "/seg/1/%30.0.0.0": 400,
    "/seg/0-0-0/0.0.0.0": 400,
    "/seg/1-1-1/0.0.0.0": 400,
    "/seg/01/0.0.0.0": 400,
    "/Zellen%20100%25/1/0.0.0.0": 200,
    "/Zellen 100%/1/0.0.0.0": 400,
    # What the link does not open.
    "/secret": 410,
    "/secret/zarr.json": 410,
    "/secret/1/0.0.0.0": 410,
    "/none/1/0.0.0.0": 410,
    "/seg/4-4-1/0.0.0.0": 410,
    "/seg/4-4-1": 410,
    "/seg/4-4-1/zarr.json": 410,
    # There are no words for two channels.
    "/two/zarr.json": 422,
    "/two/1/0.0.0.0": 422,
}


@pytest.mark.parametrize("below", STATUSES)
def test_status(door: Door, below: str) -> None:
    get, head = door.send("GET", address(door) + below), door.send("HEAD", address(door) + below)
    assert get.status == head.status == STATUSES[below], get
    assert header(get, "access-control-allow-origin") == "*"
    assert header(get, "content-length") == header(head, "content-length") == str(len(get.body))
    assert head.body == b""
    if get.status in (400, 410, 422):
        assert header(get, "cache-control") == "no-store"
    if get.status >= 400:
        assert address(door).rpartition("/")[2] not in get.body.decode(), "the token is a secret"


def test_chunks_are_cached_like_others_and_have_ranges(door: Door) -> None:
    chunk, absent = f"{address(door)}/seg/1/0.0.0.0", f"{address(door)}/seg/1/0.3.0.0"
    whole = door.send("GET", chunk)
    assert len(whole.body) == 32**3 * 4
    assert header(whole, "cache-control") == header(door.send("GET", absent), "cache-control") == "private, max-age=300"
    part = door.send("GET", chunk, range="bytes=100-199")
    assert (part.status, part.body) == (206, whole.body[100:200])
    assert header(part, "content-range") == f"bytes 100-199/{len(whole.body)}"
    assert door.send("GET", chunk, range="bytes=9999999-").status == 416
    etag = header(whole, "etag") or ""
    assert door.send("GET", chunk, if_none_match=etag).status == 304
    metadata = door.send("GET", f"{address(door)}/seg/1/zarr.json")
    assert header(metadata, "cache-control") == "private, max-age=60"


def test_the_description_is_of_what_the_link_opens(door: Door) -> None:
    reply = door.send("GET", f"{address(door)}/datasource-properties.json")
    said = json.loads(reply.body)
    assert {layer["name"] for layer in said["dataLayers"]} == {"seg", "rgb", "Zellen 100%"}
    assert [layer["name"] for layer in said["unavailable"]] == ["two"]
    assert "secret" not in reply.body.decode()
    assert header(reply, "cache-control") == "no-store"
    for layer in said["dataLayers"]:
        for mag in layer["mags"]:
            path = mag["path"].removeprefix("./")
            assert door.send("GET", f"{address(door)}/{path}/zarr.json").status == 200
    of_v2 = address(door, "/data/v14/annotations/zarr")
    said = json.loads(door.send("GET", f"{of_v2}/datasource-properties.json").body)
    assert {layer["dataFormat"] for layer in said["dataLayers"]} == {"zarr"}
    assert json.loads(door.send("GET", f"{of_v2}/.zgroup").body) == {"zarr_format": 2}


def test_folders_lead_to_what_is_there(door: Door) -> None:
    import re
    from urllib.parse import urljoin

    for word, below in itertools.product(WORDS, ("", "/", "/seg", "/seg/", "/seg/1", "/rgb/1/")):
        path = address(door, word) + below
        links = re.findall('href="([^"]*)"', door.send("GET", path).body.decode())
        assert links
        for link in links:
            target = urljoin(f"http://host{path}", link).removeprefix("http://host")
            assert door.send("GET", target).status == 200, (path, link)


@pytest.mark.parametrize("below", ["", "/", "/seg/1/0.0.0.0", "/seg/zarr.json", "/datasource-properties.json"])
def test_a_dead_link_is_410(door: Door, below: str) -> None:
    for token in ("x", "a" * 33, "A" * 25, "0" * 23):
        assert door.send("GET", f"/data/annotations/zarr/{token}{below}").status == 410
    door.links.change(door.link.id, None, expires_ms=door.clock.now_ms - 1)
    assert door.send("GET", address(door) + below).status == 410
    door.links.change(door.link.id, None, expires_ms=None)
    assert door.send("GET", address(door) + below).status == 200
    door.links.revoke(door.link.id, None, door.clock.now_ms)
    assert door.send("GET", address(door) + below).status == 410


def test_of_an_annotation_what_is_painted_over_the_dataset() -> None:
    block = np.frombuffer(voxels(1), "<u4").reshape(32, 32, 32)
    painted = annotation(PaintedLayer("cells", {ONE: {(1, 0, 0): block}}, "seg", block_side=32))
    door = open_door(objects(), annotation=painted, wish=LinkRequest(layers=("cells",)))
    expected = SEGMENTS.copy()
    expected[:32, :32, 32:64] = block
    found = tree(door, "cells", "1", (70, 40, 36), "v3", "/data/annotations/zarr")
    np.testing.assert_array_equal(voxels_by_zarr(found, "v3", "1")[0].transpose(2, 1, 0), expected)
    assert door.send("GET", f"{address(door)}/seg/1/0.0.0.0").status == 410


def test_a_replaced_layer_and_a_source_that_fails(door: Door) -> None:
    chunk = f"{address(door)}/seg/1/0.0.0.0"
    door.source.failures = {"seg/1/z0/y0/x0.wkw": SourceUnavailable("denied")}
    assert door.send("GET", chunk).status == 503
    door.source.failures = {}
    other: Any = door.source.inner
    kept = dict(other.objects)
    other.objects.clear()
    other.objects.update(dataset(LayerFiles("seg", {ONE: SEGMENTS[:20]}, category="segmentation")))
    door.library.doubt(door.link.view, "seg")
    reply = door.send("GET", chunk)
    assert reply.status == 410
    assert "replaced" in json.loads(reply.body)["detail"]
    other.objects.update(kept)
    door.library.doubt(door.link.view, "seg")
    assert door.send("GET", chunk).status == 200
