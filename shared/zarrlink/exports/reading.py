"""The layer of an export as pixels."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from numpy.typing import NDArray

from zarrlink.arrays.volume import Volume
from zarrlink.exports.pixels import PixelForm, Pixels
from zarrlink.geometry import Vec3

# Pixels of [start, end) of some level; (x, y, z) from the box's corner.
ReadPixels = Callable[[Vec3, Vec3], Awaitable[Pixels]]


def layer_reader(
    volume: Volume,
    corner: Vec3,
    form: PixelForm,
    extra: tuple[int, ...],
    renumber: Callable[[NDArray[Any]], NDArray[Any]] | None,
) -> ReadPixels:
    """Reads the layer itself. `corner`: the box's, in voxels of the mag. `renumber`: from stored ids to those of the
    table."""

    async def read(start: Vec3, end: Vec3) -> Pixels:
        low = corner[0] + start[0], corner[1] + start[1], corner[2] + start[2]
        high = corner[0] + end[0], corner[1] + end[1], corner[2] + end[2]
        voxels = await volume.read(low, high, extra)
        return form.take(voxels if renumber is None else renumber(voxels))

    return read
