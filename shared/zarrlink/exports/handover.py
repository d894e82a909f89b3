"""The voxels that one tier hands to the next: raw, cell after cell, as `encode_unit` leaves them."""

from __future__ import annotations

import asyncio
import math
from typing import Final

import numpy as np

from zarrlink.errors import PartsDiffer
from zarrlink.exports.pixels import Pixels
from zarrlink.exports.reading import ReadPixels
from zarrlink.exports.scratch import Scratch
from zarrlink.exports.tiff_plan import Tier, TiffPlan
from zarrlink.geometry import Vec3

HANDED_OVER: Final = "handed-over/"


def handover_key(unit: int) -> str:
    return f"{HANDED_OVER}{unit:06d}"


def handover_reader(plan: TiffPlan, tier: Tier, scratch: Scratch) -> ReadPixels:
    """Reads what `tier` handed over: a cell of a layer at a time, as the leaves of the next tier ask for it.

    Raises PartsDiffer, naming the part of a unit whose voxels are not there.
    """
    tile, form = plan.spec.request.tile, plan.form
    layer_at = {plan.layers.start(layer): layer for layer in range(tier.layers)}

    async def read(start: Vec3, end: Vec3) -> Pixels:
        number, offset = place(plan, tier, start[0] // tile, start[1] // tile, layer_at[start[2]])
        shape = (form.planes, *(b - a for a, b in zip(start[::-1], end[::-1], strict=True)), form.samples)
        length = math.prod(shape) * form.dtype.itemsize
        data = await asyncio.to_thread(scratch.get, handover_key(number), offset, length)
        if data is None or len(data) != length:
            raise PartsDiffer((plan.part_number(number),))
        return np.frombuffer(data, form.dtype).reshape(shape)

    return read


def place(plan: TiffPlan, tier: Tier, cell_x: int, cell_y: int, layer: int) -> tuple[int, int]:
    """Which unit handed a cell of a layer over, and at which byte of what it did."""
    (nx, ny, nz), (grid_x, grid_y, _) = tier.per_unit, tier.grid
    number = tier.first_unit + cell_x // nx + grid_x * (cell_y // ny + grid_y * (layer // nz))
    unit, tile, level = plan.unit(number), plan.spec.request.tile, plan.levels[tier.last]
    left, top = unit.cells_x[0] * tile, unit.cells_y[0] * tile
    width = min(unit.cells_x[1] * tile, level.width) - left
    height = min(unit.cells_y[1] * tile, level.height) - top
    row, column = cell_y * tile - top, cell_x * tile - left
    before = (plan.layers.start(layer) - plan.layers.start(unit.layers[0])) * width * height
    thick = plan.layers.start(layer + 1) - plan.layers.start(layer)
    row_height = min(tile, level.height - cell_y * tile)
    return number, (before + thick * (row * width + column * row_height)) * plan.form.voxel_bytes
