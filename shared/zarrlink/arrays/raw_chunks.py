"""Chunks without a codec, in folders: of each only those bytes are read that hold what was asked for.

Any file of such a chunk's length would be one. So it is not tensorstore that opens them, which follows links by itself, but
we, who ask what was opened (docs/decisions/0037-where-links-may-lead.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zarrlink.arrays.block_target import all_of
from zarrlink.arrays.object_keys import Touched, touched_objects
from zarrlink.arrays.stored import StoredArray
from zarrlink.byte_range import ByteRange
from zarrlink.errors import CorruptFile, RangeNotSatisfiable, SourceChanged
from zarrlink.formats.source_n5 import N5Array
from zarrlink.formats.source_precomputed import PrecomputedScale
from zarrlink.formats.source_zarr import ZarrArray
from zarrlink.formats.zarr_codecs import configuration
from zarrlink.geometry import Vec3
from zarrlink.storage.interface import Blob, ByteSource

# Each has a descriptor open; as many as tensorstore is allowed.
_CHUNKS_AT_ONCE: Final = 8
# What is in the page cache is copied on the event loop, so others have their turn after so much.
_READ_BYTES: Final = 2**20
# As much as is read in the time that another read costs besides.
_GAP_BYTES: Final = 2**16

Four = tuple[int, int, int, int]


class _Box(NamedTuple):
    """Voxels (c, z, y, x) in the bytes of a chunk: where the first one lies, how many, and how far they are apart."""

    first: int
    counts: Four
    strides: Four
    chunk_bytes: int


class RawChunks:
    """The chunks of an array that `is_raw`, in a source of files."""

    def __init__(self, stored: StoredArray, source: ByteSource) -> None:
        array = stored.array
        if isinstance(array, N5Array):
            raise TypeError("blocks of N5 have a form")
        self._stored = stored
        self._source = source
        self._order = _slowest_first(array)
        self._dtype = np.dtype(stored.dtype).newbyteorder("<")
        self._boolean = False
        # Of each array axis the side of a chunk, and where the last chunk ends: in a volume with it, else past the array.
        if isinstance(array, PrecomputedScale):
            self._sides: tuple[int, ...] = (*array.chunk, stored.chunk_channels)
            self._ends: tuple[int, ...] = (*array.size, stored.chunk_channels)
        else:
            self._sides = array.chunk
            self._ends = tuple(-(-length // side) * side for length, side in zip(array.shape, array.chunk, strict=True))
            self._dtype = self._dtype.newbyteorder(">" if array.big_endian else "<")
            self._boolean = array.boolean

    async def read(
        self, out: NDArray[Any], start: Vec3, end: Vec3, extra: tuple[int, ...], channels: tuple[int, int]
    ) -> None:
        """Put the voxels [start, end) of the layer's `channels` [first, end) into `out` (c, z, y, x), except those of chunks
        that are not there.

        Raises CorruptFile, SourceChanged, SourceUnavailable.
        """
        touched = touched_objects(self._stored, start, end, extra, channels)
        first = list(islice(touched, _CHUNKS_AT_ONCE))
        waiting = chain(first, touched)

        async def put() -> None:
            for each in waiting:
                target = out[slice(*each.channels), *_index(each, start)]
                await self._put(target, each.key, self._box(each, extra, channels[0]))

        await all_of([put() for _ in first])

    def _box(self, touched: Touched, extra: tuple[int, ...], first_channel: int) -> _Box:
        stored, axes = self._stored, self._stored.axes
        # Of each array axis the first and how many.
        spans = [(0, 1)] * len(self._sides)
        for axis, low, high, corner in zip(
            (axes.x, axes.y, axes.z), touched.start, touched.end, stored.offset, strict=True
        ):
            if axis is not None:
                spans[axis] = (low - corner, high - low)
        if axes.c is not None:
            low, high = touched.channels
            spans[axes.c] = ((stored.channel_index or 0) + first_channel + low, high - low)
        for described, at in zip(stored.extra_axes, extra, strict=True):
            spans[described.index] = (at, 1)
        inside = [low % side for (low, _), side in zip(spans, self._sides, strict=True)]
        strides, length = [0] * len(spans), stored.item_bytes
        for axis in self._order[::-1]:
            strides[axis] = length
            length *= min(self._sides[axis], self._ends[axis] - spans[axis][0] + inside[axis])
        shown = (axes.c, axes.z, axes.y, axes.x)
        c, z, y, x = ((1, 0) if axis is None else (spans[axis][1], strides[axis]) for axis in shown)
        first = sum(at * stride for at, stride in zip(inside, strides, strict=True))
        return _Box(first, (c[0], z[0], y[0], x[0]), (c[1], z[1], y[1], x[1]), length)

    async def _put(self, out: NDArray[Any], key: str, box: _Box) -> None:
        version: str | None = None
        for low, counts in _pieces((0, 0, 0, 0), box.counts, box.strides, self._dtype.itemsize):
            first = box.first + sum(at * stride for at, stride in zip(low, box.strides, strict=True))
            length = _span(counts, box.strides, self._dtype.itemsize)
            blob = await self._part(key, ByteRange(first, first + length), version, box.chunk_bytes)
            if blob is None and version is not None:
                raise SourceChanged(key)
            if blob is None:
                return
            version = blob.etag
            voxels: NDArray[Any] = np.ndarray(counts, self._dtype, blob.data, strides=box.strides)
            if self._boolean and voxels.max() > 1:
                raise CorruptFile("a stored chunk holds truth values other than 0 and 1", key=key)
            out[tuple(slice(at, at + count) for at, count in zip(low, counts, strict=True))] = voxels
            await asyncio.sleep(0)

    async def _part(self, key: str, part: ByteRange, version: str | None, chunk_bytes: int) -> Blob | None:
        try:
            blob = await self._source.read(key, part, if_match=version)
        except RangeNotSatisfiable as error:
            raise _other_length(key, chunk_bytes, error.length) from error
        if blob is not None and blob.object_bytes != chunk_bytes:
            raise _other_length(key, chunk_bytes, blob.object_bytes)
        if blob is not None and len(blob.data) != len(part):
            raise CorruptFile("a stored chunk is cut short", key=key, expected=len(part), found=len(blob.data))
        return blob


def _slowest_first(array: ZarrArray | PrecomputedScale) -> tuple[int, ...]:
    """The array's axes as they lie in the bytes of a chunk."""
    if isinstance(array, PrecomputedScale):
        return (3, 2, 1, 0)
    axes = tuple(range(len(array.shape)))
    if array.order == "F":
        return axes[::-1]
    for codec in array.codecs:
        if codec["name"] == "transpose":
            axes = tuple(axes[axis] for axis in configuration(codec)["order"])
    return axes


