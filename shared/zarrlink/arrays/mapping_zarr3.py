"""The Zarr form of an agglomerate file: a group with the Zarr v3 array `segment_to_agglomerate`.

Read through our own `ByteSource`, chunk by chunk, because that is one way to the storage with one set of credentials,
conditions and errors. And because a chunk that is not there is fill value to every Zarr library: here it would make
segments vanish. The layout's specification leaves none out, since no segment belongs to agglomerate 0.
"""

from __future__ import annotations

import asyncio
import struct
from typing import Final

import numpy as np

from zarrlink.arrays.decoding import checked_crc32c
from zarrlink.arrays.table import PAGE_ENTRIES, Numbers, Span, TableCache, read_exactly, read_spans, unsigned
from zarrlink.arrays.zarr3_table_form import Shards, TableForm, Unsupported, parse_table_form
from zarrlink.byte_range import ByteRange
from zarrlink.errors import CorruptFile, RangeNotSatisfiable, SourceChanged, UnsupportedLayer
from zarrlink.formats.agglomerates import TABLE
from zarrlink.formats.shard_index import ABSENT
from zarrlink.storage.interface import ByteSource, Stat

MAX_METADATA_BYTES: Final = 2**20
# The webknossos library makes shards of 1 GB: 32 hold 4 * 10^9 segments. A table in more objects is known by its
# metadata alone, since looking at each of thousands of objects would cost more than reading the table.
MAX_WITNESSES: Final = 32
_STATS_AT_ONCE: Final = 8


async def open_zarr3(source: ByteSource, folder: str, name: str, cache: TableCache) -> Zarr3Table | None:
    """The table of an agglomerate file, None where there is none.

    Raises UnsupportedLayer for a table of a kind that is not read, CorruptFile, SourceChanged, SourceUnavailable.
    """
    key = f"{folder}/{TABLE}/zarr.json"
    try:
        blob = await source.read(key, ByteRange(0, MAX_METADATA_BYTES + 1))
    except RangeNotSatisfiable as error:
        raise CorruptFile(f"mapping {name!r}: its metadata is empty", key=key) from error
    if blob is None:
        return None
    if blob.object_bytes > MAX_METADATA_BYTES:
        raise CorruptFile(f"mapping {name!r}: its metadata is too long", key=key)
    try:
        form = parse_table_form(bytes(blob.data))
    except Unsupported as error:
        raise UnsupportedLayer(f"mapping {name!r} cannot be applied: {error}") from error
    except ValueError as error:
        raise CorruptFile(f"mapping {name!r}: {error}", key=key) from error
    table = Zarr3Table(source, f"{folder}/{TABLE}", name, form, cache, {key: blob.etag})
    await table.look_at_objects()
    return table


