"""The geometry of a served layer, as design.md section 3 ("Geometry of the OME dialects", "Shards") says."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from zarrlink.errors import UnsupportedLayer
from zarrlink.formats.blosc1 import LZ4_HEADER_BYTES
from zarrlink.formats.datasource import LayerDescription, MagDescription
from zarrlink.formats.ngff import Image, level_transformations
from zarrlink.formats.shard_index import index_bytes
from zarrlink.formats.wkw import BlockType, WkwHeader, morton_index, morton_position, run_sides, stored_bytes_bound
from zarrlink.formats.wkw_writer import wkw_header
from zarrlink.geometry import BoundingBox, Mag, Vec3, VoxelSize
from zarrlink.layer import (
    MAX_ANSWER_BYTES,
    MAX_BLOCK_BYTES,
    MAX_CHUNK_BYTES,
    MAX_SHARD_SIDE,
    Layer,
    Level,
    StoredMag,
    lay_out,
)

MIB = 2**20
# API Gateway and Lambda: 6 MB, of which base64 takes a quarter.
LAMBDA_LIMIT = 6 * 10**6 * 3 // 4
NANOMETRES = VoxelSize((8.0, 8.0, 25.0))
TYPES = {1: ("uint8", 1), 2: ("uint16", 2), 3: ("uint32", 4), 4: ("uint64", 8), 6: ("double", 8)}


def header(*, block_side: int = 32, file_side: int = 32, voxel_type: int = 1, channels: int = 1) -> WkwHeader:
    return wkw_header(
        block_side=block_side, file_side=file_side, block_type=BlockType.LZ4, voxel_type=voxel_type, channels=channels
    )


def laid_out(
    mags: dict[Mag, WkwHeader],
    box: BoundingBox,
    *,
    view_box: BoundingBox | None = None,
    finest: Mag | None = None,
    **described: Any,
) -> Layer:
    some = next(iter(mags.values()))
    facts: dict[str, Any] = {
        "name": "em",
        "category": "color",
        "box": box,
        "element_class": TYPES[some.voxel_type][0],
        "data_format": "wkw",
        "channels": some.channels,
        "mags": tuple(MagDescription(mag, (f"em/{mag.literal}",)) for mag in mags),
        "view": {},
    }
    stored = [StoredMag(mag, f"em/{mag.literal}", found) for mag, found in mags.items()]
    return lay_out(LayerDescription(**{**facts, **described}), NANOMETRES, stored, box=view_box, finest=finest)


def one_level(corner: Vec3 = (0, 0, 0), **kind: int) -> Level:
    """512 voxels a side from `corner`."""
    return laid_out({Mag(1, 1, 1): header(**kind)}, BoundingBox(corner, (512, 512, 512))).levels[0]


factors = st.sampled_from([1, 2, 3, 4, 8])
mag_sets = st.sets(st.builds(Mag, factors, factors, factors), min_size=1, max_size=4).map(
    lambda mags: sorted(mags, key=lambda mag: (mag.x * mag.y * mag.z, mag))
)
kinds = st.builds(
    lambda block, file, voxel, channels: header(
        block_side=1 << block, file_side=1 << file, voxel_type=voxel, channels=channels
    ),
    st.integers(0, 8),
    st.integers(0, 6),
    st.sampled_from(sorted(TYPES)),
    st.integers(1, 31),
)
boxes = st.builds(BoundingBox, st.tuples(*[st.integers(0, 5000)] * 3), st.tuples(*[st.integers(1, 5000)] * 3))


@st.composite
def layers(draw: st.DrawFn) -> Layer:
    """Any layer: each mag with its own block and file sides, now and then limited by a view."""
    first = draw(kinds)
    mags = {}
    for mag in draw(mag_sets):
        other = draw(kinds)
        mags[mag] = replace(first, block_side=other.block_side, file_side=other.file_side)
    assume(all(header.block_bytes <= MAX_BLOCK_BYTES for header in mags.values()))
    box = draw(boxes)
    view_box = draw(st.none() | boxes)
    assume(view_box is None or box.intersection(view_box) is not None)
    return laid_out(mags, box, view_box=view_box)


# --- origin, shapes ---


@given(layers())
def test_the_origin_is_a_whole_block_at_every_level(layer: Layer) -> None:
    for level in layer.levels:
        for axis in range(3):
            assert layer.origin[axis] % (level.header.block_side * level.mag.xyz[axis]) == 0
            assert level.origin[axis] % level.header.block_side == 0


@given(layers())
def test_all_levels_share_one_origin(layer: Layer) -> None:
    for level in layer.levels:
        assert tuple(o * m for o, m in zip(level.origin, level.mag.xyz, strict=True)) == layer.origin


@given(layers())
def test_the_padding_is_less_than_one_common_block(layer: Layer) -> None:
    for axis in range(3):
        unit = math.lcm(*(level.header.block_side * level.mag.xyz[axis] for level in layer.levels))
        assert 0 <= layer.box.top_left[axis] - layer.origin[axis] < unit


@given(layers())
def test_a_level_ends_with_the_voxel_that_holds_the_end_of_the_box(layer: Layer) -> None:
    for level in layer.levels:
        ends = zip(layer.box.bottom_right, layer.origin, level.mag.xyz, strict=True)
        assert level.shape == tuple(-(-(end - start) // side) for end, start, side in ends)


@given(layers())
def test_one_landmark_lies_at_one_physical_place_in_every_level(layer: Layer) -> None:
    mags = tuple(level.mag for level in layer.levels)
    image = Image(
        name="em", voxel_size=NANOMETRES, origin=layer.origin, mags=mags, channel_axis=False, is_label=False,
        channels=(), default_z=0, provenance={},
    )  # fmt: skip
    landmark = layer.box.bottom_right
    for level in layer.levels:
        scale, translation = level_transformations(image, level.mag)
        for axis in range(3):
            # The voxel of this level that holds the landmark, and where its metadata puts that voxel's centre.
            index = landmark[axis] // level.mag.xyz[axis] - level.origin[axis]
            centre = translation["translation"][2 - axis] + index * scale["scale"][2 - axis]
            physical = landmark[axis] * NANOMETRES.factor[axis]
            reach = (level.mag.xyz[axis] - 1) / 2 * NANOMETRES.factor[axis]
            assert abs(centre - physical) <= reach + 1e-6


@given(layers())
def test_the_box_lies_inside_the_array(layer: Layer) -> None:
    for level in layer.levels:
        assert level.box_end == tuple(o + s for o, s in zip(level.origin, level.shape, strict=True))
        assert all(o <= a < b for o, a, b in zip(level.origin, level.box_start, level.box_end, strict=True))


def test_the_box_of_a_view_and_that_of_its_layer_both_limit() -> None:
    layer = laid_out(
        {Mag(1, 1, 1): header()},
        BoundingBox((0, 0, 0), (100, 100, 100)),
        view_box=BoundingBox((70, -5, 10), (500, 20, 30)),
    )
    assert layer.box == BoundingBox((70, 0, 10), (30, 15, 30))
    assert layer.origin == (64, 0, 0)


def test_axes_run_from_slow_to_fast_with_channels_in_front() -> None:
    box = BoundingBox((0, 0, 0), (64, 32, 16))
    assert laid_out({Mag(1, 1, 1): header()}, box).array_shape((4, 3, 2)) == (2, 3, 4)
    assert laid_out({Mag(1, 1, 1): header(channels=3)}, box).array_shape((4, 3, 2)) == (3, 2, 3, 4)


# --- chunks ---


@given(layers())
def test_chunks_tile_the_shape_and_no_chunk_lies_outside(layer: Layer) -> None:
    for level in layer.levels:
        for dialect, side in (("v2", level.chunk), ("v3", level.shard or level.chunk)):
            for count, part, length in zip(level.grid(dialect), side, level.shape, strict=True):  # type: ignore[arg-type]
                assert (count - 1) * part < length <= count * part


@given(layers())
def test_a_chunk_is_a_block_or_a_power_of_two_part_of_it(layer: Layer) -> None:
    for level in layer.levels:
        side = level.header.block_side
        assert level.cuts_blocks == (level.chunk != (side, side, side))
        assert all(side % length == 0 for length in level.chunk)


@given(kinds)
def test_blocks_above_4_mib_are_cut_and_no_others(kind: WkwHeader) -> None:
    assume(kind.block_bytes <= MAX_BLOCK_BYTES)
    level = laid_out({Mag(1, 1, 1): kind}, BoundingBox((0, 0, 0), (600, 600, 600))).levels[0]
    assert level.cuts_blocks == (kind.block_bytes > 4 * MIB)


@given(kinds)
def test_a_cut_chunk_is_as_large_as_4_mib_and_128_voxels_a_side_allow(kind: WkwHeader) -> None:
    assume(kind.block_bytes <= MAX_BLOCK_BYTES)
    level = laid_out({Mag(1, 1, 1): kind}, BoundingBox((0, 0, 0), (600, 600, 600))).levels[0]
    if level.cuts_blocks:
        voxels = math.prod(level.chunk)
        longest = max(level.chunk)
        assert voxels * kind.voxel_bytes <= 4 * MIB
        assert longest <= 128
        # The next longer run of voxels would be too much.
        longer = run_sides(voxels.bit_length())
        assert max(longer) > 128 or 2 * voxels * kind.voxel_bytes > 4 * MIB


def test_a_cut_layer_has_no_shards() -> None:
    level = one_level(block_side=256)
    assert level.cuts_blocks
    assert level.shard is None
    assert level.chunk == (128, 128, 128)


@pytest.mark.parametrize("block_side", [1, 2, 4, 8, 16, 32, 64, 128, 256])
def test_block_sides_from_1_to_256_work(block_side: int) -> None:
    level = one_level(block_side=block_side)
    assert level.shape == (512, 512, 512)
    assert level.header.block_side == block_side


# --- shards ---


@pytest.mark.parametrize(
    ("kind", "shard"),
    [
        pytest.param({"voxel_type": 1}, (128, 128, 128), id="uint8"),
        pytest.param({"voxel_type": 2}, (128, 128, 128), id="uint16"),
        pytest.param({"voxel_type": 1, "channels": 3}, (128, 128, 64), id="RGB"),
        pytest.param({"voxel_type": 3}, (128, 128, 64), id="uint32"),
        pytest.param({"voxel_type": 4}, (128, 64, 64), id="uint64"),
        pytest.param({"voxel_type": 6}, (128, 64, 64), id="double"),
        pytest.param({"voxel_type": 1, "block_side": 64}, (128, 128, 128), id="uint8-in-blocks-of-64"),
        pytest.param({"voxel_type": 1, "block_side": 16}, (128, 128, 128), id="uint8-in-blocks-of-16"),
    ],
)
def test_an_aligned_shard_is_as_large_as_the_design_says(kind: dict[str, int], shard: Vec3) -> None:
    assert one_level(**kind).shard == shard


@pytest.mark.parametrize(
    ("corner", "shard"),
    [
        ((128, 0, 256), (128, 128, 128)),
        ((32, 0, 0), None),
        ((64, 0, 0), (64, 64, 64)),
        ((0, 32, 0), (64, 32, 32)),
        ((0, 0, 32), (64, 64, 32)),
        ((0, 64, 0), (128, 64, 64)),
        ((0, 0, 64), (128, 128, 64)),
    ],
)
def test_a_shard_divides_the_origin(corner: Vec3, shard: Vec3 | None) -> None:
    assert one_level(corner).shard == shard


@pytest.mark.parametrize(("file_side", "shard"), [(1, None), (2, (64, 64, 64)), (4, (128, 128, 128))])
def test_a_shard_stays_in_one_file(file_side: int, shard: Vec3 | None) -> None:
    assert one_level(file_side=file_side).shard == shard


@pytest.mark.parametrize(("block_side", "shard"), [(1, (64, 32, 32)), (2, (128, 64, 64)), (4, (128, 128, 128))])
def test_shards_of_tiny_blocks_leave_room_for_their_frames_and_index(block_side: int, shard: Vec3) -> None:
    assert one_level(block_side=block_side, file_side=128).shard == shard


def test_blocks_of_128_are_chunks_of_their_own() -> None:
    assert one_level(block_side=128).shard is None


def allowed(level: Level, log2: int) -> bool:
    """The rule of the design for a run of 2^log2 blocks."""
    sides, kind, blocks = run_sides(log2), level.header, 1 << log2
    return (
        all((start // kind.block_side) % side == 0 for start, side in zip(level.origin, sides, strict=True))
        and max(sides) <= kind.file_side
        and max(sides) * kind.block_side <= 128
        and blocks * kind.block_bytes <= 4 * MIB
        and blocks * (LZ4_HEADER_BYTES + stored_bytes_bound(kind.block_bytes)) + index_bytes(blocks) <= MAX_ANSWER_BYTES
    )


@given(layers())
def test_a_shard_is_the_longest_run_that_is_allowed(layer: Layer) -> None:
    for level in layer.levels:
        if not level.cuts_blocks:
            assert level.run_log2 == max((log2 for log2 in range(1, 22) if allowed(level, log2)), default=0)
            assert level.run == run_sides(level.run_log2)


@given(layers())
def test_a_shard_is_a_whole_number_of_chunks(layer: Layer) -> None:
    for level in layer.levels:
        if level.shard is not None:
            assert level.shard == tuple(blocks * side for blocks, side in zip(level.run, level.chunk, strict=True))


@given(layers(), st.tuples(*[st.integers(0, 30)] * 3))
def test_a_run_is_one_piece_of_one_file(layer: Layer, position: Vec3) -> None:
    for level in layer.levels:
        if level.shard is None:
            continue
        side, file_side = level.header.block_side, level.header.file_side
        first = [o // side + p * r for o, p, r in zip(level.origin, position, level.run, strict=True)]
        blocks = list(
            itertools.product(*(range(start, start + count) for start, count in zip(first, level.run, strict=True)))
        )
        assert len({tuple(place // file_side for place in block) for block in blocks}) == 1
        places = sorted(morton_index(*(place % file_side for place in block)) for block in blocks)
        assert places == list(range(places[0], places[0] + len(blocks)))
        assert morton_position(places[0]) == tuple(place % file_side for place in first)


@given(layers())
def test_no_answer_is_larger_than_lambda_can_send(layer: Layer) -> None:
    for level in layer.levels:
        blocks = 1 << level.run_log2
        chunk_bytes = math.prod(level.chunk) * level.header.voxel_bytes
        longest = blocks * (LZ4_HEADER_BYTES + stored_bytes_bound(chunk_bytes)) + index_bytes(blocks)
        assert longest <= LAMBDA_LIMIT


def test_the_limits_are_those_of_the_design() -> None:
    assert (MAX_SHARD_SIDE, MAX_CHUNK_BYTES) == (128, 4 * MIB)


# --- mags ---


def test_mags_finer_than_the_view_allows_are_left_out() -> None:
    mags = {Mag(1, 1, 1): header(), Mag(2, 2, 1): header(), Mag(4, 4, 2): header()}
    layer = laid_out(mags, BoundingBox((0, 0, 0), (64, 64, 64)), finest=Mag(2, 2, 1))
    assert [level.mag.literal for level in layer.levels] == ["2-2-1", "4-4-2"]


def test_a_mag_that_is_finer_along_one_axis_is_left_out() -> None:
    mags = {Mag(2, 2, 1): header(), Mag(2, 2, 2): header()}
    layer = laid_out(mags, BoundingBox((0, 0, 0), (64, 64, 64)), finest=Mag(1, 1, 2))
    assert [level.mag.literal for level in layer.levels] == ["2"]


# --- refusals ---

BOX = BoundingBox((0, 0, 0), (64, 64, 64))
ONE = {Mag(1, 1, 1): header()}


@pytest.mark.parametrize(
    ("mags", "box", "limits", "named"),
    [
        pytest.param(ONE, BoundingBox((0, -1, 0), (9, 9, 9)), {}, "below voxel 0", id="negative-box"),
        pytest.param(ONE, BOX, {"view_box": BoundingBox((64, 0, 0), (9, 9, 9))}, "holds nothing", id="elsewhere"),
        pytest.param(ONE, BOX, {"finest": Mag(2, 1, 1)}, "no mag not finer than 2-1-1", id="too-fine"),
        pytest.param({**ONE, Mag(2, 2, 2): header(voxel_type=2)}, BOX, {}, "different voxel types", id="types-differ"),
        pytest.param({**ONE, Mag(2, 2, 2): header(channels=3)}, BOX, {}, "different voxel types", id="channels-differ"),
        pytest.param(ONE, BOX, {"element_class": "uint16"}, "described as uint16", id="described-otherwise"),
        pytest.param(ONE, BOX, {"channels": 3}, "described as uint8 x 3", id="other-channels"),
        pytest.param({Mag(1, 1, 1): header(block_side=512)}, BOX, {}, "more than 256", id="huge-blocks"),
    ],
)
def test_what_cannot_be_served_is_refused_with_layer_and_reason(
    mags: dict[Mag, WkwHeader], box: BoundingBox, limits: dict[str, Any], named: str
) -> None:
    with pytest.raises(UnsupportedLayer, match="'em'") as refused:
        laid_out(mags, box, **limits)
    assert named in str(refused.value)


def test_a_layer_without_any_stored_mag_is_refused() -> None:
    described = LayerDescription("em", "color", BOX, "uint8", "wkw", 1, (), {})
    with pytest.raises(UnsupportedLayer, match="no mag that can be read"):
        lay_out(described, NANOMETRES, [])


def test_a_description_that_does_not_tell_its_channels_is_believed() -> None:
    assert laid_out({Mag(1, 1, 1): header(channels=2)}, BOX, channels=None).channels == 2


# --- fingerprint ---


def test_a_fingerprint_does_not_depend_on_how_blocks_are_compressed() -> None:
    raw = {Mag(1, 1, 1): replace(header(), block_type=BlockType.RAW)}
    assert laid_out(raw, BOX).fingerprint() == laid_out(ONE, BOX).fingerprint()


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(laid_out(ONE, BOX, name="other"), id="name"),
        pytest.param(laid_out(ONE, BoundingBox((0, 0, 0), (64, 64, 65))), id="shape"),
        pytest.param(laid_out(ONE, BoundingBox((1, 0, 0), (63, 64, 64))), id="box-start"),
        pytest.param(laid_out({Mag(1, 1, 1): header(voxel_type=2)}, BOX), id="type"),
        pytest.param(laid_out({Mag(1, 1, 1): header(channels=3)}, BOX), id="channels"),
        pytest.param(laid_out({Mag(1, 1, 1): header(block_side=16)}, BOX), id="chunk"),
        pytest.param(laid_out({Mag(1, 1, 1): header(file_side=1)}, BOX), id="shard"),
        pytest.param(laid_out({**ONE, Mag(2, 2, 2): header()}, BOX), id="levels"),
        pytest.param(laid_out({Mag(2, 2, 2): header()}, BOX), id="mag"),
    ],
)
def test_a_fingerprint_changes_with_what_a_reader_holds(other: Layer) -> None:
    assert other.fingerprint() != laid_out(ONE, BOX).fingerprint()


def test_a_block_that_could_not_be_held_is_refused_by_name() -> None:
    header = WkwHeader(256, 1, BlockType.LZ4, 1, 9, 0)
    with pytest.raises(UnsupportedLayer, match="more than 134217728 bytes"):
        laid_out({Mag(1, 1, 1): header}, BoundingBox((0, 0, 0), (9, 9, 9)))
