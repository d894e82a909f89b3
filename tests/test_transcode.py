"""Chunks and shards from stored blocks, decoded by numcodecs and read by zarr-python and tensorstore."""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numcodecs import Blosc

from builders.wkw_files import LayerFiles, Objects, Volume, dataset, noise, pyramid, ramp
from builders.zarr_readers import voxels_by_tensorstore, voxels_by_zarr
from builders.zarr_trees import answer, expected_array, open_layer, plan_of, zarr_tree
from zarrlink import layer as layer_module
from zarrlink import transcode
from zarrlink.byte_range import ByteRange
from zarrlink.errors import CorruptFile
from zarrlink.formats import blosc1
from zarrlink.formats.lz4_block import encode_lz4
from zarrlink.formats.shard_index import ABSENT, index_bytes
from zarrlink.formats.wkw import BlockType, file_key, morton_position
from zarrlink.formats.zarr_keys import Dialect
from zarrlink.geometry import BoundingBox, Mag, Vec3, vec3
from zarrlink.layer import Layer, Level
from zarrlink.transcode import ArrayForm, Stored

Reader = Callable[..., np.ndarray[Any, Any]]
DIALECTS: tuple[Dialect, ...] = ("v2", "v3")
MAG_1 = Mag(1, 1, 1)


@dataclass(frozen=True)
class Built:
    """A layer with its files and the volume that they were made from, by level."""

    objects: Objects
    layer: Layer
    volumes: tuple[Volume, ...]
    top_lefts: tuple[Vec3, ...]

    def expected(self, number: int) -> Volume:
        """The level as an array, (z, y, x) or (c, z, y, x)."""
        return expected_array(self.layer, self.layer.levels[number], self.volumes[number], self.top_lefts[number])


@contextmanager
def chunks_of_at_most(limit: int) -> Iterator[None]:
    """Cut small blocks as the product cuts those above 4 MiB: the same rule, cheaper to try."""
    with mock.patch.object(layer_module, "MAX_CHUNK_BYTES", limit):
        yield