def _pieces(low: Four, counts: Four, strides: Four, item_bytes: int) -> Iterator[tuple[Four, Four]]:
    """(first, how many) of the parts that a box of voxels is read in, each at once with all that lies between.

    Cut along the axis that lies furthest apart: so that what is not wanted is left out where it is much.
    """
    if _span(counts, strides, item_bytes) <= _READ_BYTES:
        yield low, counts
        return
    cut = max((axis for axis in range(4) if counts[axis] > 1), key=strides.__getitem__)
    gap = strides[cut] - _span(_with(counts, cut, 1), strides, item_bytes)
    step = 1 if gap > _GAP_BYTES else max(1, _READ_BYTES // strides[cut])
    for at in range(0, counts[cut], step):
        some = _with(counts, cut, min(step, counts[cut] - at))
        yield from _pieces(_with(low, cut, low[cut] + at), some, strides, item_bytes)


def _span(counts: Four, strides: Four, item_bytes: int) -> int:
    """From the first byte of the first voxel to the last of the last one."""
    return sum((count - 1) * stride for count, stride in zip(counts, strides, strict=True)) + item_bytes


def _with(numbers: Four, axis: int, number: int) -> Four:
    c, z, y, x = (number if at == axis else old for at, old in enumerate(numbers))
    return c, z, y, x


def _index(touched: Touched, origin: Vec3) -> tuple[slice, ...]:
    """(z, y, x) of what is touched, in an array that begins at `origin`."""
    spans = [slice(low - at, high - at) for low, high, at in zip(touched.start, touched.end, origin, strict=True)]
    return tuple(spans[::-1])


def _other_length(key: str, expected: int, found: int) -> CorruptFile:
    return CorruptFile("a stored chunk is not as long as its voxels", key=key, expected=expected, found=found)
