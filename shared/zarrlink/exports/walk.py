"""In which order the tiles of a unit are made, and so lie in its part.

Cell by cell through a layer, and through a cell as through a quadtree, the coarser tile after its four finer ones: so
that no more than one tile of each level is held at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from zarrlink.exports.layers import Span
from zarrlink.exports.tiff_plan import Tier, TiffPlan, TiffUnit


class Node(NamedTuple):
    """What one tile of a level covers, (x, y) in tiles of that level."""

    level: int
    x: int
    y: int


class Batch(NamedTuple):
    """Tiles that lie together, in the order (c, z, y, x): all channels, half-open spans of planes and tiles."""

    level: int
    planes: Span
    tiles_y: Span
    tiles_x: Span


def cells(unit: TiffUnit) -> Iterator[tuple[int, Node]]:
    """Each layer's number with each cell of a unit."""
    for layer in range(*unit.layers):
        for y in range(*unit.cells_y):
            for x in range(*unit.cells_x):
                yield layer, Node(unit.tier.last, x, y)


def nodes(plan: TiffPlan, tier: Tier, root: Node) -> Iterator[Node]:
    """A node after all those below it, from the tier's leaves on; those outside the picture are left out."""
    if root.level > tier.leaf:
        below = plan.levels[root.level - 1]
        for y in (2 * root.y, 2 * root.y + 1):
            for x in (2 * root.x, 2 * root.x + 1):
                if x < below.tiles_x and y < below.tiles_y:
                    yield from nodes(plan, tier, Node(root.level - 1, x, y))
    yield root


def tiles_of(plan: TiffPlan, node: Node, level: int, planes: Span) -> Batch:
    """The tiles of a level that a node of the same or a coarser level covers."""
    shown, wide = plan.levels[level], 1 << (node.level - level)
    return Batch(
        level,
        planes,
        (node.y * wide, min((node.y + 1) * wide, shown.tiles_y)),
        (node.x * wide, min((node.x + 1) * wide, shown.tiles_x)),
    )


def batches(plan: TiffPlan, unit: TiffUnit) -> Iterator[Batch]:
    """All tiles of a unit, in the order of its part."""
    tier = unit.tier
    for layer, cell in cells(unit):
        planes = plan.layers.start(layer), plan.layers.start(layer + 1)
        for node in nodes(plan, tier, cell):
            finest = tier.first if node.level == tier.leaf else node.level
            for level in range(finest, node.level + 1):
                yield tiles_of(plan, node, level, planes)
