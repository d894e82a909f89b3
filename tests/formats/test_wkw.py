"""WKW files: header, Morton order, jump table; the `wkw` package is the oracle."""

from __future__ import annotations

import itertools
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.wkw_files import (
    DTYPES,
    Volume,
    mag_folder,
    noise,
    ramp,
    read_by_reference,
    reference_mag_folder,
    wkw_file,
    write_tree,
)
from builders.zarr_trees import spans_of
from zarrlink.errors import CorruptFile
from zarrlink.formats.lz4_block import decode_lz4
from zarrlink.formats.wkw import (
    HEADER_BYTES,
    VOXEL_TYPES,
    BlockType,
    TableSlice,
    WkwHeader,
    file_key,
    morton_index,
    morton_position,
    raw_spans,
    run_sides,
    stored_bytes_bound,
    table_range,
)
from zarrlink.formats.wkw_writer import wkw_header

GOOD_HEADER = b"WKW\x01\x55\x02\x03\x04" + bytes(8)
FIRST_NINE = ((0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 0), (0, 0, 1), (1, 0, 1), (0, 1, 1), (1, 1, 1), (2, 0, 0))
coordinates = st.integers(0, 2**15 - 1)


def small_header(block_type: BlockType = BlockType.LZ4) -> WkwHeader:
    """8 blocks of 4^3 one-byte voxels."""
    return wkw_header(block_side=4, file_side=2, block_type=block_type, voxel_type=1)


def small_file(block_type: BlockType = BlockType.LZ4) -> bytes:
    blocks = {morton_position(n): bytes([n + 1]) * (8 * n) + bytes(64 - 8 * n) for n in range(8)}
    return wkw_file(small_header(block_type), blocks)


def table_of(data: bytes, first: int = 0, count: int = 8, *, file_bytes: int | None = None) -> TableSlice:
    start, end = table_range(first, count)
    return TableSlice(small_header(), "k", len(data) if file_bytes is None else file_bytes, first, data[start:end])


def with_boundary(data: bytes, number: int, value: int) -> bytes:
    """The file with another boundary: 0 is the start of block 0, n the end of block n - 1."""
    return data[: 8 + 8 * number] + struct.pack("<Q", value) + data[16 + 8 * number :]


def boundaries(data: bytes) -> list[int]:
    return list(struct.unpack_from("<9Q", data, 8))


# --- header ---


@pytest.mark.parametrize("block_type", BlockType)
def test_a_header_round_trips_for_every_pair_of_sides(block_type: BlockType) -> None:
    for block_log2, file_log2 in itertools.product(range(16), range(16)):
        header = WkwHeader(1 << block_log2, 1 << file_log2, block_type, 1, 1, 0)
        assert WkwHeader.from_bytes(header.to_bytes()) == header
        assert header.to_bytes()[4] == block_log2 | file_log2 << 4


