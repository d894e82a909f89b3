"""Block packs: the stored blocks of one mag in two objects, so that no read probes for what is not there.

`<mag>.blocks`: the LZ4 streams of the blocks, one after the other in Morton order (x in the lowest bit), nothing
between them. `<mag>.index`, all numbers little-endian:

    offset  size  field
    0       4     "ZLIX"
    4       2     version, 2
    6       2     block side in voxels
    8       4     entries per page, 512
    12      4     bytes of a decoded block
    16      8     N, the number of entries
    24      8     length of the object with the blocks
    32      8 P   directory: the Morton code of the first entry of each of the P = ceil(N / 512) pages
    32+8P   4     check: CRC-32 of all bytes before
    36+8P   24 N  entries by ascending Morton code: code u64, offset u64, length u32, kind u8, and the low 24 bits of the
                  CRC-32 of these 21 bytes

What a bit that flipped would hide or move is somebody's painting, and nothing else would tell. Version 1, which is read
still, has no check, and three zero bytes at the end of an entry. Every entry starts where the one before it ends, also one without bytes, so an overlap or a gap cannot be said. An
aligned cube of blocks is a run of Morton codes: with the directory at hand it costs one read of the index (the pages
that it touches) and one of the blocks.
"""

from __future__ import annotations

import struct
import sys
import zlib
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import Final

from zarrlink.byte_range import ByteRange
from zarrlink.errors import CorruptFile
from zarrlink.formats.wkw import morton_index, morton_position, stored_bytes_bound
from zarrlink.geometry import Vec3

PAGE_ENTRIES: Final = 512
HEADER_BYTES: Final = 32
ENTRY_BYTES: Final = 24
MORTON_BITS: Final = 21
"""Bits of a block's position along each axis: three of them fit 63 bits."""
MAX_BLOCK_SIDE: Final = 2**15
_HEADER: Final = struct.Struct("<4sHHIIQQ")
_ENTRY: Final = struct.Struct("<QQIB3s")
_CODE: Final = struct.Struct("<Q")
_CHECK: Final = struct.Struct("<I")
_ENTRY_CHECK_BYTES: Final = 3
_UNCHECKED: Final = 1
_VERSION: Final = 2
_LOW_BITS: Final = 16
# An erased block, in the word that holds length and kind below its check.
_ERASED: Final = 1 << 32
_LENGTH_AND_KIND: Final = (1 << 40) - 1


class Kind(IntEnum):
    """What an entry says of its block: stored bytes; all zero, which hides what lies below; as if never written."""

    DATA = 0
    ERASED = 1
    REVERTED = 2


@dataclass(frozen=True, slots=True)
class Entry:
    """One block; bytes [offset, offset + length) of the object with the blocks are its LZ4 stream."""

    morton: int
    offset: int
    length: int
    kind: Kind

    @property
    def end(self) -> int:
        return self.offset + self.length


