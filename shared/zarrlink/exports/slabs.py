"""What a unit reads of its layer, slab by slab."""

from __future__ import annotations

from collections.abc import Iterator

from zarrlink.exports.plan import Plan
from zarrlink.exports.tiff_part import leaf_boxes
from zarrlink.exports.tiff_plan import TiffPlan, TiffUnit
from zarrlink.geometry import Vec3

Box = tuple[Vec3, Vec3]


def slab_boxes(plan: Plan, number: int) -> Iterator[Box]:
    """Start and end of each, in voxels of the mag; of a unit that reads the layer itself."""
    x, y, z = plan.box.top_left
    for start, end in _boxes(plan, number):
        yield (x + start[0], y + start[1], z + start[2]), (x + end[0], y + end[1], z + end[2])


def unit_box(plan: Plan, number: int) -> Box:
    """All of that."""
    unit, (width, height, _) = plan.unit(number), plan.box.size
    first, end = plan.layers.start(unit.layers[0]), plan.layers.start(unit.layers[1])
    spans = [(0, width), (0, height)]
    if isinstance(unit, TiffUnit):
        side = plan.spec.request.tile << unit.tier.last
        cells = unit.cells_x, unit.cells_y
        spans = [(a * side, min(b * side, most)) for (a, b), most in zip(cells, (width, height), strict=True)]
    x, y, z = plan.box.top_left
    (left, right), (top, bottom) = spans
    return (x + left, y + top, z + first), (x + right, y + bottom, z + end)


def _boxes(plan: Plan, number: int) -> Iterator[Box]:
    if isinstance(plan, TiffPlan):
        yield from leaf_boxes(plan, plan.unit(number))
        return
    for layer in range(*plan.unit(number).layers):
        first, end = plan.layers.start(layer), plan.layers.start(layer + 1)
        for band in range(plan.band.count):
            yield (0, plan.band.start(band), first), (plan.box.size[0], plan.band.start(band + 1), end)