@pytest.mark.parametrize("voxel_type", VOXEL_TYPES)
def test_a_header_round_trips_for_every_number_of_channels(voxel_type: int) -> None:
    item_bytes = VOXEL_TYPES[voxel_type][1]
    for channels in range(1, 255 // item_bytes + 1):
        for offset in (0, 16 + 8 * 32**3):
            header = WkwHeader(32, 32, BlockType.LZ4, voxel_type, channels * item_bytes, offset)
            assert WkwHeader.from_bytes(header.to_bytes()) == header
            assert header.channels == channels


@given(st.binary(min_size=HEADER_BYTES, max_size=HEADER_BYTES).map(lambda data: b"WKW\x01" + data[4:]))
def test_sixteen_bytes_are_a_header_that_writes_them_again_or_damage(data: bytes) -> None:
    try:
        header = WkwHeader.from_bytes(data)
    except CorruptFile:
        return
    assert header.to_bytes() == data


def test_the_bytes_of_a_header_are_those_of_the_specification() -> None:
    header = WkwHeader(32, 8, BlockType.LZ4HC, 3, 4, 16 + 8 * 512)
    assert header.to_bytes() == b"WKW" + bytes([1, 0x35, 3, 3, 4]) + (16 + 8 * 512).to_bytes(8, "little")


@pytest.mark.parametrize(
    ("at", "value", "named"),
    [
        pytest.param(0, b"XKW", "not a WKW file", id="magic"),
        pytest.param(3, b"\x00", "version", id="version-0"),
        pytest.param(3, b"\x02", "version", id="version-2"),
        pytest.param(5, b"\x00", "block type", id="block-type-0"),
        pytest.param(5, b"\x04", "block type", id="block-type-4"),
        pytest.param(6, b"\x00", "voxel type", id="voxel-type-0"),
        pytest.param(6, b"\x0b", "voxel type", id="voxel-type-11"),
        pytest.param(7, b"\x00", "voxel size", id="no-voxel-bytes"),
        pytest.param(7, b"\x06", "voxel size", id="one-and-a-half-channels"),
        pytest.param(8, struct.pack("<Q", 16), "data offset", id="data-offset-of-a-raw-file"),
        pytest.param(8, struct.pack("<Q", 2**63), "data offset", id="data-offset-far-away"),
    ],
)
def test_a_wrong_field_is_refused_by_name(at: int, value: bytes, named: str) -> None:
    WkwHeader.from_bytes(GOOD_HEADER)
    with pytest.raises(CorruptFile) as refused:
        WkwHeader.from_bytes(GOOD_HEADER[:at] + value + GOOD_HEADER[at + len(value) :], key="secret/header.wkw")
    assert named in refused.value.what
    assert refused.value.key == "secret/header.wkw"
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("length", range(HEADER_BYTES))
def test_a_header_that_is_cut_short_is_refused(length: int) -> None:
    with pytest.raises(CorruptFile, match="cut short"):
        WkwHeader.from_bytes(GOOD_HEADER[:length])


def test_files_of_a_folder_are_of_its_kind_whatever_their_data_offset() -> None:
    folder, file = WkwHeader.from_bytes(GOOD_HEADER), WkwHeader.from_bytes(GOOD_HEADER[:8] + b"\x10\0\4\0\0\0\0\0")
    assert folder.same_kind(file)


@pytest.mark.parametrize("at", [4, 5, 6, 7])
def test_files_of_another_kind_do_not_belong_to_a_folder(at: int) -> None:
    other = {4: b"\x45", 5: b"\x03", 6: b"\x09", 7: b"\x08"}[at]
    assert not WkwHeader.from_bytes(GOOD_HEADER).same_kind(
        WkwHeader.from_bytes(GOOD_HEADER[:at] + other + GOOD_HEADER[at + 1 :])
    )


def test_a_file_is_addressed_by_z_y_x() -> None:
    assert file_key("color/1", (3, 0, 12)) == "color/1/z12/y0/x3.wkw"


# --- Morton order ---


def test_the_first_nine_blocks_are_those_of_the_specification() -> None:
    assert tuple(map(morton_position, range(9))) == FIRST_NINE


@given(coordinates, coordinates, coordinates)
def test_a_block_has_one_place(x: int, y: int, z: int) -> None:
    assert morton_position(morton_index(x, y, z)) == (x, y, z)


@given(st.integers(0, 2**45 - 1))
def test_a_place_holds_one_block(index: int) -> None:
    assert morton_index(*morton_position(index)) == index


@given(coordinates, coordinates, coordinates)
def test_the_bits_of_z_y_x_alternate(x: int, y: int, z: int) -> None:
    interleaved = "".join(bit for bits in zip(f"{z:016b}", f"{y:016b}", f"{x:016b}", strict=True) for bit in bits)
    assert morton_index(x, y, z) == int(interleaved, 2)


@pytest.mark.parametrize("block", [(256, 0, 0), (0, 257, 0), (0, 0, 300), (255, 256, 32767), (32767, 32767, 32767)])
def test_coordinates_above_a_byte_keep_their_place(block: tuple[int, int, int]) -> None:
    assert morton_position(morton_index(*block)) == block


def test_the_blocks_of_a_file_fill_its_places_once() -> None:
    places = sorted(morton_index(x, y, z) for x, y, z in itertools.product(range(16), repeat=3))
    assert places == list(range(16**3))


@given(st.integers(0, 9), st.integers(0, 2**20))
def test_an_aligned_run_is_a_box_of_blocks(log2: int, number: int) -> None:
    first = number << log2
    corner, sides = morton_position(first), run_sides(log2)
    box = itertools.product(*(range(start, start + side) for start, side in zip(corner, sides, strict=True)))
    assert {morton_position(n) for n in range(first, first + (1 << log2))} == set(box)


@pytest.mark.parametrize(
    ("log2", "sides"), [(0, (1, 1, 1)), (1, (2, 1, 1)), (2, (2, 2, 1)), (3, (2, 2, 2)), (6, (4, 4, 4))]
)
def test_runs_grow_along_x_then_y_then_z(log2: int, sides: tuple[int, int, int]) -> None:
    assert run_sides(log2) == sides


# --- jump table ---


@given(st.integers(0, 7), st.integers(1, 8))
def test_the_spans_of_a_run_are_its_piece_of_the_table(first: int, count: int) -> None:
    count = min(count, 8 - first)
    data = small_file()
    assert list(spans_of(data, first, count)) == boundaries(data)[first : first + count + 1]


def test_spans_bound_the_stored_blocks() -> None:
    data = small_file()
    spans = spans_of(data, 0, 8)
    blocks = [decode_lz4(data[start:end], 64) for start, end in itertools.pairwise(spans)]
    assert blocks == [bytes([n + 1]) * (8 * n) + bytes(64 - 8 * n) for n in range(8)]


def test_a_run_outside_its_slice_is_cut_short() -> None:
    table = table_of(small_file(), 2, 4)
    assert table.spans(2, 4)
    for first, count in ((1, 1), (2, 5), (6, 1)):
        with pytest.raises(CorruptFile, match="cut short"):
            table.spans(first, count)


@pytest.mark.parametrize("missing", range(1, 9))
def test_a_truncated_table_is_damage(missing: int) -> None:
    data = small_file()
    table = TableSlice(small_header(), "k", len(data), 0, data[8 : 8 + 72 - missing])
    with pytest.raises(CorruptFile, match="cut short"):
        table.spans(0, 8)


def test_a_table_that_runs_backwards_is_damage() -> None:
    data = small_file()
    ends = boundaries(data)
    with pytest.raises(CorruptFile, match="impossible block length"):
        table_of(with_boundary(data, 4, ends[3] - 1)).spans(3, 1)


def test_a_block_without_bytes_is_damage() -> None:
    data = small_file()
    with pytest.raises(CorruptFile, match="impossible block length"):
        table_of(with_boundary(data, 4, boundaries(data)[3])).spans(3, 1)


@pytest.mark.parametrize(("block", "bound"), [(1, 17), (254, 270), (255, 272), (32**3, 32**3 + 128 + 16)])
def test_the_longest_stream_of_a_block_is_that_of_lz4_compress_bound(block: int, bound: int) -> None:
    assert stored_bytes_bound(block) == bound


def test_a_block_longer_than_lz4_can_make_it_is_damage() -> None:
    data, limit = small_file() + bytes(200), stored_bytes_bound(64)
    start = boundaries(data)[3]
    assert table_of(with_boundary(data, 4, start + limit)).spans(3, 1)
    with pytest.raises(CorruptFile, match="impossible block length"):
        table_of(with_boundary(data, 4, start + limit + 1)).spans(3, 1)


def test_a_table_that_points_behind_the_end_of_the_file_is_damage() -> None:
    data = small_file()
    with pytest.raises(CorruptFile, match="behind the file's end"):
        table_of(data, file_bytes=boundaries(data)[4] - 1).spans(3, 1)


@pytest.mark.parametrize("first", [0, 1])
def test_a_table_that_starts_inside_itself_is_damage(first: int) -> None:
    data = with_boundary(small_file(), first, 16 + 8 * 8 - 1)
    with pytest.raises(CorruptFile, match="wrong place"):
        table_of(data).spans(first, 1)


def test_block_0_starts_right_behind_the_table() -> None:
    data = with_boundary(small_file(), 0, 16 + 8 * 8 + 1)
    with pytest.raises(CorruptFile, match="wrong place"):
        table_of(data).spans(0, 1)


def test_a_file_longer_than_its_table_says_is_damage() -> None:
    data = small_file()
    assert table_of(data).spans(7, 1)
    with pytest.raises(CorruptFile, match="longer than its jump table"):
        table_of(data, file_bytes=len(data) + 1).spans(7, 1)


@pytest.mark.parametrize("cut", [1, 8, 100])
def test_a_truncated_file_is_damage_where_its_last_block_is_read(cut: int) -> None:
    data = small_file()
    with pytest.raises(CorruptFile):
        table_of(data, file_bytes=len(data) - cut).spans(7, 1)


@given(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 1000), min_size=9, max_size=9), st.integers(0, 1000))
def test_any_table_gives_lengths_inside_the_file_or_damage(entries: list[int], file_bytes: int) -> None:
    table = TableSlice(small_header(), "k", file_bytes, 0, struct.pack("<9Q", *entries))
    for first in range(8):
        try:
            start, end = table.spans(first, 1)
        except CorruptFile:
            continue
        assert 16 + 8 * 8 <= start < end <= file_bytes
        assert end - start <= stored_bytes_bound(64)


