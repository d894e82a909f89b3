"""`TensorstoreVolume`: voxels of a stored array, with absence confirmed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, Final, NamedTuple

import numpy as np
import tensorstore as ts
from numpy.typing import NDArray

from zarrlink.arrays.block_target import all_of
from zarrlink.arrays.compressed_names import check_names
from zarrlink.arrays.failures import FAILURES, failure
from zarrlink.arrays.object_keys import Touched, touched_objects
from zarrlink.arrays.raw_chunks import RawChunks
from zarrlink.arrays.second_look import Present, never_written, with_copy
from zarrlink.arrays.stored import StoredArray
from zarrlink.arrays.stores import Stores
from zarrlink.arrays.volume import StoredObject
from zarrlink.arrays.watch import tell
from zarrlink.errors import CorruptFile, InvalidRequest, SourceChanged, SourceUnavailable
from zarrlink.formats.source_precomputed import PrecomputedScale
from zarrlink.geometry import Vec3, vec3
from zarrlink.storage.interface import ByteSource

# Of stored chunks larger than this, one at a time is decoded.
_LARGE_CHUNK_BYTES: Final = 16 * 2**20
# How long an object store's array, once seen, is taken to be there: a deleted bucket looks like missing chunks.
_SEEN_S: Final = 5.0
# To look at a file takes no wait, so others have their turn after so many.
_LOOKS: Final = 64


class _Part(NamedTuple):
    """Of all axes but space what is read: one coordinate of each additional axis, channels [first, end)."""

    extra: tuple[int, ...]
    channels: tuple[int, int]

    @property
    def channel_count(self) -> int:
        return self.channels[1] - self.channels[0]


class TensorstoreVolume:
    """A `Volume` of an array that was `opened`. `source`: where the array's objects can be looked for."""

    def __init__(self, stored: StoredArray, opened: ts.TensorStore, source: ByteSource, stores: Stores) -> None:
        self._stored = stored
        self._source = source
        self._stores = stores
        self._fill = np.array(stored.fill_value, dtype=stored.dtype)
        self._opened = opened
        in_folders = source.absence_trust_s == 0
        self._raw = RawChunks(stored, source) if stored.is_raw and in_folders else None
        self._seen_s = float("-inf")

    async def read(
        self, start: Vec3, end: Vec3, extra: tuple[int, ...] = (), channels: tuple[int, int] | None = None
    ) -> NDArray[Any]:
        stored = self._stored
        part = _Part(extra, channels or (0, stored.channels))
        for axis, at in zip(stored.extra_axes, extra, strict=True):
            if not axis.start <= at < axis.end:
                raise InvalidRequest(f"axis {axis.name!r} has no coordinate {at}")
        size = [high - low for low, high in zip(start, end, strict=True)]
        last = [corner + length for corner, length in zip(stored.offset, stored.shape, strict=True)]
        first = [max(a, b) for a, b in zip(start, stored.offset, strict=True)]
        stop = [min(a, b) for a, b in zip(end, last, strict=True)]
        inside = all(low < high for low, high in zip(first, stop, strict=True))
        if inside and first == list(start) and stop == list(end):
            return await self._read_inside(start, end, part)
        shown = np.full((part.channel_count, *size[::-1]), self._fill)
        if inside:
            shown[_box(vec3(first), vec3(stop), start)] = await self._read_inside(vec3(first), vec3(stop), part)
        return shown

    def objects(self, start: Vec3, end: Vec3, extra: tuple[int, ...] = ()) -> Iterator[StoredObject]:
        stored = self._stored
        last = [corner + length for corner, length in zip(stored.offset, stored.shape, strict=True)]
        first = vec3([max(a, b) for a, b in zip(start, stored.offset, strict=True)])
        stop = vec3([min(a, b) for a, b in zip(end, last, strict=True)])
        if not self._stores.reads_parts(self._source) or any(a >= b for a, b in zip(first, stop, strict=True)):
            return
        keys: Iterator[str] = (
            touched.key for touched in touched_objects(stored, first, stop, extra, (0, stored.channels))
        )
        if isinstance(stored.array, PrecomputedScale) and stored.array.sharded:
            # Chunks of one shard lie all over the box.
            keys = iter(dict.fromkeys(keys))
        yield from (StoredObject(self._source, key) for key in keys)

    async def _read_inside(self, start: Vec3, end: Vec3, part: _Part) -> NDArray[Any]:
        stored = self._stored
        async with self._stores.reads:
            if stored.chunk_bytes <= _LARGE_CHUNK_BYTES:
                voxels = await self._fetch(start, end, part)
            else:
                x, y, z = (high - low for low, high in zip(start, end, strict=True))
                voxels = np.empty((part.channel_count, z, y, x), self._fill.dtype)
                for low, high in _cells(start, end, stored.chunk, stored.offset):
                    voxels[_box(low, high, start)] = await self._fetch(low, high, part)
        await self._confirm_absence(voxels, start, end, part)
        return voxels

    async def _fetch(self, start: Vec3, end: Vec3, part: _Part) -> NDArray[Any]:
        if self._raw is not None:
            return await self._fetch_raw(self._raw, start, end, part)
        if self._source.absence_trust_s == 0:
            # Files, which may be links to where nothing may be read: tensorstore would follow them.
            touched = touched_objects(self._stored, start, end, part.extra, part.channels)
            await self._are_there(each.key for each in touched)
        return await self._decode(self._opened, start, end, part)

    async def _fetch_raw(self, chunks: RawChunks, start: Vec3, end: Vec3, part: _Part) -> NDArray[Any]:
        x, y, z = (high - low for low, high in zip(start, end, strict=True))
        voxels = np.full((part.channel_count, z, y, x), self._fill)
        await chunks.read(voxels, start, end, part.extra, part.channels)
        return voxels

    async def _are_there(self, keys: Iterable[str]) -> dict[str, bool]:
        """Which objects there are. Raises where it is something that cannot be read, or where that cannot be told."""
        found: dict[str, bool] = {}
        for key in keys:
            if key not in found:
                found[key] = await self._source.stat(key) is not None
                if len(found) % _LOOKS == 0:
                    await asyncio.sleep(0)
        return found

    async def _decode(self, opened: ts.TensorStore, start: Vec3, end: Vec3, part: _Part) -> NDArray[Any]:
        stored, axes = self._stored, self._stored.axes
        spans = [slice(low, high) for low, high in zip(start, end, strict=True)]
        index: list[Any] = [0] * opened.rank
        # The axes that stay, in the order in which they shall come out.
        order = [axes.z, axes.y, axes.x]
        for axis, span in zip(order, spans[::-1], strict=True):
            if axis is not None:
                index[axis] = span
        if axes.c is not None:
            index[axes.c] = slice(*part.channels) if stored.channel_index is None else stored.channel_index
            if stored.channel_index is None:
                order.insert(0, axes.c)
        for described, at in zip(stored.extra_axes, part.extra, strict=True):
            index[described.index] = at
        kept = sorted(axis for axis in order if axis is not None)
        try:
            view = opened[tuple(index)]
            view = view.transpose([kept.index(axis) for axis in order if axis is not None])
            voxels = await view.read(order="C")
        except FAILURES as error:
            raise failure(error, stored.metadata_key) from error
        x, y, z = (high - low for low, high in zip(start, end, strict=True))
        # Truth values are the numbers 0 and 1.
        found: NDArray[Any] = np.asarray(voxels, self._fill.dtype).reshape((part.channel_count, z, y, x))
        return found

    async def _confirm_absence(self, voxels: NDArray[Any], start: Vec3, end: Vec3, part: _Part) -> None:
        """Make sure that what came back as fill value was stored so, or never written.

        An unmounted disk, a deleted bucket, a folder in a chunk's place: tensorstore takes all of it for absence.
        """
        source, suspects = self._source, self._only_fill(voxels, start, end, part)
        if not suspects:
            return
        in_folders = source.absence_trust_s == 0
        missed: list[str] = []
        if self._stores.reads_parts(source):
            # tensorstore takes a 404 for absence whoever says it, a gateway in front of the bucket too.
            there = await self._are_there(touched.key for touched in suspects)
            missed = [key for key, found in there.items() if not found]
            if in_folders:
                for key in missed:
                    tell(key, "")
                await check_names(self._stored, source, missed)
            await all_of([self._look_again(touched, part) for touched in suspects if there[touched.key]])
        if not in_folders and time.monotonic() - self._seen_s < _SEEN_S:
            return
        if await source.stat(self._stored.metadata_key) is None:
            raise SourceUnavailable("the array of a mag is gone", key=self._stored.metadata_key)
        # The folder may have come back only after they were missed.
        for key, found in (await self._are_there(missed)).items():
            if found:
                raise SourceChanged(key)
        self._seen_s = time.monotonic()

    def _only_fill(self, voxels: NDArray[Any], start: Vec3, end: Vec3, part: _Part) -> list[Touched]:
        """The objects of a box that gave nothing else."""
        is_fill = np.isnan(voxels) if np.isnan(self._fill) else voxels == self._fill
        if not is_fill.any():
            return []
        return [
            touched
            for touched in touched_objects(self._stored, start, end, part.extra, part.channels)
            if is_fill[slice(*touched.channels), *_box(touched.start, touched.end, start)[1:]].all()
        ]

    async def _look_again(self, touched: Touched, part: _Part) -> None:
        """Of an object that is there, what seemed never to have been written: it may not have been there for a moment.

        Raises SourceChanged.
        """
        first, channels = part.channels[0], touched.channels
        async with self._stores.reads:
            voxels = await self._fetch_there(touched, _Part(part.extra, (first + channels[0], first + channels[1])))
        if not (np.isnan(voxels) if np.isnan(self._fill) else voxels == self._fill).all():
            raise SourceChanged(touched.key)

    async def _fetch_there(self, touched: Touched, part: _Part) -> NDArray[Any]:
        """What is in an object of which just `part` is touched. In folders it raises SourceChanged where it is missed again."""
        stored, source, start, end = self._stored, self._source, touched.start, touched.end
        if source.absence_trust_s != 0:
            return await self._fetch(start, end, part)
        if self._raw is not None:
            return await self._fetch_raw(RawChunks(stored, Present(source)), start, end, part)
        emptied = await never_written(self._opened, stored, source, touched.key)
        if emptied is not None:
            # Else some of it was written, and seems to be fill value.
            with suppress(CorruptFile, SourceUnavailable):
                return await self._decode(emptied, start, end, part)
        copy = await with_copy(self._opened, stored, source, touched.key)
        return await (self._fetch(start, end, part) if copy is None else self._decode(copy, start, end, part))


def _box(start: Vec3, end: Vec3, origin: Vec3) -> tuple[slice, ...]:
    """All channels of a box, as an index into an array (c, z, y, x) that begins at `origin`."""
    spans = [slice(low - corner, high - corner) for low, high, corner in zip(start, end, origin, strict=True)]
    return (slice(None), *spans[::-1])


def _cells(start: Vec3, end: Vec3, side: Vec3, offset: Vec3) -> list[tuple[Vec3, Vec3]]:
    """The parts of a box, cut along a grid of cells from `offset` on."""
    boxes: list[tuple[list[int], list[int]]] = [([], [])]
    for low, high, length, corner in zip(start, end, side, offset, strict=True):
        first, last = (low - corner) // length, -(-(high - corner) // length)
        boxes = [
            ([*a, max(low, corner + at * length)], [*b, min(high, corner + (at + 1) * length)])
            for a, b in boxes
            for at in range(first, last)
        ]
    return [(vec3(a), vec3(b)) for a, b in boxes]
