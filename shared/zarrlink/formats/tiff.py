"""TIFF and BigTIFF directories (IFDs) as bytes, little-endian.

Source: TIFF 6.0 (Adobe, 1992), sections 2, 14 and 15; BigTIFF (libtiff, "The BigTIFF File Format");
SubIFDs: TIFF Technical Note 1. How long a directory is depends on its fields' counts alone, never on the offsets in
it: so a file can be laid out before a byte of it exists.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

# A classic file's offsets have 32 bits; a mebibyte is left for readers that add to them.
CLASSIC_BYTES: Final = 2**32 - 2**20

SHORT, LONG, RATIONAL, ASCII, IFD, LONG8, IFD8 = 3, 4, 5, 2, 13, 16, 18
NEW_SUBFILE_TYPE, IMAGE_WIDTH, IMAGE_LENGTH, BITS_PER_SAMPLE, COMPRESSION, PHOTOMETRIC = 254, 256, 257, 258, 259, 262
IMAGE_DESCRIPTION, STRIP_OFFSETS, SAMPLES_PER_PIXEL, ROWS_PER_STRIP, STRIP_BYTE_COUNTS = 270, 273, 277, 278, 279
X_RESOLUTION, Y_RESOLUTION, PLANAR_CONFIGURATION, RESOLUTION_UNIT, SOFTWARE, PREDICTOR = 282, 283, 284, 296, 305, 317
TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_BYTE_COUNTS, SUB_IFDS, SAMPLE_FORMAT = 322, 323, 324, 325, 330, 339

COMPRESSIONS: Final = {"none": 1, "deflate": 8, "zstd": 50000}
SAMPLE_FORMATS: Final = {"u": 1, "i": 2, "f": 3}
BLACK_IS_ZERO, RGB = 1, 2
NO_UNIT, CENTIMETRE = 1, 3
REDUCED = 1
_WORD: Final = 8
_MAX_32: Final = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a directory: `count` values of `kind`, packed in `data`."""

    tag: int
    kind: int
    count: int
    data: bytes


def shorts(tag: int, *values: int) -> Field:
    return Field(tag, SHORT, len(values), struct.pack(f"<{len(values)}H", *values))


def longs(tag: int, *values: int) -> Field:
    return Field(tag, LONG, len(values), struct.pack(f"<{len(values)}I", *values))


def text(tag: int, value: str) -> Field:
    """UTF-8 with its closing zero. TIFF says ASCII; OME-XML is UTF-8 by its own rule."""
    data = value.encode() + b"\0"
    return Field(tag, ASCII, len(data), data)


def rational(tag: int, value: Fraction) -> Field:
    """The nearest fraction of two 32-bit numbers to a positive `value`."""
    return Field(tag, RATIONAL, 1, struct.pack("<2I", *nearest_rational(value)))


def nearest_rational(value: Fraction) -> tuple[int, int]:
    """A numerator and a denominator below 2^32. Out of reach are values above 2^32 - 1 and below half its inverse."""
    if value > 1:
        denominator = max(1, int(_MAX_32 / value))
        near = value.limit_denominator(min(denominator, _MAX_32))
        return min(near.numerator, _MAX_32), near.denominator
    near = 1 / (1 / value).limit_denominator(max(1, int(_MAX_32 * value)))
    return near.numerator, min(near.denominator, _MAX_32)


def offsets(tag: int, data: bytes, *, big: bool) -> Field:
    """Places in the file, packed as 8 bytes each in a BigTIFF, else as 4."""
    return Field(tag, LONG8 if big else LONG, len(data) // (8 if big else 4), data)


def directories(tag: int, places: Sequence[int], *, big: bool) -> Field:
    """Places of further directories, as SubIFDs has them."""
    return Field(tag, IFD8 if big else IFD, len(places), struct.pack(f"<{len(places)}{'Q' if big else 'I'}", *places))


def file_header(first: int, *, big: bool) -> bytes:
    """What a file begins with; `first`: where its first directory lies."""
    return struct.pack("<2sHHHQ", b"II", 43, 8, 0, first) if big else struct.pack("<2sHI", b"II", 42, first)


def directory_bytes(fields: Sequence[Field], *, big: bool) -> int:
    """How long a directory is, with what lies behind it; a multiple of 8."""
    inline, entry, frame = (8, 20, 16) if big else (4, 12, 6)
    outside = sum(_padded(len(field.data)) for field in fields if len(field.data) > inline)
    return _padded(frame + entry * len(fields)) + outside


def directory(fields: Sequence[Field], at: int, following: int, *, big: bool) -> bytes:
    """The bytes of a directory that lies at `at` of the file, a multiple of 8. `following`: the next one, 0 for none.

    `fields` in the order of their tags.
    """
    inline, entry, frame = (8, 20, 16) if big else (4, 12, 6)
    packed = struct.Struct("<HHQ8s" if big else "<HHI4s")
    outside_at = at + _padded(frame + entry * len(fields))
    head, outside = [struct.pack("<Q" if big else "<H", len(fields))], []
    for field in fields:
        data = field.data
        if len(data) > inline:
            outside += [data, bytes(-len(data) % _WORD)]
            data, outside_at = outside_at.to_bytes(inline, "little"), outside_at + _padded(len(data))
        head.append(packed.pack(field.tag, field.kind, field.count, data))
    head += [struct.pack("<Q" if big else "<I", following), bytes(-(frame + entry * len(fields)) % _WORD)]
    return b"".join(head + outside)


def _padded(length: int) -> int:
    return length + -length % _WORD
