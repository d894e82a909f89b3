"""A long table of whole numbers in stored chunks, read in pages. Which file format it has is the business of others."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from zarrlink.byte_range import ByteRange
from zarrlink.errors import CorruptFile, RangeNotSatisfiable, SourceChanged
from zarrlink.storage.cache import ByteBoundedCache
from zarrlink.storage.interface import ByteSource

# 512 KiB of uint64: the order of one chunk of 256 KB as the webknossos library writes them, one request each.
PAGE_ENTRIES: Final = 65536
# The webknossos library aims at 256 KB. What is larger by far would be decoded whole for one segment.
MAX_CHUNK_BYTES: Final = 16 * 2**20
MAX_ENTRIES: Final = 2**48
CACHE_BYTES: Final = 96 * 2**20
# Neighbouring chunks are read at once if no more than this lies between them.
_GAP_BYTES: Final = 32 * 1024

Numbers = NDArray[np.unsignedinteger[Any]]


class Table(Protocol):
    """Entries 0 to `entries` - 1, in pages of `page_entries` (the last may be shorter), of one version of its files.

    `witnesses`: key -> ETag of the stored objects that this version is known by.
    """

    @property
    def entries(self) -> int: ...
    @property
    def page_entries(self) -> int: ...
    @property
    def page_bytes(self) -> int: ...
    @property
    def witnesses(self) -> Mapping[str, str]: ...

    async def page(self, number: int) -> Numbers:
        """The entries of a page, shape (n,), of any unsigned type and byte order.

        Raises CorruptFile for damage and for entries that were never written, SourceChanged where an object is no
        longer the one of `witnesses`, SourceUnavailable.
        """
        ...


class TableCache:
    """What was read of tables, bounded in bytes. Keys hold ETags, so a changed file is never found in it.

    `pages`: decoded. `places`: what leads to them (HDF5 metadata, shard indexes), kept apart because losing it costs
    more requests than losing a page.
    """

    def __init__(self, limit_bytes: int = CACHE_BYTES) -> None:
        self.pages: ByteBoundedCache[Numbers] = ByteBoundedCache(limit_bytes * 3 // 4)
        self.places: ByteBoundedCache[bytes] = ByteBoundedCache(limit_bytes // 4)
        self.loading: dict[Hashable, asyncio.Task[Numbers]] = {}
        self._locks: WeakValueDictionary[Hashable, asyncio.Lock] = WeakValueDictionary()

    def turn(self, place: Hashable) -> asyncio.Lock:
        """For whoever fetches something into `places`: pages under way at the same time often want the same."""
        # Forgotten as soon as nobody holds or awaits it, so no lock outlives its event loop.
        return self._locks.setdefault(place, asyncio.Lock())


def unsigned(numbers: NDArray[Any]) -> Numbers:
    """Whole numbers, shape (n,), of which some writers say a sign that none of them has. Raises ValueError for one that has."""
    if numbers.dtype.kind == "i" and numbers.size and numbers.min() < 0:
        raise ValueError("it holds a negative agglomerate id")
    return numbers.view(numbers.dtype.str.replace("i", "u"))


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes `start` to `end` of an object; never empty."""

    start: int
    end: int


async def read_spans(source: ByteSource, key: str, etag: str, spans: Sequence[Span]) -> list[bytes]:
    """The bytes of each span, neighbours in one request. Raises CorruptFile, SourceChanged, SourceUnavailable."""
    order = sorted(range(len(spans)), key=lambda index: spans[index].start)
    runs: list[list[int]] = []
    for index in order:
        end = max(spans[other].end for other in runs[-1]) if runs else 0
        if runs and spans[index].start - end <= _GAP_BYTES:
            runs[-1].append(index)
        else:
            runs.append([index])
    pieces = [b""] * len(spans)
    for run in runs:
        start, end = spans[run[0]].start, max(spans[index].end for index in run)
        data = await read_exactly(source, key, etag, ByteRange(start, end))
        for index in run:
            pieces[index] = data[spans[index].start - start : spans[index].end - start]
    return pieces


async def read_exactly(source: ByteSource, key: str, etag: str, part: ByteRange) -> bytes:
    """All bytes of `part`. Raises CorruptFile where the object ends before, SourceChanged, SourceUnavailable."""
    try:
        blob = await source.read(key, part, if_match=etag)
    except RangeNotSatisfiable as error:
        raise CorruptFile("a mapping's file is cut short", key=key, expected=part.end, found=error.length) from error
    if blob is None:
        # It was there a moment ago.
        raise SourceChanged(key)
    if len(blob.data) < len(part):
        raise CorruptFile("a mapping's file is cut short", key=key, expected=part.end, found=blob.object_bytes)
    return bytes(blob.data)
