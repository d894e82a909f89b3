"""Our own WKW writer (what it writes is read by the `wkw` package in test_wkw)."""

from __future__ import annotations

import io
from typing import Any

import pytest

from builders.wkw_files import wkw_file
from builders.zarr_trees import spans_of
from zarrlink.formats.lz4_block import decode_lz4
from zarrlink.formats.wkw import BlockType, WkwHeader
from zarrlink.formats.wkw_writer import wkw_header, write_wkw_file

GOOD: dict[str, Any] = {
    "block_side": 4,
    "file_side": 2,
    "block_type": BlockType.LZ4,
    "voxel_type": 2,
    "channels": 1,
}


@pytest.mark.parametrize(
    "wrong",
    [
        {"block_side": 0},
        {"block_side": 3},
        {"block_side": 2**16},
        {"file_side": 0},
        {"file_side": 12},
        {"file_side": 2**16},
        {"channels": 0},
        {"channels": -1},
        {"channels": 128},
        {"voxel_type": 0},
        {"voxel_type": 11},
    ],
    ids=str,
)
def test_what_does_not_fit_a_header_is_refused_with_a_value_error(wrong: dict[str, int]) -> None:
    wkw_header(**GOOD)
    with pytest.raises(ValueError, match=r"WKW header|voxel type"):
        wkw_header(**{**GOOD, **wrong})


@pytest.mark.parametrize("block_type", BlockType)
def test_the_length_of_the_file_is_given_back(block_type: BlockType) -> None:
    out = io.BytesIO()
    length = write_wkw_file(out, wkw_header(**{**GOOD, "block_type": block_type}), lambda _: None)
    assert length == len(out.getvalue())


@pytest.mark.parametrize("block_type", BlockType)
def test_a_data_file_names_the_offset_of_its_first_block(block_type: BlockType) -> None:
    header = WkwHeader.from_bytes(wkw_file(wkw_header(**{**GOOD, "block_type": block_type}), {}))
    assert header.data_offset == header.first_block_offset


@pytest.mark.parametrize("block_type", [BlockType.LZ4, BlockType.LZ4HC])
def test_an_empty_block_is_stored_as_zeros(block_type: BlockType) -> None:
    data = wkw_file(wkw_header(**{**GOOD, "block_type": block_type}), {})
    start, end = spans_of(data, 5, 1)
    assert decode_lz4(data[start:end], 128) == bytes(128)


def test_a_block_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="block 1 has 127 bytes, not 128"):
        wkw_file(wkw_header(**GOOD), {(1, 0, 0): bytes(127)})
