"""Layers whose segments are shown by a mapping: every voxel against a look-up in the table; never unmapped, never black."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest

from builders.agglomerate_files import below, hdf5_agglomerates, table, zarr3_agglomerates
from builders.door import Door, door_to, open_door
from builders.foreign_arrays import write_n5, write_zarr3
from builders.foreign_datasets import ONE, assert_served, describe, entry
from builders.painted import REVERTED, PaintedLayer, annotation, painted_over
from builders.wkw_files import LayerFiles, Objects, Volume, dataset, write_tree
from zarrlink.errors import CorruptFile, InvalidRequest, UnsupportedLayer
from zarrlink.geometry import BoundingBox, Mag
from zarrlink.links.service import LinkRequest
from zarrlink.storage.files import LocalFiles
from zarrlink.wkw_chunks import WkwChunks

TWO = Mag(2, 2, 1)
SIZE = (40, 24, 16)
SEGMENTS = 5000
ENTRIES = table(SEGMENTS, 300)
BY = {"seg": "by"}


def segments(mag: Mag = ONE, dtype: str = "uint32") -> Volume:
    shape = [-(-length // side) for length, side in zip(SIZE[::-1], mag.xyz[::-1], strict=True)]
    return np.random.default_rng(3).integers(0, SEGMENTS + 1, shape).astype(dtype)


def mapped(volume: Volume) -> Volume:
    return ENTRIES[volume].astype(volume.dtype)


def mapping_files(form: str, entries: np.ndarray = ENTRIES) -> Objects:
    if form == "hdf5":
        return {"seg/agglomerates/by.hdf5": hdf5_agglomerates(entries, chunks=(512,))}
    return below("seg/agglomerates/by", zarr3_agglomerates(entries, chunk=256, shard=1024))


def attachments(form: str) -> dict[str, object]:
    if form == "hdf5":
        return {}
    path = {"name": "by", "path": "./seg/agglomerates/by", "dataFormat": "zarr3"}
    return {"attachments": {"agglomerates": [path]}}


def wkw_objects(form: str, dtype: str = "uint32", **options: object) -> Objects:
    volumes = {mag: segments(mag, dtype) for mag in (ONE, TWO)}
    layer = LayerFiles("seg", volumes, category="segmentation", described=attachments(form), **options)
    return dataset(layer) | mapping_files(form)


def door_with(form: str, dtype: str = "uint32", **wish: object) -> Door:
    return open_door(wkw_objects(form, dtype), wish=LinkRequest(mappings=BY, **wish))


@pytest.mark.parametrize("dtype", ["uint16", "uint32", "uint64", "int32"])
@pytest.mark.parametrize("form", ["hdf5", "zarr3"])
def test_a_wkw_segmentation_at_every_mag(form: str, dtype: str) -> None:
    door = door_with(form, dtype)
    assert door.link.view.mapping("seg") == "by"
    stored = {mag: segments(mag, dtype) for mag in (ONE, TWO)}
    assert (mapped(stored[ONE]) != stored[ONE]).mean() > 0.9
    assert_served(door, "seg", {mag: mapped(volume) for mag, volume in stored.items()})


@pytest.mark.parametrize("form", ["hdf5", "zarr3"])
@pytest.mark.parametrize("stored_as", ["zarr3", "n5"])
def test_a_segmentation_in_another_format_at_every_mag(tmp_path: Path, form: str, stored_as: str) -> None:
    """Which would be passed through without a mapping."""
    for mag in (ONE, TWO):
        if stored_as == "zarr3":
            write_zarr3(tmp_path / "seg" / mag.literal, segments(mag), (8, 8, 8))
        else:
            write_n5(tmp_path / "seg" / mag.literal, np.ascontiguousarray(segments(mag).T), (8, 8, 8))
    mags = {mag: f"seg/{mag.literal}" for mag in (ONE, TWO)}
    order = "zyx" if stored_as == "zarr3" else "xyz"
    more = {"category": "segmentation", **attachments(form)}
    describe(tmp_path, entry("seg", stored_as, "uint32", SIZE, order=order, mags=mags, **more))
    write_tree(mapping_files(form), tmp_path)
    door = door_to(LocalFiles(tmp_path), wish=LinkRequest(mappings=BY))
    assert_served(door, "seg", {mag: mapped(segments(mag)) for mag in (ONE, TWO)})
    door.make_link(LinkRequest())
    assert_served(door, "seg", {mag: segments(mag) for mag in (ONE, TWO)})


@pytest.mark.parametrize("form", ["hdf5", "zarr3"])
def test_a_part_of_it(form: str) -> None:
    for corner, size in (((3, 5, 1), (17, 9, 11)), ((8, 8, 8), (16, 8, 8))):
        door = door_with(form, box=BoundingBox(corner, size))
        assert_served(door, "seg", {mag: mapped(segments(mag)) for mag in (ONE, TWO)})


def test_links_with_and_without_the_mapping_stand_side_by_side() -> None:
    door = door_with("hdf5")
    with_mapping = door.base
    door.make_link()
    assert_served(door, "seg", {mag: segments(mag) for mag in (ONE, TWO)})
    plain = door.get("v2/seg.zarr/0/0/0/0").body
    assert door.send("GET", f"{with_mapping}/v2/seg.zarr/0/0/0/0").body != plain


def refused(objects: Objects, error: type[Exception], reason: str, **wish: object) -> None:
    with pytest.raises(error, match=reason):
        open_door(objects, wish=LinkRequest(**{"mappings": BY, **wish}))


@pytest.mark.parametrize("form", ["hdf5", "zarr3"])
def test_a_mapping_that_is_missing_or_unreadable_is_refused_by_name(form: str) -> None:
    objects = wkw_objects(form)
    whole = {key: data for key, data in objects.items() if "agglomerates" in key}
    rest = {key: data for key, data in objects.items() if key not in whole}
    refused(rest, UnsupportedLayer, "layer 'seg' has no mapping 'by', or its file is missing")
    refused(objects, UnsupportedLayer, "layer 'seg' has no mapping 'other'", mappings={"seg": "other"})
    refused(objects, InvalidRequest, "a mapping is asked for layer 'em'", mappings={"em": "by"})
    for key in whole:
        if key.endswith("/zarr.json") and "segment_to" not in key:
            continue
        if key.endswith((".hdf5", "zarr.json")):
            for damage in (b"", b"\x00" * 99, whole[key][: len(whole[key]) // 3]):
                refused(rest | whole | {key: damage}, CorruptFile, "mapping 'by' of layer 'seg'")


@pytest.mark.parametrize("form", ["hdf5", "zarr3"])
@pytest.mark.parametrize("largest", [SEGMENTS, SEGMENTS + 1, None])
def test_a_mapping_shorter_than_the_layer_says_is_refused(form: str, largest: int | None) -> None:
    said = {**attachments(form), "largestSegmentId": largest}
    layer = LayerFiles("seg", {ONE: segments()}, category="segmentation", described=said)
    objects = dataset(layer) | mapping_files(form)
    wish = LinkRequest(mappings=BY)
    if largest is None or largest <= SEGMENTS:
        assert_served(open_door(objects, wish=wish), "seg", {ONE: mapped(segments())})
        return
    reason = f"layer 'seg': its mapping 'by' ends at segment {SEGMENTS}, but the layer's largestSegmentId is {largest}"
    with pytest.raises(UnsupportedLayer, match=reason):
        open_door(objects, wish=wish)


def test_a_mapping_of_colours_is_refused_by_name() -> None:
    objects = dataset(LayerFiles("seg", {ONE: segments(dtype="uint8")}, category="color")) | mapping_files("hdf5")
    refused(objects, UnsupportedLayer, "layer 'seg': a mapping is for a segmentation layer")


CHUNK = "v2/seg.zarr/0/0/0/0"


def detail(door: Door, path: str = CHUNK) -> tuple[int, str]:
    answer = door.get(path)
    return answer.status, json.loads(answer.body)["detail"]


@pytest.mark.parametrize("form", ["hdf5", "zarr3"])
def test_a_segment_outside_of_the_table_is_an_error_of_its_chunk_alone(form: str) -> None:
    volume = segments()
    volume[0, 0, 0] = SEGMENTS + 1
    objects = dataset(LayerFiles("seg", {ONE: volume}, category="segmentation", described=attachments(form)))
    door = open_door(objects | mapping_files(form), wish=LinkRequest(mappings=BY))
    status, words = detail(door)
    assert status == 502
    assert f"mapping 'by' of layer 'seg': segment {SEGMENTS + 1} is not in the mapping" in words
    assert door.get("v2/seg.zarr/0/1/1/1").status == 200


@pytest.mark.parametrize("form", ["hdf5", "zarr3"])
@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize(("dtype", "wide"), [("uint16", 2**16), ("int16", 2**15), ("uint32", 2**32)])
def test_ids_too_wide_for_the_layer_make_no_link_where_a_page_tells(
    form: str, dtype: str, wide: int, known: bool
) -> None:
    """A layer of 16 bits has as many segments, however long the table is; of others `largestSegmentId` may say it."""
    entries = table(100_000, 300)
    entries[SEGMENTS] = wide
    largest = {"largestSegmentId": SEGMENTS} if known else {}
    layer = LayerFiles(
        "seg", {ONE: segments(dtype=dtype)}, category="segmentation", described={**attachments(form), **largest}
    )
    objects = dataset(layer) | mapping_files(form, entries)
    if known or dtype != "uint32":
        reason = f"layer 'seg': mapping 'by' has agglomerate ids that do not fit the layer's {dtype}"
        refused(objects, UnsupportedLayer, reason, mappings=BY)
    else:
        assert open_door(objects, wish=LinkRequest(mappings=BY)).link
    entries[SEGMENTS] = wide - 1
    assert open_door(objects | mapping_files(form, entries), wish=LinkRequest(mappings=BY)).get(CHUNK).status == 200


@pytest.mark.parametrize("form", ["hdf5", "zarr3"])
def test_a_table_that_is_too_long_to_be_looked_through_is_an_error_of_its_chunks(form: str) -> None:
    entries = table(100_000, 300)
    entries[1:] += 2**32
    objects = dataset(LayerFiles("seg", {ONE: segments()}, category="segmentation", described=attachments(form)))
    door = open_door(objects | mapping_files(form, entries), wish=LinkRequest(mappings=BY))
    status, words = detail(door)
    assert status == 502
    assert "of layer 'seg', mapping 'by' has agglomerate ids that do not fit the layer's uint32" in words


def test_negative_segments_are_an_error() -> None:
    volume = segments(dtype="int32")
    volume[0, 0, 0] = -1
    objects = dataset(LayerFiles("seg", {ONE: volume}, category="segmentation")) | mapping_files("hdf5")
    assert detail(open_door(objects, wish=LinkRequest(mappings=BY)))[0] == 502


@pytest.mark.parametrize("form", ["hdf5", "zarr3"])
def test_a_replaced_mapping_gives_new_answers(form: str) -> None:
    door = door_with(form)
    before = door.get(CHUNK)
    other = table(SEGMENTS, 300, seed=9)
    objects = door.source.inner.objects
    objects.update(mapping_files(form, other))
    # Whether it looks at the layer again by itself, or finds out in the midst of a table.
    door.library.doubt(door.link.view, "seg")
    assert door.get(CHUNK).body != before.body
    assert_served(door, "seg", {mag: other[segments(mag)].astype("uint32") for mag in (ONE, TWO)})


@pytest.mark.parametrize("form", ["hdf5", "zarr3"])
def test_a_mapping_that_goes_away_ends_the_link(form: str) -> None:
    door = door_with(form)
    assert door.get(CHUNK).status == 200
    objects = door.source.inner.objects
    for key in [key for key in objects if "agglomerates" in key]:
        del objects[key]
    door.library.doubt(door.link.view, "seg")
    assert door.get(CHUNK).status == 410
    assert door.head(CHUNK).status == 410


@pytest.mark.parametrize("form", ["hdf5", "zarr3"])
def test_a_store_that_fails_under_the_mapping_is_no_unmapped_chunk(form: str) -> None:
    from zarrlink.errors import SourceUnavailable

    # Numbers of 64 bits: nothing of the table was looked through when the link was made.
    door = door_with(form, "uint64")
    ending = ".hdf5" if form == "hdf5" else "/c/0"
    door.source.failures[ending] = SourceUnavailable("timeout")
    assert door.get(CHUNK).status == 503
    door.source.failures.clear()
    assert door.get(CHUNK).status == 200


BLOCKS = {
    (0, 0, 0): np.full((8, 8, 8), 4001, "uint32"),
    (1, 1, 1): np.random.default_rng(5).integers(0, 99999, (8, 8, 8)).astype("uint32"),
    (2, 0, 0): np.zeros((8, 8, 8), "uint32"),
    (3, 0, 0): REVERTED,
}


@pytest.mark.parametrize("how", ["by the annotation", "by the link"])
@pytest.mark.parametrize("form", ["hdf5", "zarr3"])
def test_in_an_annotation_the_fallback_is_mapped_and_what_was_painted_is_not(form: str, how: str) -> None:
    named = how == "by the annotation"
    painted = PaintedLayer("cells", {ONE: BLOCKS}, "seg", mapping="by" if named else None)
    wish = LinkRequest(layers=("cells",), mappings={} if named else {"cells": "by"})
    door = open_door(wkw_objects(form), annotation=annotation(painted), wish=wish)
    assert_served(door, "cells", {ONE: painted_over(mapped(segments()), BLOCKS, 8, "uint32")})


def test_an_annotation_over_a_foreign_fallback_keeps_to_its_box(tmp_path: Path) -> None:
    """What is stored outside of the fallback layer's box is not shown, as of a WKW one."""
    write_zarr3(tmp_path / "seg/1", segments(), (8, 8, 8))
    em = {**entry("em", "zarr3", "uint32", SIZE, order="zyx"), "mags": [{"mag": [1, 1, 1], "path": "seg/1"}]}
    box = {"corner": (5, 3, 2), "category": "segmentation"}
    describe(tmp_path, em, entry("seg", "zarr3", "uint32", (20, 13, 9), order="zyx", **box))
    painted = PaintedLayer("cells", {ONE: BLOCKS}, "seg")
    files = write_tree(annotation(painted), tmp_path / "annotation")
    wish = LinkRequest(layers=("cells",))
    door = door_to(LocalFiles(tmp_path), painted=LocalFiles(files), wish=wish)
    inside = np.zeros_like(segments())
    inside[2:11, 3:16, 5:25] = segments()[2:11, 3:16, 5:25]
    assert door.opened("cells").layer.box == BoundingBox((0, 0, 0), SIZE)
    assert_served(door, "cells", {ONE: painted_over(inside, BLOCKS, 8, "uint32")})


