"""Which stored objects are behind voxels. No NumPy."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

from zarrlink.arrays.stored import StoredArray, key_in
from zarrlink.formats import precomputed_shards, source_n5, source_precomputed, source_zarr
from zarrlink.formats.source_n5 import N5Array
from zarrlink.formats.source_precomputed import PrecomputedScale
from zarrlink.formats.source_zarr import ZarrArray
from zarrlink.geometry import Vec3, vec3


class Touched(NamedTuple):
    """An object and the voxels of it that were asked for: a box (x, y, z) and channels, counted from the first one asked
    for, both half-open. The chunks of a Precomputed shard are told one by one, each by its shard's key.
    """

    key: str
    channels: tuple[int, int]
    start: Vec3
    end: Vec3


def object_key(stored: StoredArray, indices: tuple[int, ...]) -> str:
    """The key, below the array's source, of the chunk (or the shard with it) at `indices`, in array axis order."""
    match stored.array:
        case ZarrArray() as array:
            return key_in(stored.folder, source_zarr.chunk_key(array, indices))
        case N5Array():
            return key_in(stored.folder, source_n5.chunk_key(indices))
        case PrecomputedScale() as scale:
            name = precomputed_shards.shard_key if scale.sharded else source_precomputed.chunk_key
            return key_in(stored.folder, name(scale, vec3(indices)))


def touched_objects(
    stored: StoredArray, start: Vec3, end: Vec3, extra: tuple[int, ...], channels: tuple[int, int]
) -> Iterator[Touched]:
    """The objects that hold voxels [start, end) of the layer's channels [first, end), all inside of what is stored."""
    array, axes = stored.array, stored.axes
    first_channel, end_channel = ((stored.channel_index or 0) + channel for channel in channels)
    if isinstance(array, PrecomputedScale):
        shown = (0, end_channel - first_channel)
        for position, first, last in _parts(start, end, array.chunk, stored.offset):
            yield Touched(object_key(stored, position), shown, vec3(first), vec3(last))
        return
    outer = array.shard if isinstance(array, ZarrArray) and array.shard is not None else array.chunk
    rank = len(outer)
    low, high = [0] * rank, [1] * rank
    for axis, corner, stop in zip((axes.x, axes.y, axes.z), start, end, strict=True):
        if axis is not None:
            low[axis], high[axis] = corner, stop
    if axes.c is not None:
        low[axes.c], high[axes.c] = first_channel, end_channel
    for described, at in zip(stored.extra_axes, extra, strict=True):
        low[described.index], high[described.index] = at, at + 1
    for position, from_, to in _parts(tuple(low), tuple(high), outer, (0,) * rank):
        box = [(0, 1) if axis is None else (from_[axis], to[axis]) for axis in (axes.x, axes.y, axes.z)]
        shown = (0, 1) if axes.c is None else (from_[axes.c] - first_channel, to[axes.c] - first_channel)
        yield Touched(object_key(stored, position), shown, vec3([a for a, _ in box]), vec3([b for _, b in box]))


def _parts(
    low: tuple[int, ...], high: tuple[int, ...], sides: tuple[int, ...], offset: tuple[int, ...]
) -> Iterator[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]:
    """(grid position, first, end) of each cell of a grid from `offset` on that [low, high) touches, clipped to it."""
    spans = [
        range((first - corner) // side, -(-(last - corner) // side))
        for first, last, side, corner in zip(low, high, sides, offset, strict=True)
    ]
    for position in itertools.product(*spans):
        cell = list(zip(position, low, high, sides, offset, strict=True))
        first = tuple(max(a, corner + at * side) for at, a, _, side, corner in cell)
        last = tuple(min(b, corner + (at + 1) * side) for at, _, b, side, corner in cell)
        yield position, first, last
