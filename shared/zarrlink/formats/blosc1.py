"""Blosc-1 frames around bytes that we have already: one unsplit LZ4 stream, or a raw copy.

Source: c-blosc README_CHUNK_FORMAT.rst. Header, 16 bytes: format version 2, codec version 1, flags, typesize,
then nbytes, blocksize, cbytes as uint32. With one block of one stream follow its start (20) and its length.
Checked voxel by voxel in numcodecs, zarr-python, tensorstore and zarrita, for block sides from 1 on.
"""

from __future__ import annotations

import struct
from typing import Final

_RAW: Final = struct.Struct("<BBBBIII")
_LZ4: Final = struct.Struct("<BBBBIIIii")
RAW_HEADER_BYTES: Final = _RAW.size
LZ4_HEADER_BYTES: Final = _LZ4.size
_MEMCPY: Final = 0x02
_LZ4_CODEC: Final = 0x20
_DO_NOT_SPLIT: Final = 0x10


def raw_frame_header(nbytes: int, typesize: int) -> bytes:
    """What goes before `nbytes` raw bytes."""
    return _RAW.pack(2, 1, _LZ4_CODEC | _MEMCPY, typesize, nbytes, nbytes, RAW_HEADER_BYTES + nbytes)


def lz4_frame_header(nbytes: int, typesize: int, stream_bytes: int) -> bytes:
    """What goes before an LZ4 stream of `stream_bytes` that decodes to `nbytes`.

    The two lengths must differ: Blosc takes a stream as long as its block for a raw copy.
    """
    if stream_bytes == nbytes:
        raise ValueError("a stream as long as its block would be read as a raw copy")
    flags = _LZ4_CODEC | _DO_NOT_SPLIT
    return _LZ4.pack(2, 1, flags, typesize, nbytes, nbytes, LZ4_HEADER_BYTES + stream_bytes, 20, stream_bytes)
