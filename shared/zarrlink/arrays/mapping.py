"""Segment mappings: segment ids to the ids of the agglomerates they belong to.

A mapping may have 10^9 entries, a chunk of voxels names a few thousand of them. So only the pages of the table that hold
the ids of a chunk are read, a few at a time, and kept within a bound.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable
from collections.abc import Mapping as Map
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from zarrlink.arrays.table import PAGE_ENTRIES, Numbers, Table, TableCache
from zarrlink.errors import CorruptFile, UnsupportedLayer
from zarrlink.formats.agglomerates import Attachment, MappingFile, candidates
from zarrlink.storage.interface import ByteSource

PAGES_AT_ONCE: Final = 8
# Pages under way for one array of ids: less than eight where they are large.
UNDER_WAY_BYTES: Final = 32 * 2**20
# Finding the ids of so many voxels takes long enough to be done in a thread.
_LARGE: Final = 65536
_ENTRY_OVERHEAD_BYTES: Final = 600


class Mapping(Protocol):
    """One version of a mapping. `witnesses`: key -> ETag of the stored objects that this version is known by."""

    @property
    def name(self) -> str: ...
    @property
    def witnesses(self) -> Map[str, str]: ...

    async def apply(self, ids: NDArray[Any]) -> NDArray[Any]:
        """The agglomerate id of every segment id: a new array of the same shape and dtype. 0, the background, stays 0.

        Raises CorruptFile for an id that the table does not hold (upstream: an error in the HDF5 form) and for damage,
        UnsupportedLayer where an agglomerate id does not fit the dtype (upstream cuts off its upper bits),
        SourceChanged where the file was replaced: then `open_mapping` again, SourceUnavailable.
        """
        ...


async def open_mapping(
    source: ByteSource, layer_name: str, mapping_name: str, attachments: Iterable[Attachment], cache: TableCache
) -> TableMapping:
    """The mapping of that name. Two requests or a few; the table itself stays where it is.

    Raises InvalidRequest for a name that cannot be one, UnsupportedLayer where the layer has no such mapping or it is of
    a kind that is not read, CorruptFile, SourceChanged, SourceUnavailable.
    """
    for file in candidates(layer_name, mapping_name, attachments):
        table = await _open_table(source, file, mapping_name, cache)
        if table is not None:
            return TableMapping(source.name, mapping_name, table, cache)
    raise UnsupportedLayer(f"layer {layer_name!r} has no mapping {mapping_name!r}, or its file is missing")


async def _open_table(source: ByteSource, file: MappingFile, name: str, cache: TableCache) -> Table | None:
    # Imported late: h5py takes half a second of a cold start that a Zarr table does not need.
    if file.form == "hdf5":
        from zarrlink.arrays.mapping_hdf5 import open_hdf5

        return await open_hdf5(source, file.path, name, cache)
    from zarrlink.arrays.mapping_zarr3 import open_zarr3

    return await open_zarr3(source, file.path, name, cache)


class TableMapping:
    """`Mapping` over a table; see there."""

    def __init__(self, source_name: str, name: str, table: Table, cache: TableCache) -> None:
        self.name = name
        self.witnesses = dict(table.witnesses)
        self.etag = hashlib.sha256(repr((source_name, sorted(self.witnesses.items()))).encode()).hexdigest()[:32]
        self._table = table
        self._cache = cache

    @property
    def largest_segment(self) -> int:
        """The largest segment id that the table knows."""
        return self._table.entries - 1

    async def check_fits(self, dtype: np.dtype[Any], largest: int | None) -> None:
        """Look whether the agglomerate ids of a layer of `dtype` fit it, where no more than a page of entries can tell.

        `largest`: the layer's largest segment id, where it is known. Raises UnsupportedLayer where they do not fit, else as
        `apply`, which sees what is not looked at here.
        """
        self._check_kind(dtype)
        most = int(np.iinfo(dtype).max)
        entries = 1 + min(self.largest_segment, most if largest is None else largest)
        if entries > PAGE_ENTRIES or 2 ** (8 * self._table.page_bytes // self._table.page_entries) - 1 <= most:
            return
        mapped = await self._look_up(np.arange(entries, dtype=np.uint64))
        if mapped.max() > most:
            raise self._too_wide(dtype)

    def _check_kind(self, dtype: np.dtype[Any]) -> None:
        if dtype.kind not in "ui":
            raise UnsupportedLayer(f"mapping {self.name!r} is for segments, which are whole numbers, not {dtype}")

    def _too_wide(self, dtype: np.dtype[Any]) -> UnsupportedLayer:
        return UnsupportedLayer(f"mapping {self.name!r} has agglomerate ids that do not fit the layer's {dtype.name}")

    async def apply(self, ids: NDArray[Any]) -> NDArray[Any]:
        self._check_kind(ids.dtype)
        if ids.size == 0:
            return ids.copy()
        large = ids.size > _LARGE
        found = await asyncio.to_thread(_distinct, ids) if large else _distinct(ids)
        mapped = await self._look_up(found.values)
        if mapped.max() > np.iinfo(ids.dtype).max:
            raise self._too_wide(ids.dtype)
        mapped = mapped.astype(ids.dtype)
        return await asyncio.to_thread(found.replaced, mapped) if large else found.replaced(mapped)

    async def _look_up(self, ids: NDArray[Any]) -> NDArray[np.uint64]:
        """Agglomerate ids, shape (n,), of distinct ids in rising order, shape (n,)."""
        lowest, highest = int(ids[0]), int(ids[-1])
        if lowest < 0 or highest >= self._table.entries:
            unknown = lowest if lowest < 0 else highest
            raise CorruptFile(f"segment {unknown} is not in the mapping {self.name!r}")
        mapped = np.zeros(len(ids), np.uint64)
        # Not looked up: a chunk of background costs no request.
        first = 1 if lowest == 0 else 0
        size = self._table.page_entries
        wanted = ids[first:].astype(np.int64)
        pages, starts = np.unique(wanted // size, return_index=True)
        bounds = [*starts.tolist(), len(wanted)]
        turns = asyncio.Semaphore(max(1, min(PAGES_AT_ONCE, UNDER_WAY_BYTES // self._table.page_bytes)))

        async def look_up(number: int, start: int, end: int) -> None:
            async with turns:
                page = await self._page(number)
            mapped[first + start : first + end] = page[wanted[start:end] - number * size]

        try:
            async with asyncio.TaskGroup() as group:
                for number, start, end in zip(pages.tolist(), bounds[:-1], bounds[1:], strict=True):
                    group.create_task(look_up(number, start, end))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from errors
        return mapped

    async def _page(self, number: int) -> Numbers:
        """A page, read once however many ask for it at the same time."""
        key = self.etag, number
        page = self._cache.pages.get(key)
        if page is not None:
            return page
        task = self._cache.loading.get(key)
        if task is None:
            task = asyncio.create_task(self._read_page(number))
            self._cache.loading[key] = task
            task.add_done_callback(lambda done: self._loaded(number, done))
        # Shielded: one reader who leaves does not take the page from the others.
        return await asyncio.shield(task)

    async def _read_page(self, number: int) -> Numbers:
        page = await self._table.page(number)
        self._cache.pages.put((self.etag, number), page, page.nbytes + _ENTRY_OVERHEAD_BYTES)
        return page

    def _loaded(self, number: int, task: asyncio.Task[Numbers]) -> None:
        self._cache.loading.pop((self.etag, number), None)
        if not task.cancelled():
            # Looked at, so that nobody is told of an error whose readers have all left.
            task.exception()


@dataclass(frozen=True, slots=True)
class _Distinct:
    """An array as runs of equal ids. `values`: the distinct ids, rising; `which` of them each run has, and its length."""

    shape: tuple[int, ...]
    values: NDArray[Any]
    which: NDArray[np.intp]
    lengths: NDArray[np.intp]

    def replaced(self, values: NDArray[Any]) -> NDArray[Any]:
        """The array with other values instead, in C order."""
        return np.repeat(values[self.which], self.lengths).reshape(self.shape)


def _distinct(ids: NDArray[Any]) -> _Distinct:
    # Segments are compact: their runs are far fewer than their voxels, and sorting is what takes time.
    flat = np.ascontiguousarray(ids).reshape(-1)
    starts = np.concatenate(([0], np.flatnonzero(flat[1:] != flat[:-1]) + 1))
    values, which = np.unique(flat[starts], return_inverse=True)
    return _Distinct(ids.shape, values, which, np.diff(starts, append=flat.size))
