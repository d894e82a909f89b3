"""Blosc-1 frames around bytes that we have already: one unsplit LZ4 stream, or a raw copy.

Source: c-blosc README_CHUNK_FORMAT.rst. Header, 16 bytes: format version 2, codec version 1, flags, typesize,
then nbytes, blocksize, cbytes as uint32. With one block of one stream follow its start (20) and its length.
Checked voxel by voxel in numcodecs, zarr-python, tensorstore and zarrita, for block sides from 1 on.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from zarrlink.errors import CorruptFile

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


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """The first 16 bytes of any Blosc-1 frame. `nbytes`: decoded; `cbytes`: of the whole frame."""

    flags: int
    typesize: int
    nbytes: int
    blocksize: int
    cbytes: int

    @classmethod
    def from_bytes(cls, data: bytes, *, key: str = "") -> FrameHeader:
        """Of a frame that is the whole of `data`. Raises CorruptFile where its lengths cannot be."""
        if len(data) < RAW_HEADER_BYTES:
            raise CorruptFile("a Blosc frame is cut short", key=key, expected=RAW_HEADER_BYTES, found=len(data))
        version, _, flags, typesize, nbytes, blocksize, cbytes = _RAW.unpack_from(data)
        if version != 2 or typesize == 0:
            raise CorruptFile("not a Blosc frame of version 2", key=key, found=version)
        if cbytes != len(data) or blocksize > max(nbytes, 1):
            raise CorruptFile("a Blosc frame lies about its length", key=key, expected=cbytes, found=len(data))
        return cls(flags, typesize, nbytes, blocksize, cbytes)


def lz4_stream(data: bytes) -> bytes | None:
    """The LZ4 stream of a frame as `lz4_frame_header` makes it, None for any other; lengths are checked already."""
    if len(data) <= LZ4_HEADER_BYTES:
        return None
    nbytes = FrameHeader.from_bytes(data).nbytes
    stream_bytes = len(data) - LZ4_HEADER_BYTES
    if stream_bytes == nbytes or data[:LZ4_HEADER_BYTES] != lz4_frame_header(nbytes, data[3], stream_bytes):
        return None
    return data[LZ4_HEADER_BYTES:]