class Zarr3Table:
    """`Table` over the array in `folder`. A page is a run of chunks of one object."""

    def __init__(
        self, source: ByteSource, folder: str, name: str, form: TableForm, cache: TableCache, witnesses: dict[str, str]
    ) -> None:
        self.entries = form.entries
        wanted = max(1, PAGE_ENTRIES // form.chunk_entries)
        # A divisor, so that no page reaches into the next object.
        self._page_chunks = next(n for n in range(wanted, 0, -1) if form.chunks_per_object % n == 0)
        self.page_entries = self._page_chunks * form.chunk_entries
        self.page_bytes = self._page_chunks * form.chunk_bytes
        self.witnesses = witnesses
        self._source = source
        self._folder = folder
        self._name = name
        self._form = form
        self._cache = cache
        self._stats: dict[str, Stat] = {}
        self._all_looked_at = False
        # What cannot be compressed grows a little.
        self._longest = form.chunk_bytes + form.chunk_bytes // 8 + 4096

    async def look_at_objects(self) -> None:
        """Make every object a witness, where they are few. Raises SourceUnavailable."""
        if self._form.objects > MAX_WITNESSES:
            return
        keys = [self._key(number) for number in range(self._form.objects)]
        for start in range(0, len(keys), _STATS_AT_ONCE):
            some = keys[start : start + _STATS_AT_ONCE]
            for key, stat in zip(some, await asyncio.gather(*map(self._source.stat, some)), strict=True):
                # One that is missing matters only to who asks for its segments.
                if stat is not None:
                    self._stats[key] = stat
                    self.witnesses[key] = stat.etag
        self._all_looked_at = True

    async def page(self, number: int) -> Numbers:
        start = number * self.page_entries
        entries = min(self.page_entries, self.entries - start)
        which, first = divmod(number * self._page_chunks, self._form.chunks_per_object)
        key = self._key(which)
        if self._form.shards is None:
            pieces = [await self._read_object(key, start)]
        else:
            chunks = range(first, first + -(-entries // self._form.chunk_entries))
            pieces = await self._read_from_shard(key, self._form.shards, chunks, start)
        try:
            # A copy, so that no page keeps the bytes of its neighbours alive. The last chunk is stored whole.
            return await asyncio.to_thread(
                lambda: unsigned(np.concatenate([self._form.decode(piece) for piece in pieces])[:entries])
            )
        except ValueError as error:
            raise self._corrupt(str(error), key) from error

    async def _read_object(self, key: str, start: int) -> bytes:
        """A chunk that is an object. `start`: the first segment of it."""
        known = self._stats.get(key)
        try:
            part = ByteRange(0, self._longest + 1)
            blob = await self._source.read(key, part, if_match=None if known is None else known.etag)
        except RangeNotSatisfiable as error:
            raise self._corrupt("a chunk is empty", key) from error
        if blob is None:
            raise self._never_written(start, key) if known is None else SourceChanged(key)
        if known is None and self._all_looked_at:
            raise SourceChanged(key)
        if blob.object_bytes > self._longest:
            raise self._corrupt("a chunk is too long", key)
        return bytes(blob.data)

    async def _read_from_shard(self, key: str, shards: Shards, chunks: range, start: int) -> list[bytes]:
        """Some chunks of a shard. `start`: the first segment of them."""
        stat = self._stats.get(key)
        if stat is None:
            stat = await self._source.stat(key)
            if stat is None:
                raise self._never_written(start, key)
            if self._all_looked_at:
                raise SourceChanged(key)
        index = await self._index(key, stat, shards)
        spans = []
        for chunk in chunks:
            offset, length = struct.unpack_from("<2Q", index, 16 * chunk)
            if (offset, length) == ABSENT:
                raise self._never_written(start + (chunk - chunks.start) * self._form.chunk_entries, key)
            if not 0 < length <= self._longest or offset + length > stat.object_bytes:
                raise self._corrupt("a chunk reaches past its shard or is too long", key)
            spans.append(Span(offset, offset + length))
        return await read_spans(self._source, key, stat.etag, spans)

    async def _index(self, key: str, stat: Stat, shards: Shards) -> bytes:
        """(offset, length) of each inner chunk, two little-endian uint64 each."""
        place = self._source.name, key, stat.etag
        async with self._cache.turn(place):
            index = self._cache.places.get(place)
            if index is None:
                index = await self._read_index(key, stat, shards)
                self._cache.places.put(place, index, len(index) + 200)
        return index

    async def _read_index(self, key: str, stat: Stat, shards: Shards) -> bytes:
        if stat.object_bytes < shards.index_bytes:
            raise self._corrupt("a shard is shorter than its index", key)
        start = stat.object_bytes - shards.index_bytes if shards.index_at_end else 0
        index = await read_exactly(self._source, key, stat.etag, ByteRange(start, start + shards.index_bytes))
        return self._checked(index, key) if shards.checked else index

    def _checked(self, index: bytes, key: str) -> bytes:
        try:
            return checked_crc32c(index)
        except ValueError as error:
            raise self._corrupt("the index of a shard is damaged", key) from error

    def _key(self, number: int) -> str:
        return f"{self._folder}/{self._form.key_prefix}{number}"

    def _never_written(self, start: int, key: str) -> CorruptFile:
        return self._corrupt(f"segments from {start} on were never written", key)

    def _corrupt(self, what: str, key: str) -> CorruptFile:
        return CorruptFile(f"mapping {self._name!r}: {what}", key=key)
