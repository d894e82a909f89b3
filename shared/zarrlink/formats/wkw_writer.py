"""Writing WKW files: for samples, tests and exports."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import BinaryIO, Final

from zarrlink.formats.lz4_block import encode_lz4
from zarrlink.formats.wkw import VOXEL_TYPES, BlockType, WkwHeader, morton_position
from zarrlink.geometry import Vec3

_SIDES: Final = [1 << power for power in range(16)]


def wkw_header(
    *, block_side: int, file_side: int, block_type: BlockType, voxel_type: int, channels: int = 1
) -> WkwHeader:
    """A checked header for new files. `file_side` in blocks; both sides are powers of two up to 2^15."""
    if block_side not in _SIDES or file_side not in _SIDES:
        raise ValueError(
            f"a WKW header has sides of powers of two up to {_SIDES[-1]}, not {block_side} and {file_side}"
        )
    if voxel_type not in VOXEL_TYPES:
        raise ValueError(f"a voxel type is a number from 1 to {len(VOXEL_TYPES)}, not {voxel_type}")
    voxel_bytes = channels * VOXEL_TYPES[voxel_type][1]
    if not 0 < voxel_bytes < 256:
        raise ValueError(f"{channels} channels of {VOXEL_TYPES[voxel_type][0]} do not fit a WKW header")
    return WkwHeader(block_side, file_side, block_type, voxel_type, voxel_bytes, 0)


def write_wkw_file(out: BinaryIO, header: WkwHeader, block_at: Callable[[Vec3], bytes | None]) -> int:
    """Write one data file: every block, in Morton order, the jump table last. Returns the bytes written.

    `block_at((x, y, z))` gives a decoded block (x fastest, channels of a voxel together), None for an empty one.
    `out` must be seekable and empty.
    """
    start = replace(header, data_offset=header.first_block_offset)
    out.write(start.to_bytes())
    out.write(bytes(header.first_block_offset - out.tell()))
    boundaries = []
    for index in range(header.blocks):
        block = block_at(morton_position(index))
        if block is not None and len(block) != header.block_bytes:
            raise ValueError(f"block {index} has {len(block)} bytes, not {header.block_bytes}")
        out.write(_empty_block(header) if block is None else _stored(header, block))
        boundaries.append(out.tell())
    length = out.tell()
    if header.compressed:
        out.seek(16)
        out.write(struct.pack(f"<{len(boundaries)}Q", *boundaries))
    return length


def _stored(header: WkwHeader, block: bytes) -> bytes:
    if not header.compressed:
        return block
    return encode_lz4(block, high=header.block_type is BlockType.LZ4HC)


@cache
def _empty_block(header: WkwHeader) -> bytes:
    return _stored(header, bytes(header.block_bytes))
