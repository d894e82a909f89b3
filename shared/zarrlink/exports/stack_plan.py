"""How a ZIP of single-plane TIFFs is cut into units of whole planes: arithmetic alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from zarrlink.exports.layers import Layers, Span, aimed_unit_bytes, thickness
from zarrlink.exports.pixels import PixelForm
from zarrlink.exports.request import ExportSpec
from zarrlink.geometry import BoundingBox

# Very long strips crash Bio-Formats (bioformats2raw issue 217).
_STRIP_BYTES: Final = 2**20
_LEAST_DIGITS: Final = 4


@dataclass(frozen=True, slots=True)
class StackUnit:
    """One task's share: a half-open span of layers."""

    number: int
    layers: Span


@dataclass(frozen=True, slots=True)
class StackPlan:
    """All there is to know before a voxel is read. `box`: in voxels of the mag, aligned outward.

    `band`: rows that are read at a time; `strip`: rows of a strip.
    """

    spec: ExportSpec
    form: PixelForm
    box: BoundingBox
    layers: Layers
    band: Layers
    strip: int
    per_unit: int

    @property
    def units(self) -> int:
        return -(-self.layers.count // self.per_unit)

    @property
    def planes(self) -> int:
        """Files of the ZIP."""
        return self.box.size[2] * self.form.planes

    @property
    def plane_bytes(self) -> int:
        """Of one plane before it is encoded."""
        return self.box.size[0] * self.box.size[1] * self.form.dtype.itemsize * self.form.samples

    @property
    def raw_bytes(self) -> int:
        return self.planes * self.plane_bytes

    def unit(self, number: int) -> StackUnit:
        first = number * self.per_unit
        return StackUnit(number, (first, min(first + self.per_unit, self.layers.count)))

    def part_number(self, unit: int) -> int:
        """The last part, after all units, is the ZIP's directory."""
        return unit + 1

    def planes_of(self, unit: StackUnit) -> Span:
        return self.layers.start(unit.layers[0]), self.layers.start(unit.layers[1])

    def file_name(self, z: int, channel: int) -> str:
        """Of the plane `z` of the box; the name has its absolute z in mag-1 voxels, of which each has as many digits."""
        mag, start, depth = self.spec.request.mag.z, self.box.top_left[2], self.box.size[2]
        ends = start * mag, (start + depth - 1) * mag
        digits = max(_LEAST_DIGITS, *(len(str(abs(end))) for end in ends))
        folder = f"channel_{channel}/" if self.form.planes > 1 else ""
        position = (start + z) * mag
        sign = "-" if position < 0 else ""
        return f"{folder}{file_stem(self.spec.source.layer)}_z{sign}{abs(position):0{digits}d}.tif"

    def files_of(self, unit: StackUnit) -> list[tuple[int, int]]:
        """Plane and channel of each file, in the order of the unit's part."""
        first, end = self.planes_of(unit)
        return [(z, channel) for z in range(first, end) for channel in range(self.form.planes)]


def plan_stack(spec: ExportSpec, box: BoundingBox, form: PixelForm) -> StackPlan:
    """`box` in voxels of the mag. Checks nothing: see `zarrlink.exports.plan`."""
    limits, (_, chunk_y, chunk_z) = spec.limits, spec.source.chunk
    width, height, depth = box.size
    row_bytes, read_bytes = width * form.voxel_bytes, width * form.read_bytes
    thick = thickness(chunk_z, depth, read_bytes * min(chunk_y, height), limits.slab, limits.largest_slab)
    # Planes of a unit are whole: rather thin layers than units above their bound.
    most = max(1, limits.unit // (row_bytes * height))
    thick = min(thick, max(most // chunk_z * chunk_z, min(chunk_z, most)), chunk_z * -(-depth // chunk_z))
    start, source = box.top_left, spec.source.chunk_start
    layers = Layers.aligned(depth, thick, start[2] - source[2])
    rows = max(1, limits.slab // (read_bytes * min(thick, depth)))
    band = Layers.aligned(height, max(chunk_y, rows // chunk_y * chunk_y), start[1] - source[1])
    strip = min(height, max(1, _STRIP_BYTES // (row_bytes // form.planes)))
    aim = aimed_unit_bytes(spec, row_bytes * height * depth)
    per_unit = min(layers.count, max(1, aim // (row_bytes * height * min(thick, depth))))
    return StackPlan(spec, form, box, layers, band, strip, per_unit)


def file_stem(layer: str) -> str:
    """A layer's name as it may stand in the name of a file anywhere."""
    return "".join(sign if sign.isascii() and (sign.isalnum() or sign in "-_") else "_" for sign in layer) or "layer"