def test_blocks_of_a_raw_file_lie_where_arithmetic_says() -> None:
    data = small_file(BlockType.RAW)
    assert raw_spans(small_header(BlockType.RAW), len(data), 3, 2) == (16 + 3 * 64, 16 + 4 * 64, 16 + 5 * 64)


@pytest.mark.parametrize("difference", [-1, 1, 64])
def test_a_raw_file_of_another_length_is_damage(difference: int) -> None:
    data = small_file(BlockType.RAW)
    with pytest.raises(CorruptFile, match="wrong length"):
        raw_spans(small_header(BlockType.RAW), len(data) + difference, 0, 1)


# --- the reference implementation ---

EVERY_KIND = [
    pytest.param(dtype, channels, block_type, id=f"{dtype}-{channels}-{block_type.name}")
    for dtype, channels, block_type in itertools.product(DTYPES, (1, 2, 3), BlockType)
]


def sample(dtype: str, channels: int) -> Volume:
    """Half of it compressible, half not; not on block or file borders."""
    mixed = ramp((19, 11, 9), dtype, channels=channels)
    mixed[4:] = noise((19, 11, 9), dtype, channels=channels)[4:]
    return mixed


@pytest.mark.parametrize(("dtype", "channels", "block_type"), EVERY_KIND)
def test_the_reference_reads_our_files_voxel_by_voxel(
    dtype: str, channels: int, block_type: BlockType, tmp_path: Path
) -> None:
    volume = sample(dtype, channels)
    write_tree(mag_folder(volume, (5, 14, 3), block_side=4, file_side=4, block_type=block_type), tmp_path)
    seen = read_by_reference(tmp_path, (5, 14, 3), (19, 11, 9))
    assert seen.dtype == volume.dtype
    np.testing.assert_array_equal(seen, volume)
    # And nothing around it.
    assert not read_by_reference(tmp_path, (0, 0, 0), (24, 14, 12)).any()


