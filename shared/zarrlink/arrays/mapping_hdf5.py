"""The HDF5 form of an agglomerate file: the dataset `/segment_to_agglomerate`.

An HDF5 file can name other files of the machine that reads it (external links, external storage, virtual datasets) and
filters to load as plugins. None of these is followed: what is no plain dataset of this very file is refused.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final

import h5py
import numpy as np

from zarrlink.arrays.decoding import ZLIB_STREAM, inflate, unlzf, unshuffle
from zarrlink.arrays.hdf5_file import BLOCK_BYTES, Hdf5File
from zarrlink.arrays.table import (
    MAX_CHUNK_BYTES,
    MAX_ENTRIES,
    PAGE_ENTRIES,
    Numbers,
    Span,
    TableCache,
    read_spans,
    unsigned,
)
from zarrlink.byte_range import ByteRange
from zarrlink.errors import CorruptFile, RangeNotSatisfiable, UnsupportedLayer
from zarrlink.formats.agglomerates import TABLE
from zarrlink.storage.interface import ByteSource

DEFLATE: Final = 1
SHUFFLE: Final = 2
# Registered by the HDF Group for h5py.
LZF: Final = 32000
FILTERS: Final = frozenset([DEFLATE, SHUFFLE, LZF])


@dataclass(frozen=True, slots=True)
class _Form:
    """`chunk_entries` is None where the data lies in one piece, from `offset` on; `filters` in the order of writing."""

    entries: int
    dtype: np.dtype[np.integer[Any]]
    chunk_entries: int | None
    offset: int
    filters: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Chunk:
    """A stored chunk. Bit i of `mask`: filter i was left out for it."""

    span: Span
    mask: int


async def open_hdf5(source: ByteSource, key: str, name: str, cache: TableCache) -> Hdf5Table | None:
    """The table of an agglomerate file, None where there is no such file.

    Raises UnsupportedLayer for a table of a kind that is not read, CorruptFile, SourceChanged, SourceUnavailable.
    """
    try:
        first = await source.read(key, ByteRange(0, BLOCK_BYTES))
    except RangeNotSatisfiable as error:
        raise CorruptFile(f"mapping {name!r}: its file is empty", key=key) from error
    if first is None:
        return None
    file = Hdf5File(source, key, first, name, cache)
    return Hdf5Table(source, file, await file.ask(lambda root: _look(root, file)))


class Hdf5Table:
    """`Table` over `/segment_to_agglomerate`. A page is a run of stored chunks."""

    def __init__(self, source: ByteSource, file: Hdf5File, form: _Form) -> None:
        self.entries = form.entries
        chunk = form.chunk_entries or PAGE_ENTRIES
        self.page_entries = chunk * max(1, PAGE_ENTRIES // chunk)
        self.page_bytes = self.page_entries * form.dtype.itemsize
        self.witnesses = {file.key: file.etag}
        self._source = source
        self._file = file
        self._form = form

    async def page(self, number: int) -> Numbers:
        start = number * self.page_entries
        end = min(start + self.page_entries, self.entries)
        form, file = self._form, self._file
        if form.chunk_entries is None:
            span = Span(form.offset + start * form.dtype.itemsize, form.offset + end * form.dtype.itemsize)
            chunks = [_Chunk(span, 0)]
        else:
            firsts = range(start, end, form.chunk_entries)
            chunks = await file.ask(lambda root: [self._place(root, first) for first in firsts])
        pieces = await read_spans(self._source, file.key, file.etag, [chunk.span for chunk in chunks])
        return await asyncio.to_thread(self._decode, chunks, pieces, end - start)

    def _place(self, root: h5py.File, first: int) -> _Chunk:
        """Where the chunk from entry `first` on is stored."""
        file = self._file
        info = h5py.h5d.open(root.id, TABLE.encode()).get_chunk_info_by_coord((first,))
        if info.byte_offset is None or not info.size:
            raise file.corrupt(f"segments from {first} on were never written")
        raw = self._chunk_bytes()
        if info.size > raw + raw // 8 + 4096 or info.byte_offset + info.size > file.object_bytes:
            raise file.corrupt("a chunk reaches past its file or is too long")
        return _Chunk(Span(info.byte_offset, info.byte_offset + info.size), info.filter_mask)

    def _decode(self, chunks: list[_Chunk], pieces: list[bytes], entries: int) -> Numbers:
        arrays = []
        for chunk, piece in zip(chunks, pieces, strict=True):
            try:
                data = self._undo_filters(piece, chunk.mask)
            except ValueError as error:
                raise self._file.corrupt(str(error)) from error
            arrays.append(np.frombuffer(data, self._form.dtype))
        # A copy, so that no page keeps the bytes of its neighbours alive. The last chunk is stored whole.
        try:
            return unsigned(np.concatenate(arrays)[:entries])
        except ValueError as error:
            raise self._file.corrupt(str(error)) from error

    def _undo_filters(self, data: bytes, mask: int) -> bytes:
        form = self._form
        if form.chunk_entries is None:
            return data
        expected = self._chunk_bytes()
        for position in reversed(range(len(form.filters))):
            if mask & (1 << position):
                continue
            match form.filters[position]:
                case 1:
                    data = inflate(data, expected, ZLIB_STREAM)
                case 2:
                    data = unshuffle(data, form.dtype.itemsize)
                case _:
                    data = unlzf(data, expected)
        if len(data) != expected:
            raise ValueError("a chunk has the wrong length")
        return data

    def _chunk_bytes(self) -> int:
        return (self._form.chunk_entries or 0) * self._form.dtype.itemsize


def _look(root: h5py.File, file: Hdf5File) -> _Form:
    """What the table is like. Nothing is opened before it is known to lie in this very file."""
    if root.userblock_size:
        raise _refusal(file, "it begins with a user block")
    link = root.get(TABLE, getlink=True)
    if link is None:
        raise file.corrupt(f"it holds no {TABLE}")
    if not isinstance(link, h5py.HardLink):
        raise _refusal(file, f"its {TABLE} is a link to elsewhere")
    found = h5py.h5o.open(root.id, TABLE.encode())
    if not isinstance(found, h5py.h5d.DatasetID):
        raise file.corrupt(f"its {TABLE} is no dataset")
    # Before shape and type are asked for: a virtual dataset opens its sources to tell its shape.
    plan = found.get_create_plist()
    layout = plan.get_layout()
    if plan.get_external_count() or layout not in (h5py.h5d.CONTIGUOUS, h5py.h5d.CHUNKED):
        raise _refusal(file, f"its {TABLE} is not stored in the file as plain chunks or in one piece")
    dtype, shape = _dtype(found, file), found.shape
    if len(shape) != 1 or not 1 <= shape[0] <= MAX_ENTRIES:
        raise _refusal(file, f"its {TABLE} is not a list of numbers")
    if layout == h5py.h5d.CONTIGUOUS:
        return _in_one_piece(found, int(shape[0]), dtype, file)
    return _in_chunks(plan, int(shape[0]), dtype, file)


def _in_one_piece(found: h5py.h5d.DatasetID, entries: int, dtype: np.dtype[np.integer[Any]], file: Hdf5File) -> _Form:
    offset = found.get_offset()
    if offset is None:
        raise file.corrupt(f"its {TABLE} was never written")
    if offset + entries * dtype.itemsize > file.object_bytes:
        raise file.corrupt(f"its {TABLE} reaches past the end of the file")
    return _Form(entries, dtype, None, offset, ())


def _in_chunks(plan: h5py.h5p.PropDCID, entries: int, dtype: np.dtype[np.integer[Any]], file: Hdf5File) -> _Form:
    (chunk_entries,) = plan.get_chunk()
    if not 0 < chunk_entries * dtype.itemsize <= MAX_CHUNK_BYTES:
        raise _refusal(file, f"its chunks have {chunk_entries} entries, too many to read for one segment")
    filters = tuple(plan.get_filter(position)[0] for position in range(plan.get_nfilters()))
    if not FILTERS.issuperset(filters) or len({DEFLATE, LZF} & set(filters)) == 2 or len(set(filters)) < len(filters):
        raise _refusal(file, "it is compressed by other means than gzip, lzf and shuffle")
    return _Form(entries, dtype, int(chunk_entries), 0, filters)


def _dtype(found: h5py.h5d.DatasetID, file: Hdf5File) -> np.dtype[np.integer[Any]]:
    kind = found.get_type()
    plain = (
        type(kind) is h5py.h5t.TypeIntegerID
        and kind.get_sign() in (h5py.h5t.SGN_NONE, h5py.h5t.SGN_2)
        and kind.get_size() in (1, 2, 4, 8)
        and kind.get_precision() == 8 * kind.get_size()
        and kind.get_order() in (h5py.h5t.ORDER_LE, h5py.h5t.ORDER_BE)
    )
    if not plain:
        raise _refusal(file, f"its {TABLE} holds something else than whole numbers")
    order = "<" if kind.get_order() == h5py.h5t.ORDER_LE else ">"
    return np.dtype(f"{order}{'u' if kind.get_sign() == h5py.h5t.SGN_NONE else 'i'}{kind.get_size()}")


def _refusal(file: Hdf5File, why: str) -> UnsupportedLayer:
    return UnsupportedLayer(f"mapping {file.name!r} cannot be applied: {why}")
