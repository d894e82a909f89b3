"""How an OME-TIFF is cut into units: arithmetic alone.

Each unit is a box of whole layers along z, aligned in x and y so that each of its pyramid levels has whole tiles: no
second pass over voxels, no seams. Where a plane is so wide that such a box would be larger than a unit may be, the unit
ends at a finer level, whose voxels it hands over, and a second tier of units makes the coarser ones from those.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from zarrlink.exports.layers import Layers, Span, aimed_unit_bytes, thickness
from zarrlink.exports.pixels import PixelForm
from zarrlink.exports.request import ExportSpec
from zarrlink.geometry import BoundingBox, vec3

# A pyramid ends where a level fits a screen; a level smaller than a tile would be mostly padding.
_FITS_A_SCREEN: Final = 1024


@dataclass(frozen=True, slots=True)
class TiffLevel:
    """Pixels of a plane, and how many tiles cover them."""

    width: int
    height: int
    tiles_x: int
    tiles_y: int


@dataclass(frozen=True, slots=True)
class Tier:
    """Units that make the levels `first` to `last` from level `source`: 0 is the layer itself, others are handed over.

    A cell is what one tile of level `last` covers. `leaf`: the level of which one tile covers what is read at a time.
    `cells`: how many along x and y; `per_unit`: cells along x and y, and layers. `first_unit`: the number of its first.
    """

    number: int
    source: int
    first: int
    last: int
    leaf: int
    cells: tuple[int, int]
    per_unit: tuple[int, int, int]
    layers: int
    first_unit: int

    @property
    def grid(self) -> tuple[int, int, int]:
        """How many units along x, y and z."""
        (x, y), (nx, ny, nz) = self.cells, self.per_unit
        return -(-x // nx), -(-y // ny), -(-self.layers // nz)

    @property
    def units(self) -> range:
        x, y, z = self.grid
        return range(self.first_unit, self.first_unit + x * y * z)


@dataclass(frozen=True, slots=True)
class TiffUnit:
    """One task's share: half-open spans of cells and layers of a tier."""

    number: int
    tier: Tier
    cells_x: Span
    cells_y: Span
    layers: Span


@dataclass(frozen=True, slots=True)
class TiffPlan:
    """All there is to know before a voxel is read. `box`: in voxels of the mag, aligned outward."""

    spec: ExportSpec
    form: PixelForm
    box: BoundingBox
    levels: tuple[TiffLevel, ...]
    layers: Layers
    tiers: tuple[Tier, ...]

    @property
    def units(self) -> int:
        return self.tiers[-1].units.stop

    @property
    def planes(self) -> int:
        """Full-resolution directories of the file, z fastest, then channels."""
        return self.box.size[2] * self.form.planes

    @property
    def tile_bytes(self) -> int:
        return self.spec.request.tile**2 * self.form.samples * self.form.dtype.itemsize

    @property
    def raw_bytes(self) -> int:
        """Of all tiles before they are encoded."""
        return sum(level.tiles_x * level.tiles_y for level in self.levels) * self.planes * self.tile_bytes

    def unit(self, number: int) -> TiffUnit:
        tier = next(tier for tier in self.tiers if number in tier.units)
        grid_x, grid_y, _ = tier.grid
        at = number - tier.first_unit
        places = at % grid_x, at // grid_x % grid_y, at // (grid_x * grid_y)
        spans = [
            (place * step, min((place + 1) * step, end))
            for place, step, end in zip(places, tier.per_unit, (*tier.cells, tier.layers), strict=True)
        ]
        return TiffUnit(number, tier, *spans)

    def part_number(self, unit: int) -> int:
        """Part 1 is the front."""
        return unit + 2

    def level_box_mag1(self, level: int) -> BoundingBox:
        """What a level covers in mag-1 voxels: at least the box that was asked for."""
        mag, shown = self.spec.request.mag, self.levels[level]
        sides = (mag.x << level, mag.y << level, mag.z)
        corner = [start * side for start, side in zip(self.box.top_left, mag.xyz, strict=True)]
        pixels = (shown.width, shown.height, self.box.size[2])
        return BoundingBox(vec3(corner), vec3([side * length for side, length in zip(sides, pixels, strict=True)]))