def build(
    volume: Volume,
    top_left: Vec3,
    *,
    mags: tuple[Mag, ...] = (MAG_1,),
    box: BoundingBox | None = None,
    view_box: BoundingBox | None = None,
    limit: int = layer_module.MAX_CHUNK_BYTES,
    **files: Any,
) -> Built:
    volumes = pyramid(volume, mags, top_left)
    objects = dataset(
        LayerFiles("em", volumes, top_left, box or BoundingBox(top_left, vec3(volume.shape[2::-1])), **files)
    )
    with chunks_of_at_most(limit):
        layer = open_layer(objects, "em", box=view_box)
    top_lefts = tuple(vec3([a // b for a, b in zip(top_left, mag.xyz, strict=True)]) for mag in volumes)
    return Built(objects, layer, tuple(volumes.values()), top_lefts)


@st.composite
def boxes_that_meet(draw: st.DrawFn, box: BoundingBox) -> BoundingBox:
    """A box that holds a part of another one, and something around it now and then."""
    start = [draw(st.integers(low - 3, high - 1)) for low, high in zip(box.top_left, box.bottom_right, strict=True)]
    ends = zip(start, box.top_left, box.bottom_right, strict=True)
    end = [draw(st.integers(max(first, low) + 1, high + 3)) for first, low, high in ends]
    return BoundingBox(vec3(start), vec3([b - a for a, b in zip(start, end, strict=True)]))


@st.composite
def built(draw: st.DrawFn) -> Built:
    """A small layer: any kind of file, any content, a box that cuts blocks, now and then one of a view as well."""
    side = draw(st.sampled_from([1, 2, 4, 8]))
    lengths = st.integers(1, 4 * side)
    x, y, z = size = draw(st.tuples(lengths, lengths, lengths))
    corner = draw(st.tuples(*[st.integers(0, 5 * side)] * 3))
    dtype, channels = draw(st.sampled_from(["uint8", "uint16", "float32", "uint64"])), draw(st.integers(1, 3))
    volume = ramp(size, dtype, channels=channels)
    # Zeros, runs and noise: blocks of every compressed length.
    volume[draw(st.integers(0, z)) :] = 0
    cut = draw(st.integers(0, y))
    volume[:, cut:] = noise(size, dtype, channels=channels, seed=x)[:, cut:]
    box = BoundingBox(corner, size)
    view_box = draw(st.none() | boxes_that_meet(box))
    return build(
        volume,
        corner,
        mags=draw(st.sampled_from([(MAG_1,), (MAG_1, Mag(2, 2, 1)), (Mag(2, 1, 3),)])),
        box=box,
        view_box=view_box,
        limit=draw(st.sampled_from([layer_module.MAX_CHUNK_BYTES, 2048, 300])),
        block_side=side,
        file_side=draw(st.sampled_from([1, 2, 4])),
        block_type=draw(st.sampled_from(list(BlockType))),
    )


def forms(layer: Layer) -> Iterator[tuple[int, Level, ArrayForm, Dialect]]:
    for (number, level), dialect in itertools.product(enumerate(layer.levels), DIALECTS):
        yield number, level, ArrayForm(layer, level, dialect), dialect


def positions(form: ArrayForm) -> Iterator[Vec3]:
    width, height, depth = form.grid
    for z, y, x in np.ndindex(depth, height, width):
        yield x, y, z


def frames_of(data: bytes, slots: int) -> list[bytes | None]:
    """The chunks of a shard in index order, or the one chunk that there is."""
    if slots == 0:
        return [data]
    numbers = struct.unpack(f"<{2 * slots}Q", data[-index_bytes(slots) : -4])
    places = list(zip(numbers[::2], numbers[1::2], strict=True))
    return [None if place == ABSENT else data[place[0] : place[0] + place[1]] for place in places]


def array_of(data: bytes | None, layer: Layer, level: Level, dialect: Dialect) -> Volume:
    """An answer as a reader decodes it, in array axis order, zero where a chunk is absent."""
    width, height, depth = level.chunk
    slots = (1 << level.run_log2) if dialect == "v3" and level.run_log2 else 0
    runs = level.run if slots else (1, 1, 1)
    whole = np.zeros(layer.array_shape(vec3([r * c for r, c in zip(runs, level.chunk, strict=True)])), layer.dtype)
    if data is None:
        return whole
    for (z, y, x), frame in zip(np.ndindex(runs[::-1]), frames_of(data, slots), strict=True):
        if frame is None:
            continue
        flat = np.frombuffer(Blosc().decode(frame), layer.dtype)
        if layer.channel_axis and dialect == "v3":
            chunk = np.moveaxis(flat.reshape(depth, height, width, layer.channels), 3, 0)
        else:
            chunk = flat.reshape(layer.array_shape(level.chunk))
        z0, y0, x0 = z * depth, y * height, x * width
        whole[..., z0 : z0 + depth, y0 : y0 + height, x0 : x0 + width] = chunk
    return whole


# --- properties ---


@given(built())
def test_the_blocks_wanted_of_all_chunks_cover_the_box_once_and_nothing_else(case: Built) -> None:
    for _, level, form, _ in forms(case.layer):
        seen = np.zeros([length + 2 * 64 for length in level.shape[::-1]], np.uint8)
        for position in positions(form):
            shape = form.shape(position)
            for wanted in shape.wanted:
                assert shape.first_block <= wanted.block < shape.first_block + shape.blocks
                block = [
                    f * level.header.file_side + b
                    for f, b in zip(shape.file_xyz, morton_position(wanted.block), strict=True)
                ]
                low, high = wanted.kept or ((0, 0, 0), level.chunk)
                start = [
                    b * level.header.block_side + p - o + 64
                    for b, p, o in zip(block, wanted.part, level.origin, strict=True)
                ]
                region = tuple(slice(s + a, s + b) for s, a, b in zip(start, low, high, strict=True))[::-1]
                seen[region] += 1
        inside = [
            (a - o + 64, b - o + 64) for a, b, o in zip(level.box_start, level.box_end, level.origin, strict=True)
        ]
        box = tuple(slice(a, b) for a, b in inside)[::-1]
        assert (seen[box] == 1).all()
        assert seen.sum() == seen[box].size


@settings(max_examples=300)
@given(built())
def test_every_frame_decodes_to_the_stored_voxels_and_to_zero_outside_the_box(case: Built) -> None:
    for number, level, form, dialect in forms(case.layer):
        expected = case.expected(number)
        for x, y, z in positions(form):
            got = array_of(answer(case.objects, form, (x, y, z)), case.layer, level, dialect)
            depth, height, width = got.shape[-3:]
            want = expected[
                ..., z * depth : (z + 1) * depth, y * height : (y + 1) * height, x * width : (x + 1) * width
            ]
            filled = np.zeros_like(got)
            filled[tuple(slice(0, length) for length in want.shape)] = want
            np.testing.assert_array_equal(got, filled)


@given(built())
def test_the_length_of_an_answer_is_known_before_it_is_made(case: Built) -> None:
    for _, _, form, _ in forms(case.layer):
        for position in positions(form):
            plan = plan_of(case.objects, form, form.shape(position))
            data = answer(case.objects, form, position)
            if data is not None:
                assert plan is not None
                assert plan.length == len(data)


@settings(max_examples=300)
@given(built(), st.data())
def test_any_range_of_an_answer_is_that_slice_of_the_whole(case: Built, data: st.DataObject) -> None:
    _, _, form, _ = data.draw(st.sampled_from(list(forms(case.layer))))
    position = data.draw(st.sampled_from([position for position in positions(form) if form.shape(position).wanted]))
    whole, plan = answer(case.objects, form, position), plan_of(case.objects, form, form.shape(position))
    assert whole is not None
    assert plan is not None
    borders = {0, len(whole) - len(plan.index), *(n for piece in plan.pieces for n in (piece.start + 16, piece.end))}
    offsets = st.sampled_from(sorted(borders)) | st.integers(0, len(whole))
    start = data.draw(offsets.filter(lambda offset: offset < len(whole)))
    end = data.draw(offsets.filter(lambda offset: offset > start) | st.just(len(whole)))
    # The builder hands over only the stored bytes of the pieces that the plan says are touched.
    assert answer(case.objects, form, position, ByteRange(start, end)) == whole[start:end]


@given(built())
def test_a_chunk_that_shows_nothing_wants_nothing(case: Built) -> None:
    for _, level, form, dialect in forms(case.layer):
        step = level.shard if dialect == "v3" and level.shard else level.chunk
        size = vec3([end - start for start, end in zip(level.box_start, level.box_end, strict=True)])
        for position in positions(form):
            start = vec3([o + p * s for o, p, s in zip(level.origin, position, step, strict=True)])
            meets = BoundingBox(start, step).intersection(BoundingBox(level.box_start, size)) is not None
            assert bool(form.shape(position).wanted) == meets


# --- pass-through ---


def whole_blocks(**files: Any) -> Built:
    """Every block lies wholly in the box."""
    return build(ramp((32, 32, 32), "uint16"), (32, 0, 64), block_side=8, file_side=4, **files)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("block_type", BlockType)
def test_whole_blocks_go_out_as_they_are_stored(dialect: Dialect, block_type: BlockType) -> None:
    case = whole_blocks(block_type=block_type)
    (level,) = case.layer.levels
    form = ArrayForm(case.layer, level, dialect)
    refuse = mock.Mock(side_effect=AssertionError("nothing is to be decoded"))
    with mock.patch.object(transcode, "decode_lz4", refuse):
        for position in positions(form):
            shape = form.shape(position)
            plan, data = plan_of(case.objects, form, shape), answer(case.objects, form, position)
            assert plan is not None
            assert data is not None
            stored = case.objects[file_key(level.folder, shape.file_xyz)]
            for piece in plan.pieces:
                assert data[piece.start : piece.end].endswith(stored[piece.source : piece.source_end])


def test_a_shard_of_whole_blocks_is_one_piece_of_the_file() -> None:
    case = whole_blocks()
    form = ArrayForm(case.layer, case.layer.levels[0], "v3")
    plan = plan_of(case.objects, form, form.shape((0, 0, 0)))
    assert plan is not None
    assert len(plan.pieces) == 64
    assert all(one.source_end == other.source for one, other in itertools.pairwise(plan.pieces))


def test_a_range_touches_only_the_blocks_that_it_needs() -> None:
    case = whole_blocks()
    form = ArrayForm(case.layer, case.layer.levels[0], "v3")
    plan = plan_of(case.objects, form, form.shape((0, 0, 0)))
    assert plan is not None
    third = plan.pieces[3]
    assert plan.touched(ByteRange(third.start, third.end)) == (third,)
    assert plan.touched(ByteRange(third.end - 1, third.end + 1)) == plan.pieces[3:5]
    assert plan.touched(ByteRange(plan.length - len(plan.index), plan.length)) == ()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_stream_exactly_as_long_as_its_block_is_decoded(dialect: Dialect) -> None:
    found = noise((8, 8, 8), seed=3).reshape(-1)
    for zeros in range(64):
        found[200 : 200 + zeros] = 0
        if len(encode_lz4(found.tobytes(), high=False)) == 512:
            break
    else:
        pytest.fail("no such block found")
    case = build(found.reshape(8, 8, 8), (0, 0, 0), block_side=8, file_side=1, block_type=BlockType.LZ4)
    form = ArrayForm(case.layer, case.layer.levels[0], dialect)
    data = answer(case.objects, form, (0, 0, 0))
    assert data is not None
    assert len(data) == blosc1.RAW_HEADER_BYTES + 512
    np.testing.assert_array_equal(array_of(data, case.layer, case.layer.levels[0], dialect), case.expected(0))


# --- large blocks ---


@pytest.mark.parametrize(
    ("dtype", "channels", "side", "chunk"),
    [("uint8", 1, 256, (128, 128, 128)), ("uint32", 1, 128, (128, 128, 64)), ("uint8", 3, 128, (128, 128, 64))],
)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_block_above_4_mib_is_cut(dtype: str, channels: int, side: int, chunk: Vec3, dialect: Dialect) -> None:
    volume = np.zeros((70, 140, side - 10) if channels == 1 else (70, 140, side - 10, channels), dtype)
    volume[::7, ::5, ::3] = ramp((1, 1, 1), dtype, channels=channels)[0, 0, 0] + 4
    case = build(volume, (5, 6, 7), block_side=side, file_side=1, block_type=BlockType.LZ4)
    (level,) = case.layer.levels
    assert (level.chunk, level.shard) == (chunk, None)
    form = ArrayForm(case.layer, level, dialect)
    whole = case.expected(0)
    for x, y, z in ((0, 0, 0), tuple(n - 1 for n in form.grid)):
        got = array_of(answer(case.objects, form, (x, y, z)), case.layer, level, dialect)
        depth, height, width = got.shape[-3:]
        want = whole[..., z * depth : (z + 1) * depth, y * height : (y + 1) * height, x * width : (x + 1) * width]
        np.testing.assert_array_equal(got[tuple(slice(0, n) for n in want.shape)], want)


# --- damage ---


def cut_case() -> tuple[Built, ArrayForm, str]:
    """A layer whose box cuts its only block, so that it must be decoded."""
    case = build(ramp((5, 5, 5)), (1, 1, 1), block_side=8, file_side=1, block_type=BlockType.LZ4)
    return case, ArrayForm(case.layer, case.layer.levels[0], "v3"), "em/1/z0/y0/x0.wkw"


def test_stored_bytes_that_end_too_soon_are_damage() -> None:
    case, form, key = cut_case()
    plan = plan_of(case.objects, form, form.shape((0, 0, 0)))
    assert plan is not None
    (piece,) = plan.pieces
    stored = Stored(case.objects[key][piece.source : piece.source_end - 1], piece.source, key)
    with pytest.raises(CorruptFile, match="cut short"):
        form.assemble(plan, ByteRange(0, plan.length), stored)


def test_a_block_that_must_be_decoded_and_cannot_be_is_damage() -> None:
    case, form, key = cut_case()
    case.objects[key] = case.objects[key][:-20] + b"\xff" * 20
    with pytest.raises(CorruptFile):
        answer(case.objects, form, (0, 0, 0))


def test_damage_does_not_hide_the_length() -> None:
    case, form, key = cut_case()
    whole = answer(case.objects, form, (0, 0, 0))
    assert whole is not None
    case.objects[key] = case.objects[key][:-20] + b"\xff" * 20
    plan = plan_of(case.objects, form, form.shape((0, 0, 0)))
    assert plan is not None
    assert plan.length == len(whole)


# --- whole trees ---

TREES = [
    pytest.param("uint8", 1, id="uint8"),
    pytest.param("uint8", 3, id="RGB"),
    pytest.param("uint16", 2, id="uint16-2"),
    pytest.param("int32", 1, id="int32"),
    pytest.param("uint64", 1, id="uint64"),
    pytest.param("float32", 1, id="float"),
    pytest.param("float64", 3, id="double-3"),
]


@pytest.mark.parametrize("read", [voxels_by_zarr, voxels_by_tensorstore])
@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(("dtype", "channels"), TREES)
def test_readers_see_every_voxel_of_every_level(read: Reader, dialect: Dialect, dtype: str, channels: int) -> None:
    volume = ramp((40, 30, 20), dtype, channels=channels)
    volume[10:] = noise((40, 30, 20), dtype, channels=channels)[10:]
    case = build(
        volume,
        (21, 34, 9),
        mags=(MAG_1, Mag(2, 2, 1), Mag(4, 4, 2)),
        view_box=BoundingBox((25, 0, 10), (33, 60, 30)),
        block_side=4,
        file_side=4,
    )
    tree = zarr_tree(case.objects, case.layer, dialect)
    for number in range(3):
        np.testing.assert_array_equal(read(tree, dialect, str(number)), case.expected(number))


@pytest.mark.parametrize("read", [voxels_by_zarr, voxels_by_tensorstore])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_readers_see_zero_where_a_file_was_never_written(read: Reader, dialect: Dialect) -> None:
    case = build(ramp((40, 40, 40)), (0, 0, 0), block_side=4, file_side=4)
    del case.objects["em/1/z1/y0/x1.wkw"]
    expected = case.expected(0).copy()
    expected[16:32, 0:16, 16:32] = 0
    np.testing.assert_array_equal(read(zarr_tree(case.objects, case.layer, dialect), dialect, "0"), expected)


def test_an_answer_has_no_more_bytes_than_its_blocks_and_their_headers() -> None:
    case = whole_blocks(block_type=BlockType.RAW)
    form = ArrayForm(case.layer, case.layer.levels[0], "v3")
    data = answer(case.objects, form, (0, 0, 0))
    assert data is not None
    assert len(data) == 64 * (blosc1.RAW_HEADER_BYTES + math.prod((8, 8, 8)) * 2) + index_bytes(64)
