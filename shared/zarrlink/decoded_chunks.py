"""Chunks made from decoded voxels: what is stored in another form than a chunk of ours, or changed on the way.

An answer's length is known only once it is made, so HEAD does what GET does.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import math
from dataclasses import replace
from typing import Any, Final, NamedTuple

from numpy.typing import NDArray

from zarrlink.answers import OCTETS, Ask, Served, serve_whole
from zarrlink.arrays.frames import chunk_frame
from zarrlink.arrays.volume import Volume
from zarrlink.errors import InvalidRequest
from zarrlink.formats.zarr_keys import Dialect
from zarrlink.geometry import Vec3, vec3
from zarrlink.layer import Layer, Level

# Encoding more than this at once would keep other readers waiting: a thread does it.
LARGE_CHUNK_BYTES: Final = 2**18


class ChunkPlace(NamedTuple):
    """A place in a level's grid. `coordinates`: along the leading axes; `grid`: (x, y, z); `channels`: first and end."""

    coordinates: tuple[int, ...]
    channels: tuple[int, int]
    grid: Vec3


class DecodedChunks:
    """The chunks of a level, each read as voxels of `volume`. See `zarrlink.answers.Chunks`."""

    def __init__(self, layer: Layer, level: Level, dialect: Dialect, volume: Volume) -> None:
        self.layer = layer
        self._level = level
        self._grid = level.grid(dialect)
        self._step = (level.shard or level.chunk) if dialect == "v3" else level.chunk
        self.volume = volume

    async def answer(self, position: tuple[int, ...], ask: Ask) -> Served | None:
        place = self.place(position)
        found = None if place is None else await self.voxels(place)
        if found is None:
            return None
        voxels, offset = found
        chunk = self._step
        if math.prod(chunk) * self.layer.item_bytes * len(voxels) > LARGE_CHUNK_BYTES:
            frame = await asyncio.to_thread(chunk_frame, voxels, self.layer.dtype, chunk, offset)
        else:
            frame = chunk_frame(voxels, self.layer.dtype, chunk, offset)
        if frame is None:
            return None
        etag = ask.etag(hashlib.blake2b(frame, digest_size=12).hexdigest())
        return replace(serve_whole(frame, etag, OCTETS, "chunk", ask.want), decoded=1)

    async def voxels(self, place: ChunkPlace) -> tuple[NDArray[Any], Vec3] | None:
        """The voxels of a chunk that lie in the box, shape (c, z, y, x), and where in the chunk (x, y, z) they start."""
        box = self._box(place)
        if box is None:
            return None
        start = [at + n * side for at, n, side in zip(self._level.origin, place.grid, self._step, strict=True)]
        voxels = await self._read(*box, place)
        missing = place.channels[1] - place.channels[0] - len(voxels)
        if missing:
            # A chunk has as many channels at the end as before it.
            import numpy as np

            voxels = np.concatenate([voxels, np.zeros((missing, *voxels.shape[1:]), voxels.dtype)])
        return voxels, vec3([a - b for a, b in zip(box[0], start, strict=True)])

    async def decode(self, place: ChunkPlace) -> None:
        """See whether all at a place can be decoded: a shard's chunks one by one. Raises as `answer` does."""
        box = self._box(place)
        if box is None:
            return
        steps = [range(a, b, side) for a, b, side in zip(*box, self._level.chunk, strict=True)]
        for corner in itertools.product(*steps):
            ends = [min(a + side, b) for a, side, b in zip(corner, self._level.chunk, box[1], strict=True)]
            await self._read(vec3(corner), vec3(ends), place)

    def _box(self, place: ChunkPlace) -> tuple[Vec3, Vec3] | None:
        """What of a place lies in the box: first and end, in the mag's own voxels."""
        level = self._level
        start = [at + n * side for at, n, side in zip(level.origin, place.grid, self._step, strict=True)]
        low = vec3([max(a, b) for a, b in zip(start, level.box_start, strict=True)])
        high = vec3([min(a + side, b) for a, side, b in zip(start, self._step, level.box_end, strict=True)])
        return None if any(a >= b for a, b in zip(low, high, strict=True)) else (low, high)

    async def _read(self, low: Vec3, high: Vec3, place: ChunkPlace) -> NDArray[Any]:
        first, end = place.channels[0], min(place.channels[1], self.layer.channels)
        some = None if (first, end) == (0, self.layer.channels) else (first, end)
        return await self.volume.read(low, high, place.coordinates, some)

    def place(self, position: tuple[int, ...]) -> ChunkPlace | None:
        """What a chunk key names, None outside of the array. Raises InvalidRequest for another rank."""
        leading, layer = self.layer.leading, self.layer
        rank = len(leading) + layer.channel_axis + 3
        if len(position) != rank:
            raise InvalidRequest(f"a chunk key of this array has {rank} numbers, not {len(position)}")
        z, y, x = position[-3:]
        width, height, depth = self._grid
        inside = x < width and y < height and z < depth
        if not inside or any(n >= axis.length for n, axis in zip(position, leading, strict=False)):
            return None
        together = self._level.chunk_channels or layer.channels
        first = position[len(leading)] * together if layer.channel_axis else 0
        if first >= layer.channels:
            return None
        coordinates = tuple(axis.start + n for n, axis in zip(position, leading, strict=False))
        return ChunkPlace(coordinates, (first, first + together), (x, y, z))