@dataclass(frozen=True, slots=True)
class PackHeader:
    """The first 32 bytes of an index. `block_bytes`: length of a decoded block; `data_bytes`: of all stored ones.

    `checked`: whether directory and entries carry checks, as in all but the oldest indexes.
    """

    block_side: int
    block_bytes: int
    entries: int
    data_bytes: int
    checked: bool = True

    @property
    def pages(self) -> int:
        return -(-self.entries // PAGE_ENTRIES)

    @property
    def directory_end(self) -> int:
        """Where the entries start: header and directory are the bytes before."""
        return HEADER_BYTES + _CODE.size * self.pages + (_CHECK.size if self.checked else 0)

    @property
    def index_bytes(self) -> int:
        return self.directory_end + ENTRY_BYTES * self.entries

    def to_bytes(self) -> bytes:
        fields = (self.block_side, PAGE_ENTRIES, self.block_bytes, self.entries, self.data_bytes)
        return _HEADER.pack(b"ZLIX", _VERSION if self.checked else _UNCHECKED, *fields)

    @classmethod
    def from_bytes(cls, data: bytes | bytearray, *, index_bytes: int, key: str = "") -> PackHeader:
        """Parse the start of an index object of `index_bytes` bytes. Raises CorruptFile."""
        if len(data) < HEADER_BYTES:
            raise CorruptFile("a block index is cut short", key=key, expected=HEADER_BYTES, found=len(data))
        magic, version, side, page_entries, block_bytes, entries, data_bytes = _HEADER.unpack_from(data)
        if magic != b"ZLIX" or version not in (_UNCHECKED, _VERSION) or page_entries != PAGE_ENTRIES:
            raise CorruptFile("not a block index of a known version", key=key, found=bytes(data[:12]).hex())
        if not 0 < side <= MAX_BLOCK_SIDE or side & (side - 1):
            raise CorruptFile("a block index has an impossible block side", key=key, found=side)
        if block_bytes == 0 or block_bytes % side**3:
            raise CorruptFile("a block index has an impossible block length", key=key, found=block_bytes)
        if data_bytes > entries * stored_bytes_bound(block_bytes):
            raise CorruptFile("a block index has more bytes than its blocks can need", key=key, found=data_bytes)
        header = cls(side, block_bytes, entries, data_bytes, version == _VERSION)
        if header.index_bytes != index_bytes:
            raise CorruptFile(
                "a block index has the wrong length", key=key, expected=header.index_bytes, found=index_bytes
            )
        return header


@dataclass(frozen=True, slots=True)
class PackIndex:
    """Header and directory of an index, from which the page of any block follows. `first_codes`: one for each page."""

    header: PackHeader
    first_codes: tuple[int, ...]
    key: str = ""

    @classmethod
    def from_bytes(cls, data: bytes | bytearray, *, index_bytes: int, key: str = "") -> PackIndex:
        """Parse an index object's first `directory_end` bytes; more may follow. Raises CorruptFile."""
        header = PackHeader.from_bytes(data, index_bytes=index_bytes, key=key)
        if len(data) < header.directory_end:
            raise CorruptFile("a block directory is cut short", key=key, expected=header.directory_end, found=len(data))
        if header.checked:
            before = header.directory_end - _CHECK.size
            if zlib.crc32(data[:before]) != _CHECK.unpack_from(data, before)[0]:
                raise CorruptFile("a block directory does not agree with its check", key=key)
        codes = struct.unpack_from(f"<{header.pages}Q", data, HEADER_BYTES)
        if any(low >= high for low, high in pairwise(codes)):
            raise CorruptFile("a block directory is not sorted", key=key)
        return cls(header, codes, key)

    def pages_of(self, first: int, count: int) -> range:
        """The pages in which blocks with the Morton codes first .. first + count - 1 can stand."""
        start = max(0, bisect_right(self.first_codes, first) - 1)
        return range(start, bisect_left(self.first_codes, first + count))

    def page_range(self, pages: range) -> ByteRange | None:
        """The bytes of the index object with these pages, None for no page."""
        if not pages:
            return None
        start = self.header.directory_end + ENTRY_BYTES * PAGE_ENTRIES * pages.start
        return ByteRange(start, min(self.header.index_bytes, start + ENTRY_BYTES * PAGE_ENTRIES * len(pages)))

    def read_pages(self, pages: range, data: bytes | bytearray) -> tuple[Entry, ...]:
        """All entries of these pages, from the bytes that `page_range` names. Raises CorruptFile on any damage."""
        header, wanted = self.header, self.page_range(pages)
        if len(data) != (0 if wanted is None else len(wanted)):
            raise CorruptFile("a page of a block index is cut short", key=self.key, found=len(data))
        if wanted is None:
            return ()
        entries = tuple(self._entry(*fields) for fields in _ENTRY.iter_unpack(data))
        if header.checked:
            self._check_entries(data)
        for number, page in enumerate(pages):
            if entries[number * PAGE_ENTRIES].morton != self.first_codes[page]:
                raise CorruptFile("a block index does not agree with its directory", key=self.key)
        if any(low.morton >= high.morton for low, high in pairwise(entries)) or (
            pages.stop < header.pages and entries[-1].morton >= self.first_codes[pages.stop]
        ):
            raise CorruptFile("a block index is not sorted", key=self.key)
        if any(low.end != high.offset for low, high in pairwise(entries)):
            raise CorruptFile("blocks of an index overlap or leave gaps", key=self.key)
        last = entries[-1].end
        if (pages.start == 0 and entries[0].offset != 0) or last > header.data_bytes:
            raise CorruptFile("a block index points outside its blocks", key=self.key)
        if pages.stop == header.pages and last != header.data_bytes:
            raise CorruptFile("a block index has the wrong end", key=self.key, expected=header.data_bytes, found=last)
        return entries

    def _check_entries(self, data: bytes | bytearray) -> None:
        for at in range(0, len(data), ENTRY_BYTES):
            end = at + ENTRY_BYTES - _ENTRY_CHECK_BYTES
            if _entry_check(data[at:end]) != data[end : at + ENTRY_BYTES]:
                raise CorruptFile("an entry of a block index does not agree with its check", key=self.key)

    def _entry(self, morton: int, offset: int, length: int, kind: int, check: bytes) -> Entry:
        if kind not in (Kind.DATA, Kind.ERASED, Kind.REVERTED) or not (self.header.checked or check == bytes(3)):
            raise CorruptFile("a block index holds an unknown kind of block", key=self.key, found=kind)
        if morton >> 3 * MORTON_BITS:
            raise CorruptFile("a block index holds an impossible position", key=self.key, found=morton)
        if (length > 0) != (kind == Kind.DATA) or length > stored_bytes_bound(self.header.block_bytes):
            raise CorruptFile("a block index holds an impossible block length", key=self.key, found=length)
        return Entry(morton, offset, length, Kind(kind))


@dataclass(frozen=True, slots=True)
class Columns:
    """Entries in 24 bytes each: codes, offsets, and lengths with the kind above bit 32."""

    codes: array[int]
    offsets: array[int]
    lengths: array[int]

    @classmethod
    def from_bytes(cls, data: bytes) -> Columns:
        """The entries of pages that `read_pages` took without complaint."""
        numbers = array("Q", data)
        if sys.byteorder == "big":
            numbers.byteswap()
        return cls(numbers[0::3], numbers[1::3], array("Q", [number & _LENGTH_AND_KIND for number in numbers[2::3]]))

    def spans(self, first: int, count: int) -> dict[int, tuple[int, int] | None]:
        """Of blocks with the Morton codes first .. first + count - 1: code -> bytes [start, end) of the object with the
        blocks, None for an erased one. Reverted blocks are left out, as those never written."""
        start = bisect_left(self.codes, first)
        end = bisect_left(self.codes, first + count, start)
        found: dict[int, tuple[int, int] | None] = {}
        if start == end:
            return found
        columns = self.codes[start:end], self.offsets[start:end], self.lengths[start:end]
        for code, offset, length in zip(*columns, strict=True):
            if length < _ERASED:
                found[code] = offset, offset + length
            elif length == _ERASED:
                found[code] = None
        return found


def find(entries: Sequence[Entry], first: int, count: int) -> Sequence[Entry]:
    """Those of some sorted entries with Morton codes first .. first + count - 1."""
    start = bisect_left(entries, first, key=_morton)
    return entries[start : bisect_left(entries, first + count, start, key=_morton)]


def stored_range(entries: Sequence[Entry]) -> ByteRange | None:
    """The bytes of the object with the blocks that hold some consecutive entries, None where none has bytes."""
    if not entries or entries[0].offset == entries[-1].end:
        return None
    return ByteRange(entries[0].offset, entries[-1].end)


class IndexBuilder:
    """Collects entries, 24 bytes of memory each, and writes the index."""

    def __init__(self, block_side: int, block_bytes: int) -> None:
        self._side = block_side
        self._block_bytes = block_bytes
        self._limit = stored_bytes_bound(block_bytes)
        self._entries = bytearray()
        self._next_code = 0
        self._end = 0

    @property
    def header(self) -> PackHeader:
        return PackHeader(self._side, self._block_bytes, len(self._entries) // ENTRY_BYTES, self._end)

    def add(self, morton: int, kind: Kind, length: int = 0) -> None:
        """The next block, in Morton order; `length` of its LZ4 stream, 0 for what is not data."""
        if not self._next_code <= morton < 1 << 3 * MORTON_BITS:
            raise ValueError(f"block {morton} does not follow {self._next_code - 1} in Morton order")
        if (length > 0) != (kind is Kind.DATA) or not 0 <= length <= self._limit:
            raise ValueError(f"a block of {self._block_bytes} bytes cannot be stored in {length}")
        entry = _ENTRY.pack(morton, self._end, length, kind, b"")[:-_ENTRY_CHECK_BYTES]
        self._entries += entry + _entry_check(entry)
        self._next_code = morton + 1
        self._end += length

    def chunks(self) -> Iterator[bytes]:
        """The bytes of the index, in pieces."""
        step = PAGE_ENTRIES * ENTRY_BYTES
        codes = (bytes(self._entries[at : at + _CODE.size]) for at in range(0, len(self._entries), step))
        start = b"".join((self.header.to_bytes(), *codes))
        yield start
        yield _CHECK.pack(zlib.crc32(start))
        for at in range(0, len(self._entries), step):
            yield bytes(self._entries[at : at + step])


def encode_index(block_side: int, block_bytes: int, blocks: Iterable[tuple[int, Kind, int]]) -> bytes:
    """The index of some blocks: (Morton code, kind, stored length), in Morton order."""
    builder = IndexBuilder(block_side, block_bytes)
    for morton, kind, length in blocks:
        builder.add(morton, kind, length)
    return b"".join(builder.chunks())


def block_code(position: Vec3) -> int:
    """The Morton code of a block (x, y, z) of up to 21 bits an axis, as `wkw.morton_index` of up to 16."""
    x, y, z = position
    if not all(0 <= place < 1 << MORTON_BITS for place in position):
        raise ValueError(f"block {position} lies outside the {MORTON_BITS} bits of an axis")
    high = morton_index(x >> _LOW_BITS, y >> _LOW_BITS, z >> _LOW_BITS)
    mask = (1 << _LOW_BITS) - 1
    return high << 3 * _LOW_BITS | morton_index(x & mask, y & mask, z & mask)


def block_position(code: int) -> Vec3:
    """The block (x, y, z) of a Morton code: the inverse of `block_code`."""
    low, high = morton_position(code), morton_position(code >> 3 * _LOW_BITS)
    return (
        low[0] | high[0] << _LOW_BITS,
        low[1] | high[1] << _LOW_BITS,
        low[2] | high[2] << _LOW_BITS,
    )


def _entry_check(entry: bytes | bytearray) -> bytes:
    return _CHECK.pack(zlib.crc32(entry))[:_ENTRY_CHECK_BYTES]


def _morton(entry: Entry) -> int:
    return entry.morton