def plan_tiff(spec: ExportSpec, box: BoundingBox, form: PixelForm) -> TiffPlan:
    """`box` in voxels of the mag. Checks nothing: see `zarrlink.exports.plan`."""
    request, limits, chunk = spec.request, spec.limits, spec.source.chunk
    width, height, depth = box.size
    tile, voxel = request.tile, form.voxel_bytes
    levels = _levels(width, height, tile, request.levels)
    top = len(levels) - 1

    def covered(level: int) -> int:
        """Voxels of a plane that one tile of a level covers."""
        return min(tile << level, width) * min(tile << level, height)

    # What is read at a time is as wide as a stored chunk, else each of them would be decoded for every tile it is in.
    leaf, thin = 0, min(chunk[2], depth) * form.read_bytes
    while leaf < top and (
        (tile << leaf < max(chunk[:2]) and covered(leaf + 1) * thin <= limits.largest_slab)
        or covered(leaf + 1) * thin <= limits.slab // 4
    ):
        leaf += 1
    thick = thickness(chunk[2], depth, covered(leaf) * form.read_bytes, limits.slab, limits.largest_slab)
    thick = min(thick, chunk[2] * -(-depth // chunk[2]))
    if thick > chunk[2]:
        # Thinner, if then all levels fit one unit.
        fitting = limits.unit // (covered(top) * voxel) // chunk[2] * chunk[2]
        thick = min(thick, max(fitting, chunk[2]))
    thick_bytes = min(thick, depth) * voxel
    layers = Layers.aligned(depth, thick, box.top_left[2] - spec.source.chunk_start[2])
    aim = aimed_unit_bytes(spec, width * height * depth * voxel)
    tiers: list[Tier] = []
    source, first = 0, 0
    while first <= top or not tiers:
        last = max(first, leaf)
        side = (levels[source].width, levels[source].height)
        while last < top and _cell(tile, last + 1 - source, side) * thick_bytes <= limits.unit:
            last += 1
        cell = _cell(tile, last - source, side)
        cells = levels[last].tiles_x, levels[last].tiles_y
        per_unit = _per_unit(aim, cell * thick_bytes, cells, layers.count)
        first_unit = tiers[-1].units.stop if tiers else 0
        tiers.append(Tier(len(tiers), source, first, last, leaf, cells, per_unit, layers.count, first_unit))
        # What is handed over are whole cells, so they are the leaves of what follows.
        source, first, leaf = last, last + 1, last
    return TiffPlan(spec, form, box, levels, layers, tuple(tiers))


def _levels(width: int, height: int, tile: int, asked: int | None) -> tuple[TiffLevel, ...]:
    levels: list[TiffLevel] = []
    while True:
        levels.append(TiffLevel(width, height, -(-width // tile), -(-height // tile)))
        enough = max(width, height) <= _FITS_A_SCREEN if asked is None else len(levels) == asked
        if enough or max(width, height) == 1:
            return tuple(levels)
        width, height = -(-width // 2), -(-height // 2)


def _cell(tile: int, levels: int, side: Span) -> int:
    """Voxels of a plane of the source level that a tile `levels` above it covers."""
    return min(tile << levels, side[0]) * min(tile << levels, side[1])


def _per_unit(aim: int, cell_bytes: int, cells: tuple[int, int], layers: int) -> tuple[int, int, int]:
    """As many cells along x, then y, then layers as the aim has room for; a further axis once the one before is full."""
    x = min(cells[0], max(1, aim // cell_bytes))
    y = min(cells[1], max(1, aim // (cell_bytes * x))) if x == cells[0] else 1
    z = min(layers, max(1, aim // (cell_bytes * x * y))) if y == cells[1] and x == cells[0] else 1
    return x, y, z
