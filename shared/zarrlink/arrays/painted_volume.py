"""A volume annotation over another layer, as voxels: for what cannot be merged block by block as it is stored."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import product
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from zarrlink.arrays.block_target import Blocks, BlockTarget, all_of
from zarrlink.arrays.mapping import Mapping
from zarrlink.arrays.volume import StoredObject, Volume
from zarrlink.errors import CorruptFile, UnsupportedLayer
from zarrlink.formats.wkw import WkwHeader
from zarrlink.geometry import Vec3, vec3
from zarrlink.overlay_chunks import PaintedBlocks, morton_code

# Of stored blocks that lie together, what is read at once; and how many such reads are under way.
_RUN_BYTES: Final = 4 * 2**20
_AT_ONCE: Final = 8
# Decoding more than this would keep other readers waiting: a thread does it.
_INLINE_BYTES: Final = 2**20


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
        if self._below is None:
            out = np.zeros((1, *(b - a for a, b in zip(start[::-1], end[::-1], strict=True))), self._dtype)
        else:
            out = (await self._below.read(start, end)).astype(self._dtype, copy=True)
        target = BlockTarget(self._header, out, start, start, end, (0, 1))
        found: list[_Placed] = []
        side = self._header.block_side
        for z, y, x in product(*(range(a // side, -(-b // side)) for a, b in zip(start[::-1], end[::-1], strict=True))):
            for span in (await self._painted.find(morton_code((x, y, z)), 1)).values():
                if span is None:
                    target.blank((x, y, z))
                else:
                    found.append((span, (x, y, z)))
        at_once = asyncio.Semaphore(_AT_ONCE)
        threaded = len(found) * self._header.block_bytes > _INLINE_BYTES
        await all_of([self._put(run, target, at_once, threaded=threaded) for run in _runs(found)])
        return out

    def objects(self, start: Vec3, end: Vec3, extra: tuple[int, ...] = ()) -> Iterator[StoredObject]:
        # What is painted never changes in its place: another version is another annotation.
        return iter(()) if self._below is None else self._below.objects(start, end, extra)

    async def _put(
        self, run: list[_Placed], target: BlockTarget, at_once: asyncio.Semaphore, *, threaded: bool
    ) -> None:
        start, end = run[0][0][0], run[-1][0][1]
        async with at_once:
            stored = await self._painted.read(start, end)
            bounds = [start - stored.offset, *(span[1] - stored.offset for span, _ in run)]
            places = [place for _, place in run]
            blocks = Blocks(memoryview(stored.data), bounds, places, stored.key)
            await target.fill([blocks], threaded=threaded)


# Where a block's bytes are, and its place (x, y, z).
_Placed = tuple[tuple[int, int], Vec3]


def _runs(found: list[_Placed]) -> list[list[_Placed]]:
    """Blocks whose bytes follow one another, up to a bound."""
    runs: list[list[_Placed]] = []
    for block in sorted(found):
        start, end = block[0]
        if runs and runs[-1][-1][0][1] == start and end - runs[-1][0][0][0] <= _RUN_BYTES:
            runs[-1].append(block)
        else:
            runs.append([block])
    return runs


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

    def objects(self, start: Vec3, end: Vec3, extra: tuple[int, ...] = ()) -> Iterator[StoredObject]:
        return self._volume.objects(start, end, extra)


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
        low, high = self._inside(start, end)
        if (low, high) == (start, end):
            return await self._volume.read(start, end, extra, channels)
        part = await self._volume.read(low, high, extra, channels)
        out = np.zeros((len(part), *(b - a for a, b in zip(start[::-1], end[::-1], strict=True))), part.dtype)
        place = tuple(slice(a - s, b - s) for a, b, s in zip(low, high, start, strict=True))[::-1]
        if part.size:
            out[:, *place] = part
        return out

    def objects(self, start: Vec3, end: Vec3, extra: tuple[int, ...] = ()) -> Iterator[StoredObject]:
        return self._volume.objects(*self._inside(start, end), extra)

    def _inside(self, start: Vec3, end: Vec3) -> tuple[Vec3, Vec3]:
        low = vec3([max(a, b) for a, b in zip(start, self._first, strict=True)])
        return low, vec3([max(a, min(b, c)) for a, b, c in zip(low, end, self._last, strict=True)])
