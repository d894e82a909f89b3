"""From what a bare folder says of its arrays to a layer in WEBKNOSSOS's words: axes, mags, box. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from zarrlink.errors import InvalidRequest, UnsupportedLayer, brief
from zarrlink.formats.datasource import AxisOrder, ExtraAxis, LayerDescription, MagDescription
from zarrlink.geometry import LENGTH_UNITS, BoundingBox, Mag, Vec3, VoxelSize, vec3

Factors = tuple[float, float, float]

# A level whose factor is farther than this from a whole number is no mag: its voxels would lie visibly beside their place.
TOLERANCE: Final = 0.01
NO_UNIT: Final = "pixel"
"""Stands where nothing is said of lengths. No word of OME-NGFF's, so it is not passed on."""
_CLASSES: Final = {"float32": "float", "float64": "double"}
_UNITS: Final = {
    **dict.fromkeys(("nm", "nanometers", "nanometre"), "nanometer"),
    **dict.fromkeys(("um", "µm", "μm", "micron", "microns", "micrometers", "micrometre"), "micrometer"),
    **dict.fromkeys(("mm", "millimeters", "millimetre"), "millimeter"),
    **dict.fromkeys(("å", "angstroms"), "angstrom"),
    **dict.fromkeys(("m", "meters", "metre"), "meter"),
}


@dataclass(frozen=True, slots=True)
class FoundLevel:
    """A level that is there. `shape` in array axis order; `factors` (x, y, z): how many voxels of mag 1 a voxel of it
    spans along each axis, None where that is not said and follows from the shapes."""

    folder: str
    shape: tuple[int, ...]
    dtype: str
    factors: Factors | None


@dataclass(frozen=True, slots=True)
class Axes:
    """Which array axis is which; `others`: name -> array axis of all the rest."""

    order: AxisOrder
    others: tuple[tuple[str, int], ...]

    def xyz(self, lengths: Sequence[float]) -> Factors:
        """Of one number for each array axis those of x, y, z; 1 where there is no z."""
        order = self.order
        return lengths[order.x], lengths[order.y], 1.0 if order.z is None else lengths[order.z]

    def size(self, shape: tuple[int, ...]) -> Vec3:
        order = self.order
        return shape[order.x], shape[order.y], 1 if order.z is None else shape[order.z]


def axes_by_name(names: Sequence[str | None]) -> Axes:
    """Axes by their names. Raises UnsupportedLayer where x or y is missing."""
    places = {name.lower(): place for place, name in enumerate(names) if name is not None}
    if "x" not in places or "y" not in places:
        raise UnsupportedLayer(f"its axes are named {brief(list(names))}, without x or y")
    order = AxisOrder(places.get("c", places.get("channel")), places["x"], places["y"], places.get("z"))
    others = [(name or f"axis {place}", place) for place, name in enumerate(names) if place not in order.positions]
    return Axes(order, tuple(others))


def unit_word(unit: str | None) -> str:
    """The word form of a unit of length, NO_UNIT where it is none that is known."""
    if unit is None:
        return NO_UNIT
    return unit if unit in LENGTH_UNITS else _UNITS.get(unit.lower(), NO_UNIT)


def voxel_size(lengths: Factors, unit: str) -> VoxelSize:
    """Raises UnsupportedLayer for lengths that no voxel has."""
    try:
        return VoxelSize(lengths, unit)
    except InvalidRequest as error:
        raise UnsupportedLayer(str(error)) from error


def make_layer(
    name: str,
    data_format: Literal["zarr", "zarr3", "n5", "neuroglancerPrecomputed"],
    axes: Axes,
    levels: Sequence[FoundLevel],
    *,
    segmentation: bool = False,
    corner: Vec3 = (0, 0, 0),
    view: dict[str, Any] | None = None,
    notes: tuple[str, ...] = (),
) -> LayerDescription:
    """A layer of these levels, of which there must be one. `corner`: of the box, in voxels of the finest level.

    Levels that are no mags are left out with a note. Raises UnsupportedLayer where none is left.
    """
    first = levels[0]
    told = list(notes)
    found: dict[Mag, FoundLevel] = {}
    for level in levels:
        try:
            mag = _mag(level, first, axes)
        except UnsupportedLayer as error:
            told.append(f"level {level.folder} is left out: {error}")
            continue
        if mag in found:
            told.append(f"level {level.folder} is left out: mag {mag.literal} is there already")
        elif level.dtype != first.dtype or len(level.shape) != len(first.shape):
            told.append(f"level {level.folder} is left out: it is stored in another way than the first one")
        else:
            found[mag] = level
    if not found:
        raise UnsupportedLayer("none of its levels is a whole number of times coarser than mag 1")
    finest = min(found, key=lambda mag: (mag.x * mag.y * mag.z, mag))
    shape = found[finest].shape
    order = axes.order
    channels = 1 if order.c is None else shape[order.c]
    box = BoundingBox(
        vec3([at * side for at, side in zip(corner, finest.xyz, strict=True)]),
        vec3([length * side for length, side in zip(axes.size(shape), finest.xyz, strict=True)]),
    )
    # An axis of one coordinate is no axis to anyone.
    extra = tuple(ExtraAxis(name, 0, shape[place], place) for name, place in axes.others if shape[place] > 1)
    return LayerDescription(
        name=name,
        category="segmentation" if segmentation else "color",
        box=box,
        element_class=_element_class(first.dtype, channels, segmentation=segmentation),
        data_format=data_format,
        channels=channels,
        mags=tuple(
            MagDescription(mag, (level.folder,), None, None if data_format == "neuroglancerPrecomputed" else order)
            for mag, level in sorted(found.items(), key=lambda item: (item[0].x * item[0].y * item[0].z, item[0]))
        ),
        view=view or {},
        extra_axes=extra,
        notes=tuple(told),
    )


def _mag(level: FoundLevel, first: FoundLevel, axes: Axes) -> Mag:
    if level.factors is None:
        return _mag_by_shape(axes.size(level.shape), axes.size(first.shape))
    sides = [round(factor) for factor in level.factors if factor < 10**6]
    if len(sides) < 3 or any(
        side < 1 or abs(factor - side) > TOLERANCE * side for factor, side in zip(level.factors, sides, strict=True)
    ):
        shown = " x ".join(f"{factor:g}" for factor in level.factors)
        raise UnsupportedLayer(f"it is {shown} times coarser than mag 1, which is no whole number")
    return Mag(*sides)


def _mag_by_shape(size: Vec3, finest: Vec3) -> Mag:
    sides = [max(round(whole / part), 1) for whole, part in zip(finest, size, strict=True)]
    for whole, part, side in zip(finest, size, sides, strict=True):
        if part not in (whole // side, -(-whole // side)):
            raise UnsupportedLayer("its size is no whole part of the finest level's, and its scale is not given")
    return Mag(*sides)


def _element_class(dtype: str, channels: int, *, segmentation: bool) -> str:
    if dtype == "uint8" and channels == 3 and not segmentation:
        return "uint24"
    return _CLASSES.get(dtype, dtype)
