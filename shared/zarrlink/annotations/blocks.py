"""Blocks on their way from an upload into a pack."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

from zarrlink.errors import CorruptFile
from zarrlink.formats.block_pack import Kind
from zarrlink.formats.lz4_block import decode_lz4, encode_lz4
from zarrlink.formats.wkw import stored_bytes_bound
from zarrlink.geometry import Mag

MAX_BLOCK_BYTES: Final = 2**27
"""256^3 voxels of 8 bytes: blocks are decoded in memory one at a time."""
REVERTED: Final = b"\0"
"""What WEBKNOSSOS stores for a block that was set back to what it was before the annotation."""


@dataclass(frozen=True, slots=True)
class FoundBlock:
    """A block by its Morton code; `stream` is its LZ4 stream where it has data, else empty."""

    morton: int
    kind: Kind
    stream: bytes = b""


@dataclass(frozen=True, slots=True)
class FoundMag:
    """A mag of an upload. `dtype` as in Zarr v3; `blocks()` reads them, in Morton order and each once, telling
    `done` how many bytes of the upload they took. Raises InvalidRequest or CorruptFile."""

    mag: Mag
    block_side: int
    dtype: str
    blocks: Callable[[Callable[[int], None]], Iterator[FoundBlock]]


def block_of_stream(morton: int, stream: bytes, block_bytes: int, *, key: str) -> FoundBlock:
    """A block from its LZ4 stream, which is decoded to see that it can be and whether it is all zero."""
    # A block of a single byte cannot be told from the mark, and WEBKNOSSOS has none.
    if block_bytes > 1 and stream in (REVERTED, b"\x10" + REVERTED):
        return FoundBlock(morton, Kind.REVERTED)
    if len(stream) > stored_bytes_bound(block_bytes):
        raise CorruptFile("an LZ4 block is longer than it can be", key=key, found=len(stream))
    if decode_lz4(stream, block_bytes, key=key) == _zeros(block_bytes):
        return FoundBlock(morton, Kind.ERASED)
    return FoundBlock(morton, Kind.DATA, stream)


def block_of_voxels(morton: int, voxels: bytes, block_bytes: int, *, key: str) -> FoundBlock:
    """A block from its voxels, x fastest."""
    if block_bytes > 1 and voxels == REVERTED:
        return FoundBlock(morton, Kind.REVERTED)
    if len(voxels) != block_bytes:
        raise CorruptFile("a block has the wrong size", key=key, expected=block_bytes, found=len(voxels))
    if voxels == _zeros(block_bytes):
        return FoundBlock(morton, Kind.ERASED)
    return FoundBlock(morton, Kind.DATA, encode_lz4(voxels, high=True))


@cache
def _zeros(block_bytes: int) -> bytes:
    return bytes(block_bytes)
