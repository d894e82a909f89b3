"""Stored blocks become the voxels of a box."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from zarrlink.arrays.block_runs import FileRuns
from zarrlink.errors import CorruptFile
from zarrlink.formats.lz4_block import decode_lz4
from zarrlink.formats.wkw import WkwHeader
from zarrlink.geometry import Vec3

T = TypeVar("T")
# Of their own: what allocates megabytes in turns in many threads keeps them in the arena of each.
_DECODERS: Final = ThreadPoolExecutor(min(4, os.cpu_count() or 1), "zarrlink-decode")


class Blocks(NamedTuple):
    """Stored blocks that lie together: their boundaries in `data`, one more than blocks, and where each belongs."""

    data: memoryview
    bounds: Sequence[int]
    places: Sequence[Vec3]
    key: str


class BlockTarget:
    """The voxels [low, high) of an array `out` (c, z, y, x) that begins at `start`, made from blocks.

    `channels`: first and end of those of a block that are wanted. Blocks may be put by several threads.
    """

    def __init__(
        self, header: WkwHeader, out: NDArray[Any], start: Vec3, low: Vec3, high: Vec3, channels: tuple[int, int]
    ) -> None:
        self._header = header
        self._out = out
        self._axes = tuple(zip(low, high, start, strict=True))
        self._channels = range(*channels)

    async def fill(self, found: Iterable[Blocks], *, threaded: bool) -> None:
        """Decode blocks and put them where they belong, in a thread if so wanted. Raises CorruptFile."""
        if not threaded:
            self._put(found)
            return
        work = _DECODERS.submit(self._put, found)
        try:
            await asyncio.wrap_future(work)
        except asyncio.CancelledError:
            # A thread cannot be stopped. What it still puts must not come after what is read in the second try.
            if work.running():
                await asyncio.wait([asyncio.wrap_future(work)])
            raise

    def blank(self, place: Vec3) -> None:
        """The block at a place holds nothing."""
        self._out[:, *self._slices(place)[0]] = 0

    def clear(self, file: FileRuns) -> None:
        for run in file.runs:
            for place in run.places:
                self.blank(place)

    def _put(self, found: Iterable[Blocks]) -> None:
        for blocks in found:
            for place, (start, end) in zip(blocks.places, pairwise(blocks.bounds), strict=True):
                target, source = self._slices(place)
                voxels = block_voxels(blocks.data[start:end], self._header, blocks.key)
                for shown, channel in enumerate(self._channels):
                    self._out[shown][target] = voxels[..., channel][source]

    def _slices(self, place: Vec3) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
        """(z, y, x) of what is wanted of a block, in `out` and in the block."""
        side = self._header.block_side
        target, source = [], []
        for at, (low, high, start) in zip(place, self._axes, strict=True):
            corner = at * side
            first, end = max(low, corner), min(high, corner + side)
            target.append(slice(first - start, end - start))
            source.append(slice(first - corner, end - corner))
        return tuple(target[::-1]), tuple(source[::-1])


async def all_of(tasks: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """What all coroutines give, run at the same time. The first failure ends the others, and is what is raised."""
    if len(tasks) == 1:
        return [await tasks[0]]
    try:
        async with asyncio.TaskGroup() as group:
            running = [group.create_task(task) for task in tasks]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from errors
    return [task.result() for task in running]


def block_voxels(payload: bytes | memoryview, header: WkwHeader, key: str) -> NDArray[Any]:
    """The voxels, shape (z, y, x, c), of a block as it is stored. Raises CorruptFile."""
    raw = decode_lz4(payload, header.block_bytes, key=key) if header.compressed else payload
    if len(raw) != header.block_bytes:
        raise CorruptFile("a block is cut short", key=key, expected=header.block_bytes, found=len(raw))
    side = header.block_side
    return np.frombuffer(raw, np.dtype(header.dtype).newbyteorder("<")).reshape(side, side, side, header.channels)
