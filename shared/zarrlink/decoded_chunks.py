"""Chunks made from decoded voxels: what is stored in another form than a chunk of ours, or changed on the way.

An answer's length is known only once it is made, so HEAD
does what GET does.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from typing import Final

from zarrlink.answers import OCTETS, Ask, Served, serve_whole
from zarrlink.arrays.frames import chunk_frame
from zarrlink.arrays.volume import Volume
from zarrlink.errors import InvalidRequest
from zarrlink.formats.zarr_keys import Dialect
from zarrlink.geometry import Vec3, vec3
from zarrlink.layer import Layer, Level

# Encoding more than this at once would keep other readers waiting: a thread does it.
LARGE_CHUNK_BYTES: Final = 2**18


class DecodedChunks:
    """The chunks of a level, each read as voxels of `volume`. See `zarrlink.answers.Chunks`."""

    def __init__(self, layer: Layer, level: Level, dialect: Dialect, volume: Volume) -> None:
        self.layer = layer
        self.level = level
        self.grid = level.grid(dialect)
        self.volume = volume

    async def answer(self, position: tuple[int, ...], ask: Ask) -> Served | None:
        place = self._place(position)
        if place is None:
            return None
        coordinates, grid = place
        level = self.level
        start = [at + n * side for at, n, side in zip(level.origin, grid, level.chunk, strict=True)]
        low = vec3([max(a, b) for a, b in zip(start, level.box_start, strict=True)])
        high = vec3([min(a + side, b) for a, side, b in zip(start, level.chunk, level.box_end, strict=True)])
        if any(a >= b for a, b in zip(low, high, strict=True)):
            return None
        voxels = await self.volume.read(low, high, coordinates)
        offset = vec3([a - b for a, b in zip(low, start, strict=True)])
        if math.prod(level.chunk) * self.layer.item_bytes * self.layer.channels > LARGE_CHUNK_BYTES:
            frame = await asyncio.to_thread(chunk_frame, voxels, self.layer.dtype, level.chunk, offset)
        else:
            frame = chunk_frame(voxels, self.layer.dtype, level.chunk, offset)
        if frame is None:
            return None
        etag = ask.etag(hashlib.blake2b(frame, digest_size=12).hexdigest())
        return serve_whole(frame, etag, OCTETS, "chunk", ask.want)

    def _place(self, position: tuple[int, ...]) -> tuple[tuple[int, ...], Vec3] | None:
        """(coordinates along the leading axes, place (x, y, z) in the grid), None outside of the array."""
        leading, channel = self.layer.leading, self.layer.channel_axis
        rank = len(leading) + channel + 3
        if len(position) != rank:
            raise InvalidRequest(f"a chunk key of this array has {rank} numbers, not {len(position)}")
        if channel and position[len(leading)] != 0:
            return None
        z, y, x = position[-3:]
        width, height, depth = self.grid
        inside = x < width and y < height and z < depth
        if not inside or any(n >= axis.length for n, axis in zip(position, leading, strict=False)):
            return None
        return tuple(axis.start + n for n, axis in zip(position, leading, strict=False)), (x, y, z)
