"""Undoing the filters of HDF5 and the codecs of Zarr v3. Never more bytes than expected are made, whatever a file claims.

Each raises ValueError where the result would not have exactly the expected length, or a checksum is wrong.
Sources: HDF5 file format 3.0, "Filter Pipeline"; LibLZF's lzf_d.c for its stream; Zarr v3 codec pages; RFC 8878 (zstd).
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

import google_crc32c
import numpy as np
from numcodecs.blosc import Blosc
from numcodecs.zstd import Zstd

ZLIB_STREAM: Final = 15
GZIP_STREAM: Final = 31
_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
# By the two upper bits of the frame header: bytes of the content size, and what has to be added to it.
_ZSTD_SIZES: Final = ((1, 0), (2, 256), (4, 0), (8, 0))
_BLOSC_HEADER: Final = struct.Struct("<4B3I")


def inflate(data: bytes, expected: int, wbits: int) -> bytes:
    """A zlib or gzip stream."""
    stream = zlib.decompressobj(wbits)
    try:
        out = stream.decompress(data, expected + 1)
    except zlib.error as error:
        raise ValueError("a deflate stream is damaged") from error
    # The end of the stream holds its checksum.
    if len(out) != expected or not stream.eof or stream.unused_data:
        raise ValueError("a deflate stream has the wrong length")
    return out


def unshuffle(data: bytes, item_bytes: int) -> bytes:
    """HDF5's shuffle: all first bytes, then all second ones, ..."""
    if len(data) % item_bytes:
        raise ValueError("shuffled bytes have the wrong length")
    return np.frombuffer(data, np.uint8).reshape(item_bytes, -1).T.tobytes()


def unlzf(data: bytes, expected: int) -> bytes:
    """An LZF stream: runs of literals (control below 32), else copies of what came before, maybe overlapping."""
    out = bytearray()
    at, end = 0, len(data)
    try:
        while at < end and len(out) <= expected:
            control = data[at]
            at += 1
            if control < 32:
                if at + control + 1 > end:
                    raise ValueError("an LZF stream is cut short")
                out += data[at : at + control + 1]
                at += control + 1
                continue
            length = control >> 5
            if length == 7:
                length += data[at]
                at += 1
            start = len(out) - ((control & 31) << 8) - data[at] - 1
            at += 1
            if start < 0:
                raise ValueError("an LZF stream points before its start")
            length += 2
            piece = out[start : start + length]
            out += (piece * -(-length // len(piece)))[:length]
    except IndexError as error:
        raise ValueError("an LZF stream is cut short") from error
    if len(out) != expected:
        raise ValueError("an LZF stream has the wrong length")
    return bytes(out)


def unzstd(data: bytes, expected: int) -> bytes:
    """A zstd frame that names its length, as those of tensorstore, zarr-python and the webknossos library do."""
    if data[:4] != _ZSTD_MAGIC:
        raise ValueError("it is no zstd frame")
    # Padded so that the header can be read from a frame cut short; zstd itself sees the true bytes.
    head = data[:18] + bytes(18)
    descriptor = head[4]
    single_segment, flag = descriptor & 0x20, descriptor >> 6
    if flag == 0 and not single_segment:
        raise ValueError("a zstd frame does not name its length")
    at = 5 + (0 if single_segment else 1) + (0, 1, 2, 4)[descriptor & 3]
    size, plus = _ZSTD_SIZES[flag]
    if int.from_bytes(head[at : at + size], "little") + plus != expected:
        raise ValueError("a zstd frame has the wrong length")
    try:
        out = bytes(Zstd().decode(data))
    except (RuntimeError, ValueError) as error:
        raise ValueError("a zstd frame is damaged") from error
    if len(out) != expected:
        raise ValueError("a zstd frame has the wrong length")
    return out


def unblosc(data: bytes, expected: int) -> bytes:
    """A Blosc (version 1) chunk."""
    if len(data) < _BLOSC_HEADER.size:
        raise ValueError("a Blosc chunk is cut short")
    *_, raw_bytes, _, stored_bytes = _BLOSC_HEADER.unpack_from(data)
    if raw_bytes != expected or stored_bytes != len(data):
        raise ValueError("a Blosc chunk has the wrong length")
    try:
        return bytes(Blosc().decode(data))
    except (RuntimeError, ValueError) as error:
        raise ValueError("a Blosc chunk is damaged") from error


def checked_crc32c(data: bytes) -> bytes:
    """What stands before the four bytes of its checksum."""
    body = data[:-4]
    if len(data) < 4 or google_crc32c.value(body) != int.from_bytes(data[-4:], "little"):
        raise ValueError("a checksum is wrong")
    return body
