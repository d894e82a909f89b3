"""Writing WKW files: for samples, tests and exports."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import BinaryIO

from zarrlink.formats.lz4_block import encode_lz4
from zarrlink.formats.wkw import BlockType, WkwHeader, morton_position
from zarrlink.geometry import Vec3


def wkw_header(
    *, block_side: int, file_side: int, block_type: BlockType, voxel_type: int, channels: int = 1
) -> WkwHeader:
    """A checked header for new files. `file_side` in blocks; both sides are powers of two up to 2^15."""
    header = WkwHeader(block_side, file_side, block_type, voxel_type, 0, 0)
    header = replace(header, voxel_bytes=channels * header.item_bytes)
    if WkwHeader.from_bytes(header.to_bytes()) != header:
        raise ValueError(f"sides {block_side} and {file_side} or {channels} channels do not fit a WKW header")
    return header


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