def test_an_annotation_whose_mapping_is_missing_is_refused_by_name() -> None:
    painted = PaintedLayer("cells", {ONE: BLOCKS}, "seg", mapping="gone")
    with pytest.raises(UnsupportedLayer, match="layer 'seg' has no mapping 'gone'"):
        open_door(wkw_objects("hdf5"), annotation=annotation(painted), wish=LinkRequest(layers=("cells",)))


def test_large_blocks_are_decoded_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk of 4 MiB must not hold the memory of sixteen blocks of 16 MiB."""
    from zarrlink.arrays import block_runs, wkw_volume

    volume = segments(dtype="uint32")
    monkeypatch.setattr(wkw_volume, "UNDER_WAY_BYTES", 2 * 8**3 * 4)
    monkeypatch.setattr(wkw_volume, "_BATCH_BYTES", 8**3 * 4)
    monkeypatch.setattr(block_runs, "_RUN_BYTES", 8**3 * 4)
    under_way, most = [0], [0]
    read = WkwChunks.read_span

    async def counted(self, *which):
        under_way[0] += 1
        most[0] = max(most[0], under_way[0])
        await asyncio.sleep(0)
        try:
            return await read(self, *which)
        finally:
            under_way[0] -= 1

    monkeypatch.setattr(WkwChunks, "read_span", counted)
    objects = dataset(LayerFiles("seg", {ONE: volume}, category="segmentation", block_side=8)) | mapping_files("hdf5")
    door = open_door(objects)
    found = asyncio.run(door.library.volumes(door.subject, "seg"))
    voxels = asyncio.run(found.volumes[ONE].read((3, 3, 3), (30, 20, 14)))
    np.testing.assert_array_equal(voxels[0], volume[3:14, 3:20, 3:30])
    assert most[0] == 2
