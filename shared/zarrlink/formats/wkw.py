"""WKW files: header, jump table, Morton order, block ranges.

Source: the WKW format description (scalableminds/webknossos-wrap, README.md, "WKW wrapper" sections) and its
reference code, which writes voxel types 7 to 10 too. All numbers are little-endian.

    offset  size  field
    0       3     "WKW"
    3       1     version, 1
    4       1     low nibble: log2(block side in voxels); high nibble: log2(blocks per file side)
    5       1     block type: 1 raw, 2 LZ4, 3 LZ4HC
    6       1     voxel type
    7       1     bytes per voxel, all channels together
    8       8     offset of block 0; 0 in header.wkw
    16      8 N   jump table (compressed files only): absolute end of each of the N blocks, in Morton order

Inside a block x runs fastest, then y, then z; the channels of a voxel lie together.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import Final

from zarrlink.errors import CorruptFile
from zarrlink.geometry import Vec3

HEADER_BYTES: Final = 16
BOUNDARY_BYTES: Final = 8
_HEADER: Final = struct.Struct("<3sBBBBBQ")


class BlockType(IntEnum):
    """How the blocks of a file are stored."""

    RAW = 1
    LZ4 = 2
    LZ4HC = 3


# voxel type -> (name as in Zarr v3, bytes)
VOXEL_TYPES: Final[dict[int, tuple[str, int]]] = {
    1: ("uint8", 1),
    2: ("uint16", 2),
    3: ("uint32", 4),
    4: ("uint64", 8),
    5: ("float32", 4),
    6: ("float64", 8),
    7: ("int8", 1),
    8: ("int16", 2),
    9: ("int32", 4),
    10: ("int64", 8),
}


@dataclass(frozen=True, slots=True)
class WkwHeader:
    """The 16 header bytes. `block_side` in voxels, `file_side` in blocks, `voxel_bytes` incl. all channels."""

    block_side: int
    file_side: int
    block_type: BlockType
    voxel_type: int
    voxel_bytes: int
    data_offset: int

    @property
    def dtype(self) -> str:
        return VOXEL_TYPES[self.voxel_type][0]

    @property
    def item_bytes(self) -> int:
        return VOXEL_TYPES[self.voxel_type][1]

    @property
    def channels(self) -> int:
        return self.voxel_bytes // self.item_bytes

    @property
    def blocks(self) -> int:
        """Blocks in a file."""
        return self.file_side**3

    @property
    def block_bytes(self) -> int:
        """Length of a decoded block."""
        return self.block_side**3 * self.voxel_bytes

    @property
    def compressed(self) -> bool:
        return self.block_type is not BlockType.RAW

    @property
    def first_block_offset(self) -> int:
        """Where block 0 of a data file of this kind starts."""
        return HEADER_BYTES + (BOUNDARY_BYTES * self.blocks if self.compressed else 0)

    def same_kind(self, other: WkwHeader) -> bool:
        """Whether files with these two headers belong to one layer folder."""
        return self._kind() == other._kind()

    def _kind(self) -> tuple[int, ...]:
        return self.block_side, self.file_side, self.block_type, self.voxel_type, self.voxel_bytes

    def to_bytes(self) -> bytes:
        sides = (self.block_side.bit_length() - 1) | (self.file_side.bit_length() - 1) << 4
        fields = (b"WKW", 1, sides, self.block_type, self.voxel_type, self.voxel_bytes, self.data_offset)
        return _HEADER.pack(*fields)

    @classmethod
    def from_bytes(cls, data: bytes, *, key: str = "") -> WkwHeader:
        """Parse the first 16 bytes of a file. Raises CorruptFile on anything that is not a WKW header."""
        if len(data) < HEADER_BYTES:
            raise CorruptFile("a WKW header is cut short", key=key, expected=HEADER_BYTES, found=len(data))
        magic, version, sides, block_type, voxel_type, voxel_bytes, data_offset = _HEADER.unpack_from(data)
        if magic != b"WKW":
            raise CorruptFile("not a WKW file", key=key, expected="WKW", found=magic.hex())
        if version != 1:
            raise CorruptFile("unknown WKW version", key=key, expected=1, found=version)
        if block_type not in (1, 2, 3):
            raise CorruptFile("unknown WKW block type", key=key, expected="1 to 3", found=block_type)
        if voxel_type not in VOXEL_TYPES:
            raise CorruptFile("unknown WKW voxel type", key=key, expected="1 to 10", found=voxel_type)
        if voxel_bytes == 0 or voxel_bytes % VOXEL_TYPES[voxel_type][1]:
            raise CorruptFile("WKW voxel size does not fit its type", key=key, found=voxel_bytes)
        header = cls(1 << (sides & 15), 1 << (sides >> 4), BlockType(block_type), voxel_type, voxel_bytes, data_offset)
        if data_offset not in (0, header.first_block_offset):
            expected = header.first_block_offset
            raise CorruptFile("WKW data offset is wrong", key=key, expected=expected, found=data_offset)
        return header


def file_key(folder: str, file_xyz: Vec3) -> str:
    """Where the data file (x, y, z) of a mag folder lies."""
    x, y, z = file_xyz
    return f"{folder}/z{z}/y{y}/x{x}.wkw"


def stored_bytes_bound(block_bytes: int) -> int:
    """The most bytes that LZ4 can need for a block (LZ4_compressBound); a longer one is a lie."""
    return block_bytes + block_bytes // 255 + 16


def table_range(first_block: int, block_count: int) -> tuple[int, int]:
    """The bytes [start, end) of a compressed file that bound blocks first .. first + count - 1.

    The header's data offset is the boundary before block 0, so N + 1 boundaries lie at byte 8.
    """
    start = 8 + BOUNDARY_BYTES * first_block
    return start, start + BOUNDARY_BYTES * (block_count + 1)


@dataclass(frozen=True, slots=True)
class TableSlice:
    """A piece of one compressed file's jump table, checked as it is used.

    `boundaries`: block_count + 1 uint64, block n spans [boundaries[n - first_block], the next).
    """

    header: WkwHeader
    key: str
    file_bytes: int
    first_block: int
    boundaries: bytes

    def spans(self, first: int, count: int) -> tuple[int, ...]:
        """The count + 1 boundaries of the consecutive blocks first .. first + count - 1.

        Raises CorruptFile where the table runs backwards, points outside the file or at impossible lengths.
        """
        offset = BOUNDARY_BYTES * (first - self.first_block)
        if offset < 0 or offset + BOUNDARY_BYTES * (count + 1) > len(self.boundaries):
            raise CorruptFile("a jump table is cut short", key=self.key)
        bounds: tuple[int, ...] = struct.unpack_from(f"<{count + 1}Q", self.boundaries, offset)
        header, limit = self.header, stored_bytes_bound(self.header.block_bytes)
        if bounds[0] < header.first_block_offset or (first == 0 and bounds[0] != header.first_block_offset):
            raise CorruptFile(
                "a jump table starts at the wrong place",
                key=self.key,
                expected=header.first_block_offset,
                found=bounds[0],
            )
        for start, end in pairwise(bounds):
            if not 0 < end - start <= limit:
                raise CorruptFile(
                    "a jump table holds an impossible block length",
                    key=self.key,
                    expected=f"1 to {limit}",
                    found=end - start,
                )
        if bounds[-1] > self.file_bytes:
            raise CorruptFile(
                "a jump table points behind the file's end", key=self.key, expected=self.file_bytes, found=bounds[-1]
            )
        if first + count == header.blocks and bounds[-1] != self.file_bytes:
            raise CorruptFile(
                "a file is longer than its jump table says", key=self.key, expected=bounds[-1], found=self.file_bytes
            )
        return bounds


def raw_spans(header: WkwHeader, file_bytes: int, first: int, count: int, *, key: str = "") -> tuple[int, ...]:
    """As TableSlice.spans, for a raw file, whose length is fixed by its header."""
    expected = HEADER_BYTES + header.blocks * header.block_bytes
    if file_bytes != expected:
        raise CorruptFile("a raw WKW file has the wrong length", key=key, expected=expected, found=file_bytes)
    return tuple(HEADER_BYTES + header.block_bytes * (first + i) for i in range(count + 1))


def _spread(value: int) -> int:
    spread = 0
    for bit in range(8):
        spread |= (value >> bit & 1) << 3 * bit
    return spread


_SPREAD: Final = tuple(_spread(value) for value in range(256))


def morton_index(x: int, y: int, z: int) -> int:
    """The place of block (x, y, z) in its file: bit k of x goes to bit 3k, of y to 3k + 1, of z to 3k + 2."""
    low = _SPREAD[x & 255] | _SPREAD[y & 255] << 1 | _SPREAD[z & 255] << 2
    if x < 256 and y < 256 and z < 256:
        return low
    return low | (_SPREAD[x >> 8] | _SPREAD[y >> 8] << 1 | _SPREAD[z >> 8] << 2) << 24


def morton_position(index: int) -> Vec3:
    """The block (x, y, z) at a place in the file: the inverse of `morton_index`."""
    x = y = z = 0
    for bit in range(16):
        x |= (index >> 3 * bit & 1) << bit
        y |= (index >> 3 * bit + 1 & 1) << bit
        z |= (index >> 3 * bit + 2 & 1) << bit
    return x, y, z


def run_sides(length_log2: int) -> Vec3:
    """The box (x, y, z) in blocks of an aligned Morton run of 2^length_log2 blocks: 1, 2x1x1, 2x2x1, 2x2x2, ..."""
    return 1 << (length_log2 + 2) // 3, 1 << (length_log2 + 1) // 3, 1 << length_log2 // 3
