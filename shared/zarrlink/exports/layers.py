"""How a box is cut along z: in runs of whole stored chunks, so that none is read twice."""

from __future__ import annotations

from dataclasses import dataclass

from zarrlink.exports.request import ExportSpec

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Layers:
    """`depth` voxels in runs of `thick`, the first shorter where the box begins within a chunk. All in a mag's own
    voxels, counted from the box's corner."""

    depth: int
    thick: int
    first: int

    @classmethod
    def aligned(cls, depth: int, thick: int, corner: int) -> Layers:
        """`corner`: where the box begins in the grid that the runs are aligned to."""
        return cls(depth, thick, min(depth, thick - corner % thick))

    @property
    def count(self) -> int:
        return 1 + -(-(self.depth - self.first) // self.thick)

    def start(self, number: int) -> int:
        """Where run `number` begins; that of `count` is the end."""
        return min(self.depth, self.first + (number - 1) * self.thick) if number else 0


def thickness(chunk: int, depth: int, area_bytes: int, slab: int, largest_slab: int) -> int:
    """How many voxels along z are read at a time: whole chunks where they fit.

    `area_bytes`: of one plane of what is read. A chunk that is too thick even for `largest_slab` is read in pieces.
    """
    if area_bytes * min(chunk, depth) > largest_slab:
        return max(1, largest_slab // area_bytes)
    return chunk * max(1, slab // (area_bytes * chunk))


def aimed_unit_bytes(spec: ExportSpec, raw_bytes: int) -> int:
    """Voxel bytes for a unit: some dozen units for small boxes, and parts that need no padding."""
    limits = spec.limits
    aim = min(limits.aimed_unit, max(limits.smallest_unit, raw_bytes // 16))
    # Twice as much as fills the smallest part, since a sample may err.
    aim = max(aim, int(2 * limits.least_part / max(spec.ratio, 1e-4)), 2 * raw_bytes // limits.parts)
    return min(aim, limits.unit)
