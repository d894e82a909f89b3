"""Data replaced under a reader: what was remembered of the old files is never mixed with the new ones."""

from __future__ import annotations

import json

import numpy as np
import pytest

from builders.door import Door, header, open_door
from builders.painted import PaintedLayer, annotation, painted_over
from builders.reading import expected_level, read_level
from builders.wkw_files import LayerFiles, Objects, Volume, dataset, noise
from zarrlink.errors import CorruptFile, SourceChanged
from zarrlink.formats.wkw import BlockType
from zarrlink.geometry import BoundingBox, Mag
from zarrlink.links.service import LinkRequest
from zarrlink.served_voxels import read_voxels

ONE = Mag(1, 1, 1)
SIZE = (16, 16, 16)
OLD, NEW = noise(SIZE, "uint32", seed=1), noise(SIZE, "uint32", seed=2)


def stored(volume: Volume, file_side: int = 4, block_type: BlockType = BlockType.LZ4) -> Objects:
    return dataset(
        LayerFiles("seg", {ONE: volume}, category="segmentation", file_side=file_side, block_type=block_type)
    )


def exchange(door: Door, objects: Objects) -> None:
    kept = door.source.inner.objects
    kept.clear()
    kept.update(objects)


@pytest.mark.parametrize("kinds", [(BlockType.LZ4, BlockType.LZ4), (BlockType.RAW, BlockType.RAW)])
@pytest.mark.parametrize("sides", [(1, 2), (2, 4), (4, 2), (1, 4)])
def test_a_reader_with_an_old_header_is_not_given_what_was_checked_against_a_new_one(
    sides: tuple[int, int], kinds: tuple[BlockType, BlockType]
) -> None:
    """Two links to one layer: the first was opened before it was replaced, the second after."""
    door = open_door(stored(OLD, sides[0], kinds[0]), freshness_s=1.0)
    first = door.link
    assert door.get("v2/seg.zarr/0/.zarray").status == 200
    exchange(door, stored(NEW, sides[1], kinds[1]))
    door.make_link(LinkRequest(box=BoundingBox((0, 0, 0), (16, 16, 12))))
    np.testing.assert_array_equal(read_level(door, "seg", "v2")[:12], NEW[:12])

    # The clock stands still: the first is not looked at again of itself.
    door.link = first
    for position in np.ndindex(2, 2, 2):
        reply = door.get("v2/seg.zarr/0/" + "/".join(map(str, position)))
        assert reply.status == 410, position
        assert "replaced" in json.loads(reply.body)["detail"]


@pytest.mark.parametrize("layer", ["seg", "cells", "wide"])
@pytest.mark.parametrize("kind", [BlockType.LZ4, BlockType.RAW])
@pytest.mark.parametrize("sides", [(1, 2), (1, 4), (2, 4)])
def test_files_that_have_other_names_now_are_not_absent(sides: tuple[int, int], kind: BlockType, layer: str) -> None:
    """Those asked for are gone, and the header that was opened is another: black would be a lie."""
    blocks = {(1, 1, 1): np.full((8, 8, 8), 3, "uint32")}
    painted = annotation(
        PaintedLayer("cells", {ONE: blocks}, "seg"),
        PaintedLayer(
            "wide", {ONE: {at: block.astype("uint64") for at, block in blocks.items()}}, "seg", dtype="uint64"
        ),
    )
    door = open_door(stored(OLD, sides[0], kind), annotation=painted, freshness_s=60)
    positions = ["/".join(map(str, at)) for at in np.ndindex(2, 2, 2)]
    assert door.get(f"v2/{layer}.zarr/0/.zarray").status == 200
    exchange(door, stored(NEW, sides[1], kind))
    assert {door.get(f"v2/{layer}.zarr/0/{at}").status for at in positions} <= {200, 410}


@pytest.mark.parametrize("layer", ["seg", "cells"])
@pytest.mark.parametrize("kind", [BlockType.LZ4, BlockType.LZ4HC])
def test_a_range_behind_the_end_of_what_was_there_before_is_one_of_what_is_there_now(
    kind: BlockType, layer: str
) -> None:
    small = np.full((16, 16, 16), 7, "uint32")
    large = noise((16, 16, 16), "uint32")
    painted = annotation(PaintedLayer("cells", {ONE: {(0, 0, 0): np.full((8, 8, 8), 3, "uint32")}}, "seg"))
    door = open_door(stored(small, block_type=kind), annotation=painted)
    path = f"v3/{layer}.zarr/0/c/0/0/0"
    length = len(door.get(path).body)
    exchange(door, stored(large, block_type=kind))

    reply = door.get(path, range=f"bytes={length + 10}-{length + 20}")
    assert reply.status == 206
    assert reply.body == door.get(path).body[length + 10 : length + 21]
    exchange(door, stored(small, block_type=kind))
    reply = door.get(path, range=f"bytes={length + 10}-{length + 20}")
    assert (reply.status, header(reply, "content-range")) == (416, f"bytes */{length}")
    assert door.get(path, range=f"bytes={length - 5}-").status == 206


@pytest.mark.parametrize("kind", [BlockType.LZ4, BlockType.RAW])
def test_a_range_behind_the_end_of_what_is_gone_is_absent(kind: BlockType) -> None:
    door = open_door(stored(OLD, block_type=kind))
    path = "v3/seg.zarr/0/c/0/0/0"
    assert door.get(path).status == 200
    del door.source.inner.objects["seg/1/z0/y0/x0.wkw"]
    assert door.get(path, range="bytes=99999999-").status == 404


@pytest.mark.parametrize("layer", ["seg", "cells", "wide"])
@pytest.mark.parametrize("kind", [BlockType.LZ4, BlockType.RAW])
def test_voxels_of_many_replaced_files_are_read_at_the_second_try(kind: BlockType, layer: str) -> None:
    """Passed through, merged block by block, and merged voxel by voxel."""
    import asyncio

    blocks = {(1, 1, 1): np.full((8, 8, 8), 3, "uint32")}
    wide = {(1, 1, 1): np.full((8, 8, 8), 3, "uint64")}
    painted = annotation(
        PaintedLayer("cells", {ONE: blocks}, "seg"), PaintedLayer("wide", {ONE: wide}, "seg", dtype="uint64")
    )
    door = open_door(stored(OLD, 1, kind), annotation=painted)
    opened = door.opened(layer)

    def read() -> Volume:
        found: Volume = asyncio.run(read_voxels(opened, 0, (0, 0, 0), SIZE))[0]
        return found

    read()
    exchange(door, stored(NEW, 1, kind))
    # What is merged voxel by voxel makes the second try by itself.
    if layer != "wide":
        with pytest.raises((SourceChanged, CorruptFile)):
            read()
    dtype = "uint64" if layer == "wide" else "uint32"
    expected = NEW if layer == "seg" else painted_over(NEW, blocks, 8, dtype)
    np.testing.assert_array_equal(read(), expected)
    level = opened.layer.levels[0]
    np.testing.assert_array_equal(read_level(door, layer, "v2"), expected_level(expected, (0, 0, 0), level))
