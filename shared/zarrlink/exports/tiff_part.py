"""One unit of an OME-TIFF: voxels in, encoded tiles out, a slab at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zarrlink.exports.encoder import TileEncoder
from zarrlink.exports.layers import Span
from zarrlink.exports.pixels import Pixels, halve
from zarrlink.exports.reading import ReadPixels
from zarrlink.exports.spill import Spill
from zarrlink.exports.tiff_plan import TiffPlan, TiffUnit
from zarrlink.exports.walk import Node, cells, nodes, tiles_of
from zarrlink.geometry import Vec3

Check = Callable[[], None]


def tile_encoder(plan: TiffPlan) -> TileEncoder:
    request, form = plan.spec.request, plan.form
    return TileEncoder(request.tile, form.samples, form.dtype, request.compression, predictor=form.predictor)


async def encode_unit(
    plan: TiffPlan,
    unit: TiffUnit,
    read: ReadPixels,
    out: Spill,
    handed_over: Spill | None,
    *,
    check: Check,
    threads: int = 1,
) -> NDArray[Any]:
    """Write a unit's tiles to `out`; gives their lengths in the order of `walk.batches`, 0 where none is stored.

    `handed_over`: takes the voxels of the tier's last level, cell after cell, raw. `check` is called between slabs, and
    ends the work by raising. A failed read ends it as well: nothing is filled in. The next slab is read while one is
    encoded, so memory holds two slabs and a tile's column of each level.
    """
    work = _Work(plan, unit, out, handed_over, threads)
    try:
        async with _read_ahead(plan, unit, read) as slabs:
            for step, (node, planes) in enumerate(_steps(plan, unit)):
                if step == 0 or node.level == unit.tier.leaf:
                    check()
                slab = await anext(slabs) if node.level == unit.tier.leaf else None
                await asyncio.to_thread(work.make, node, planes, slab)
    finally:
        work.close()
    return np.array(work.lengths, np.uint32)


def _steps(plan: TiffPlan, unit: TiffUnit) -> Iterator[tuple[Node, Span]]:
    for layer, cell in cells(unit):
        planes = plan.layers.start(layer), plan.layers.start(layer + 1)
        for node in nodes(plan, unit.tier, cell):
            yield node, planes


def leaf_box(plan: TiffPlan, unit: TiffUnit, node: Node, planes: Span) -> tuple[Vec3, Vec3]:
    """What a leaf reads, in voxels of the tier's source level from the box's corner."""
    source = plan.levels[unit.tier.source]
    side = plan.spec.request.tile << (node.level - unit.tier.source)
    x, y = node.x * side, node.y * side
    return (x, y, planes[0]), (min(x + side, source.width), min(y + side, source.height), planes[1])


def leaf_boxes(plan: TiffPlan, unit: TiffUnit) -> Iterator[tuple[Vec3, Vec3]]:
    """What a unit reads, in the order that it does."""
    for node, planes in _steps(plan, unit):
        if node.level == unit.tier.leaf:
            yield leaf_box(plan, unit, node, planes)


@asynccontextmanager
async def _read_ahead(plan: TiffPlan, unit: TiffUnit, read: ReadPixels) -> AsyncIterator[AsyncIterator[Pixels]]:
    """The slabs of all leaves in their order, each read while the one before is worked on."""
    boxes = leaf_boxes(plan, unit)
    waiting: list[asyncio.Future[Pixels]] = []

    def begin() -> None:
        for start, end in boxes:
            waiting.append(asyncio.ensure_future(read(start, end)))
            return

    async def slabs() -> AsyncIterator[Pixels]:
        begin()
        while waiting:
            slab = await waiting[0]
            waiting.pop(0)
            # Two large ones would be too much.
            ahead = slab.nbytes <= plan.spec.limits.slab
            if ahead:
                begin()
            yield slab
            if not ahead:
                begin()

    try:
        yield slabs()
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


class _Work:
    """What is held between the slabs of a unit: for each level the column of one tile, as far as it is known."""

    def __init__(self, plan: TiffPlan, unit: TiffUnit, out: Spill, handed_over: Spill | None, threads: int) -> None:
        self._plan = plan
        self._tier = unit.tier
        self._out = out
        self._handed_over = handed_over
        self._encode = tile_encoder(plan).encode
        self._threads = ThreadPoolExecutor(threads) if threads > 1 else None
        self._columns: dict[int, Pixels] = {}
        self.lengths: list[int] = []

    def close(self) -> None:
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)

    def make(self, node: Node, planes: Span, slab: Pixels | None) -> None:
        """Encode what a node covers, and keep its half for the next level."""
        tier, mean = self._tier, self._plan.form.mean
        level = tier.source if slab is not None else node.level
        pixels = self._columns.pop(level) if slab is None else slab
        while True:
            if level >= tier.first:
                self._tiles(node, level, planes, pixels)
            if level == node.level:
                break
            pixels, level = halve(pixels, mean=mean), level + 1
        if level < tier.last:
            self._keep(node, halve(pixels, mean=mean))
        elif self._handed_over is not None:
            self._handed_over.write(np.ascontiguousarray(pixels).reshape(-1).view(np.uint8))

    def _keep(self, node: Node, half: Pixels) -> None:
        """Put the half of a node's pixels in their quarter of the next level's column."""
        level, tile = node.level + 1, self._plan.spec.request.tile
        shown = self._plan.levels[level]
        if level not in self._columns:
            height = min(tile, shown.height - node.y // 2 * tile)
            width = min(tile, shown.width - node.x // 2 * tile)
            shape = (*half.shape[:2], height, width, half.shape[4])
            self._columns[level] = np.empty(shape, half.dtype)
        y, x = node.y % 2 * tile // 2, node.x % 2 * tile // 2
        self._columns[level][:, :, y : y + half.shape[2], x : x + half.shape[3]] = half

    def _tiles(self, node: Node, level: int, planes: Span, pixels: Pixels) -> None:
        batch = tiles_of(self._plan, node, level, planes)
        rows, columns = batch.tiles_y[1] - batch.tiles_y[0], batch.tiles_x[1] - batch.tiles_x[0]
        tile = self._plan.spec.request.tile
        wanted = (
            pixels[channel, plane, y * tile : (y + 1) * tile, x * tile : (x + 1) * tile]
            for channel in range(pixels.shape[0])
            for plane in range(pixels.shape[1])
            for y in range(rows)
            for x in range(columns)
        )
        streams = map(self._encode, wanted) if self._threads is None else self._threads.map(self._encode, wanted)
        for stream in streams:
            self.lengths.append(len(stream))
            if stream:
                self._out.write(stream)
