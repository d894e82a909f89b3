"""A volume annotation over another layer, as voxels: for what cannot be merged block by block as it is stored."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zarrlink.arrays.volume import Volume
from zarrlink.arrays.wkw_volume import block_voxels
from zarrlink.formats.wkw import WkwHeader
from zarrlink.geometry import Vec3
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

    async def read(self, start: Vec3, end: Vec3, extra: tuple[int, ...] = ()) -> NDArray[Any]:
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

    def __init__(self, volume: Volume, mapping: Any) -> None:
        self._volume = volume
        self._mapping = mapping

    async def read(self, start: Vec3, end: Vec3, extra: tuple[int, ...] = ()) -> NDArray[Any]:
        mapped: NDArray[Any] = await self._mapping.apply(await self._volume.read(start, end, extra))
        return mapped
