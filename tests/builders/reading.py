"""Reading a link through a door as a Zarr client would: every key fetched, the tree opened by zarr-python."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from builders.door import Door
from builders.zarr_readers import voxels_by_tensorstore, voxels_by_zarr
from zarrlink.formats.zarr_keys import Dialect, chunk_key
from zarrlink.layer import Layer, Level

Volume = NDArray[Any]


def read_level(door: Door, layer: str, dialect: Dialect, level: int = 0) -> Volume:
    """A whole level, shape (z, y, x) or (c, z, y, x). Raises AssertionError for any status but 200 and 404."""
    return voxels_by_zarr(fetch_level(door, layer, dialect, level), dialect, str(level))


def read_level_twice(door: Door, layer: str, dialect: Dialect, level: int = 0) -> Volume:
    """As `read_level`, and by tensorstore as well: AssertionError where the two do not see the same."""
    objects = fetch_level(door, layer, dialect, level)
    volume = voxels_by_zarr(objects, dialect, str(level))
    again = voxels_by_tensorstore(objects, dialect, str(level))
    assert volume.dtype == again.dtype
    np.testing.assert_array_equal(volume, again)
    return volume


def fetch_level(door: Door, layer: str, dialect: Dialect, level: int = 0) -> dict[str, bytes]:
    """What a client would fetch for a whole level: metadata of the tree, chunks by key below the layer."""
    opened = door.opened(layer)
    objects = {}
    for key in opened.documents(dialect):
        reply = door.get(f"{dialect}/{layer}.zarr/{key}")
        assert reply.status == 200, (key, reply)
        objects[key] = reply.body
    for position in chunk_positions(opened.layer, opened.layer.levels[level], dialect):
        key = chunk_key(dialect, level, position)
        reply = door.get(f"{dialect}/{layer}.zarr/{key}")
        assert reply.status in (200, 404), (key, reply)
        if reply.status == 200:
            objects[key] = reply.body
    return objects


def chunk_positions(layer: Layer, level: Level, dialect: Dialect) -> list[tuple[int, ...]]:
    """Every chunk (v3: shard) of a level, in axis order."""
    leading = [range(axis.length) for axis in layer.leading]
    if layer.channel_axis:
        leading.append(range(-(-layer.channels // (level.chunk_channels or layer.channels))))
    return list(itertools.product(*leading, *(range(count) for count in reversed(level.grid(dialect)))))


def expected_level(volume: Volume, top_left: tuple[int, int, int], level: Level) -> Volume:
    """What a level must hold: the stored volume, (z, y, x[, c]) from voxel `top_left`, zero outside the level's box."""
    x, y, z = level.shape
    whole = np.zeros((z, y, x, *volume.shape[3:]), volume.dtype)
    low = [max(a, b) for a, b in zip(top_left, level.box_start, strict=True)]
    ends = [corner + length for corner, length in zip(top_left, volume.shape[2::-1], strict=True)]
    high = [min(a, b) for a, b in zip(ends, level.box_end, strict=True)]
    target = tuple(slice(a - o, b - o) for a, b, o in zip(low, high, level.origin, strict=True))[::-1]
    source = tuple(slice(a - t, b - t) for a, b, t in zip(low, high, top_left, strict=True))[::-1]
    whole[target] = volume[source]
    return np.moveaxis(whole, 3, 0) if volume.ndim == 4 else whole
