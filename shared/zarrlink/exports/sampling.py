"""How well a box compresses, from a few tiles of it: for the size of units, and for what is told beforehand."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from zarrlink.arrays.volume import Volume
from zarrlink.errors import InvalidRequest
from zarrlink.exports.encoder import TileEncoder
from zarrlink.exports.plan import Plan, check_box, lay_out
from zarrlink.exports.request import ExportSpec

_TILES: Final = 9
_SIDE: Final = 256


async def sample(spec: ExportSpec, volume: Volume) -> ExportSpec:
    """The spec with its sampled ratio. Whether the file would be too large is for the plan to say: it depends on that.

    Raises InvalidRequest for a box that does not lie in the layer, UnsupportedLayer, and what reading raises.
    """
    check_box(spec)
    return replace(spec, ratio=await sample_ratio(lay_out(spec), volume))


async def sample_ratio(plan: Plan, volume: Volume) -> float:
    """Encoded bytes for a byte of voxels, from 0.001 to 1.1: of single planes, spread evenly over the box.

    The same box gives the same ratio. Raises what reading raises.
    """
    (x, y, z), (width, height, depth) = plan.box.top_left, plan.box.size
    form, request = plan.form, plan.spec.request
    encoder = TileEncoder(_SIDE, form.samples, form.dtype, request.compression, predictor=form.predictor)
    raw = encoded = 0
    for number in range(_TILES):
        # Along a diagonal that visits each third of every axis.
        at = [(number % 3 * 2 + 1) / 6, (number // 3 * 2 + 1) / 6, (number * 2 + 1) / (2 * _TILES)]
        left, top = (max(0, int(share * side) - _SIDE // 2) for share, side in zip(at, (width, height), strict=False))
        start = x + left, y + top, z + int(at[2] * depth)
        end = min(x + width, start[0] + _SIDE), min(y + height, start[1] + _SIDE), start[2] + 1
        voxels = await volume.read(start, end, request.extra)
        pixels = _taken(plan, voxels)
        raw += pixels.shape[0] * _SIDE * _SIDE * form.samples * form.dtype.itemsize
        encoded += sum(len(encoder.encode(pixels[channel, 0])) for channel in range(pixels.shape[0]))
    return min(1.1, max(0.001, encoded / raw))


def _taken(plan: Plan, voxels: np.ndarray) -> np.ndarray:
    """As the export will have them; 64-bit ids that do not fit are for the export itself to refuse."""
    if not plan.form.renumbered:
        try:
            return plan.form.take(voxels)
        except InvalidRequest:
            pass
    return (voxels % np.iinfo(plan.form.dtype).max).astype(plan.form.dtype)[..., None]
