"""Blocks that lie together are fetched together."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.door import CountingSource
from builders.painted import REVERTED, PaintedLayer, annotation, painted_over
from builders.wkw_files import LayerFiles, dataset, noise, volume_header
from zarrlink.annotations.manifest import MANIFEST_KEY, Manifest
from zarrlink.arrays.block_runs import block_runs
from zarrlink.arrays.painted_volume import PaintedVolume
from zarrlink.arrays.volume import Volume
from zarrlink.formats.datasource import parse_description
from zarrlink.formats.wkw import BlockType, morton_index
from zarrlink.geometry import Mag, Vec3, vec3
from zarrlink.jump_tables import PAGE_BLOCKS, JumpTables
from zarrlink.opening.volumes import wkw_volumes
from zarrlink.packed_blocks import CACHE_BYTES, PackedBlocks, PageCache
from zarrlink.storage.memory import MemorySource

ONE = Mag(1, 1, 1)
AXIS = st.tuples(st.integers(0, 300), st.integers(1, 300))


def opened(source: CountingSource) -> Volume:
    described = parse_description(source.inner.objects["datasource-properties.json"])
    found = asyncio.run(wkw_volumes(source, described.layers[0], JumpTables(), lambda _: source))
    source.requests.clear()
    return found.volumes[ONE]


@given(axes=st.tuples(AXIS, AXIS, AXIS), file_side=st.sampled_from([1, 4, 32]))
@settings(max_examples=60)
def test_each_block_of_a_box_is_in_one_run(axes: tuple[tuple[int, int], ...], file_side: int) -> None:
    header = volume_header(np.zeros((1, 1, 1), np.uint8), block_side=8, file_side=file_side)
    low, high = vec3([at for at, _ in axes]), vec3([at + length for at, length in axes])
    places: list[Vec3] = []
    for file in block_runs(header, low, high):
        for run in file.runs:
            numbers = [morton_index(*vec3([at % file_side for at in place])) for place in run.places]
            assert numbers == list(range(run.first, run.first + len(numbers)))
            assert run.first // PAGE_BLOCKS == numbers[-1] // PAGE_BLOCKS
            assert {vec3([at // file_side for at in place]) for place in run.places} == {file.file_xyz}
            places += run.places
        assert all(a.first + len(a.places) <= b.first for a, b in pairwise(file.runs))
    spans = [range(a // 8, -(-b // 8)) for a, b in zip(low, high, strict=True)]
    assert sorted(places) == [(x, y, z) for x in spans[0] for y in spans[1] for z in spans[2]]


@pytest.mark.parametrize("block_type", [BlockType.LZ4, BlockType.RAW])
def test_a_slab_takes_one_request_for_each_run(block_type: BlockType) -> None:
    """In one layer of blocks four at a time lie together (Morton order): 1024 blocks are 256 reads, and the table's pages."""
    side = 4 if block_type is BlockType.RAW else 8
    voxels = noise((32 * side, 32 * side, side))
    objects = dataset(LayerFiles("em", {ONE: voxels}, block_side=side, file_side=32, block_type=block_type))
    source = CountingSource(MemorySource(objects))
    volume = opened(source)
    found = asyncio.run(volume.read((0, 0, 0), (32 * side, 32 * side, side)))
    np.testing.assert_array_equal(found[0], voxels)
    assert 256 <= len(source.requests) <= 256 + 4


def test_a_whole_file_takes_a_few_requests() -> None:
    voxels = noise((128, 128, 128))
    source = CountingSource(MemorySource(dataset(LayerFiles("em", {ONE: voxels}, block_side=8, file_side=16))))
    volume = opened(source)
    np.testing.assert_array_equal(asyncio.run(volume.read((0, 0, 0), (128, 128, 128)))[0], voxels)
    assert len(source.requests) == 2


def test_all_blocks_of_a_file_are_of_one_version() -> None:
    """A file that was replaced since its table was read is read anew, as a whole."""
    old, new = (dataset(LayerFiles("em", {ONE: noise((64, 64, 64), seed=seed)}, file_side=16)) for seed in (1, 2))
    source = MemorySource(dict(old))
    volume = opened(CountingSource(source))
    asyncio.run(volume.read((0, 0, 0), (8, 8, 8)))
    source.objects.update(new)
    found = asyncio.run(volume.read((0, 0, 0), (64, 64, 64)))
    np.testing.assert_array_equal(found[0], noise((64, 64, 64), seed=2))


def test_what_is_painted_together_is_read_together() -> None:
    below = noise((64, 64, 64), "uint32")
    blocks = {
        (x, y, z): noise((8, 8, 8), "uint32", seed=x + 10 * y + 100 * z)
        for x in range(8)
        for y in range(8)
        for z in (2, 3)
    }
    blocks |= {(0, 0, 7): np.zeros((8, 8, 8), "uint32"), (1, 0, 7): REVERTED}
    layer = PaintedLayer("cells", {ONE: blocks}, "seg")
    source = CountingSource(MemorySource(annotation(layer), "painted"))
    mag = Manifest.from_json(source.inner.objects[MANIFEST_KEY]).volumes[0].mags[0]
    header = volume_header(below, block_side=8)
    under = opened(CountingSource(MemorySource(dataset(LayerFiles("seg", {ONE: below})))))
    volume = PaintedVolume(PackedBlocks(source, mag, PageCache(CACHE_BYTES)), header, "uint32", under)
    found = asyncio.run(volume.read((3, 0, 10), (64, 64, 64)))
    np.testing.assert_array_equal(found[0], painted_over(below, blocks, 8, "uint32")[10:, :, 3:])
    # Its index; each 2 x 2 x 2 of the painted blocks lie together, and nothing else between them.
    assert len(source.requests) <= 1 + 16


@pytest.mark.parametrize("block_type", [BlockType.LZ4, BlockType.RAW])
@pytest.mark.parametrize("start", [28, 30, 31, 32, 40])
def test_behind_the_layers_box_there_is_nothing_even_in_its_last_block(block_type: BlockType, start: int) -> None:
    voxels = noise((30, 30, 30))
    source = CountingSource(
        MemorySource(dataset(LayerFiles("em", {ONE: voxels}, block_side=32, block_type=block_type)))
    )
    found = asyncio.run(opened(source).read((start, 0, 0), (start + 9, 9, 9)))
    expected = np.zeros((9, 9, 9), voxels.dtype)
    expected[:, :, : max(0, 30 - start)] = voxels[:9, :9, start:]
    np.testing.assert_array_equal(found[0], expected)