@pytest.mark.parametrize(("dtype", "channels", "block_type"), EVERY_KIND)
def test_we_read_files_of_the_reference_voxel_by_voxel(
    dtype: str, channels: int, block_type: BlockType, tmp_path: Path
) -> None:
    volume = sample(dtype, channels)
    folder = tmp_path / "mag"
    reference_mag_folder(folder, volume, (5, 14, 3), block_side=4, file_side=4, block_type=block_type)
    np.testing.assert_array_equal(our_reading(folder, (5, 14, 3), (19, 11, 9)), volume)


def our_reading(folder: Path, top_left: tuple[int, int, int], size: tuple[int, int, int]) -> Volume:
    header = WkwHeader.from_bytes((folder / "header.wkw").read_bytes())
    block, file = header.block_side, header.block_side * header.file_side
    ends = [corner + length for corner, length in zip(top_left, size, strict=True)]
    padded = [-(-end // file) * file for end in ends]
    whole = np.zeros((*padded[::-1], header.channels), header.dtype)
    for place in itertools.product(*(range(length // file) for length in padded)):
        path = folder / file_key("", place).lstrip("/")
        if not path.exists():
            continue
        data = path.read_bytes()
        assert WkwHeader.from_bytes(data).same_kind(header)
        spans = spans_of(data, 0, header.blocks)
        for n, (start, end) in enumerate(itertools.pairwise(spans)):
            raw = decode_lz4(data[start:end], header.block_bytes) if header.compressed else data[start:end]
            x, y, z = (p * file + b * block for p, b in zip(place, morton_position(n), strict=True))
            voxels = np.frombuffer(raw, header.dtype).reshape(block, block, block, header.channels)
            whole[z : z + block, y : y + block, x : x + block] = voxels
    (x, y, z), (ex, ey, ez) = top_left, ends
    cut = whole[z:ez, y:ey, x:ex]
    return cut[..., 0] if header.channels == 1 else cut
