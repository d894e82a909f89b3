"""A volume annotation over another layer, as voxels: for what cannot be merged block by block as it is stored."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zarrlink.arrays.mapping import Mapping
from zarrlink.arrays.volume import Volume
from zarrlink.arrays.wkw_volume import block_voxels
from zarrlink.errors import CorruptFile, UnsupportedLayer
from zarrlink.formats.wkw import WkwHeader
from zarrlink.geometry import Vec3, vec3
from zarrlink.overlay_chunks import PaintedBlocks, morton_code


class PaintedVolume:
    """One mag of a volume layer: its own blocks, else `below`, else 0. See `zarrlink.arrays.volume.Volume`.

    `header`: of the annotation's blocks. `dtype`: of the outcome, which holds every value of both.
    """

    def __init__(self, painted: PaintedBlocks, header: WkwHeader, dtype: str, below: Volume | None) -> None:
        self._painted = painted
        self._header = header
        self._dtype = np.dtype(dtype).newbyteorder("<")
        self._below = below

    async def read(
        self, start: Vec3, end: Vec3, extra: tuple[int, ...] = (), channels: tuple[int, int] | None = None
    ) -> NDArray[Any]:
        side = self._header.block_side
        if self._below is None:
            out = np.zeros((1, *(b - a for a, b in zip(start[::-1], end[::-1], strict=True))), self._dtype)
        else:
            out = (await self._below.read(start, end)).astype(self._dtype, copy=True)
        for z, y, x in product(*(range(a // side, -(-b // side)) for a, b in zip(start[::-1], end[::-1], strict=True))):
            found = await self._painted.find(morton_code((x, y, z)), 1)
            for place in found.values():
                corner = (x * side, y * side, z * side)
                inside = [(max(a, c), min(b, c + side)) for a, b, c in zip(start, end, corner, strict=True)]
                target = tuple(slice(a - s, b - s) for (a, b), s in zip(inside, start, strict=True))[::-1]
                source = tuple(slice(a - c, b - c) for (a, b), c in zip(inside, corner, strict=True))[::-1]
                out[:, *target] = 0 if place is None else (await self._block(place))[:, *source]
        return out

    async def _block(self, place: tuple[int, int]) -> NDArray[Any]:
        stored = await self._painted.read(*place)
        return block_voxels(memoryview(stored.data), self._header, stored.key)


class MappedVolume:
    """A volume whose segment ids are shown as those of a mapping. See `zarrlink.arrays.volume.Volume`."""

    def __init__(self, volume: Volume, mapping: Mapping, layer: str) -> None:
        self._volume = volume
        self._mapping = mapping
        self._layer = layer

    async def read(
        self, start: Vec3, end: Vec3, extra: tuple[int, ...] = (), channels: tuple[int, int] | None = None
    ) -> NDArray[Any]:
        voxels = await self._volume.read(start, end, extra, channels)
        try:
            return await self._mapping.apply(voxels)
        except CorruptFile as error:
            raise damaged_mapping(self._layer, self._mapping.name, error) from error
        except UnsupportedLayer as error:
            # Only the voxels could tell: for a reader of chunks the table is damaged.
            raise CorruptFile(f"of layer {self._layer!r}, {error}") from error


def damaged_mapping(layer: str, mapping: str, error: CorruptFile) -> CorruptFile:
    """The same failure, with the names that tell a person where to look."""
    what = f"mapping {mapping!r} of layer {layer!r}: {error.what}"
    return CorruptFile(what, key=error.key, expected=error.expected, found=error.found)


class BoxedVolume:
    """A volume within the box [first, last) of its layer, in its mag's own voxels, 0 outside."""

    def __init__(self, volume: Volume, first: Vec3, last: Vec3) -> None:
        self._volume = volume
        self._first = first
        self._last = last

    async def read(
        self, start: Vec3, end: Vec3, extra: tuple[int, ...] = (), channels: tuple[int, int] | None = None
    ) -> NDArray[Any]:
        low = vec3([max(a, b) for a, b in zip(start, self._first, strict=True)])
        high = vec3([max(a, min(b, c)) for a, b, c in zip(low, end, self._last, strict=True)])
        if (low, high) == (start, end):
            return await self._volume.read(start, end, extra, channels)
        part = await self._volume.read(low, high, extra, channels)
        out = np.zeros((len(part), *(b - a for a, b in zip(start[::-1], end[::-1], strict=True))), part.dtype)
        place = tuple(slice(a - s, b - s) for a, b, s in zip(low, high, start, strict=True))[::-1]
        if part.size:
            out[:, *place] = part
        return out
