"""Reading a link through a door as a Zarr client would: every key fetched, the tree opened by zarr-python."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import MemoryStore

from builders.door import Door
from zarrlink.formats.zarr_keys import Dialect, chunk_key
from zarrlink.layer import Layer, Level

Volume = NDArray[Any]


def read_level(door: Door, layer: str, dialect: Dialect, level: int = 0) -> Volume:
    """A whole level, shape (z, y, x) or (c, z, y, x). Raises AssertionError for any status but 200 and 404."""
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
    prototype = default_buffer_prototype()
    store = MemoryStore({key: prototype.buffer.from_bytes(data) for key, data in objects.items()})
    volume: Volume = np.asarray(zarr.open_array(store, path=str(level), mode="r")[...])
    return volume


def chunk_positions(layer: Layer, level: Level, dialect: Dialect) -> list[tuple[int, ...]]:
    """Every chunk (v3: shard) of a level, in axis order."""
    leading = [range(1)] if layer.channel_axis else []
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
