"""OME-NGFF image metadata, versions 0.4 (Zarr v2) and 0.5 (Zarr v3).

Source: ngff.openmicroscopy.org, 0.4 and 0.5, "multiscales", "omero" and "labels" metadata. Arrays have the axes
(z, y, x), or (c, z, y, x) where there are several channels, time or another axis before them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from zarrlink.geometry import LENGTH_UNITS, Mag, Vec3, VoxelSize

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Channel:
    """How a viewer shows a channel. `color` as RRGGBB, window limits in stored values."""

    label: str
    color: str
    start: float
    end: float
    minimum: float
    maximum: float
    inverted: bool = False
    active: bool = True


@dataclass(frozen=True, slots=True)
class Image:
    """What the metadata of a layer says. `origin`: mag-1 voxel (x, y, z) at array index 0 of every level.

    `leading`: name and first coordinate of each axis before channels and space.
    """

    name: str
    voxel_size: VoxelSize
    origin: Vec3
    mags: tuple[Mag, ...]
    channel_axis: bool
    is_label: bool
    channels: tuple[Channel, ...]
    default_z: int
    provenance: Json
    leading: tuple[tuple[str, int], ...] = ()


def level_transformations(image: Image, mag: Mag) -> list[Json]:
    """Scale and translation of a level, in axis order.

    The translation names the centre of the first voxel, (origin + (mag - 1) / 2) x voxel size, so that one landmark
    lies at one physical place in every level.
    """
    zyx = list(zip(image.voxel_size.factor, mag.xyz, image.origin, strict=True))[::-1]
    firsts = [float(start) for _, start in image.leading] + [0.0] * image.channel_axis
    scale = [1.0] * len(firsts) + [length * side for length, side, _ in zyx]
    translation = firsts + [(corner + (side - 1) / 2) * length for length, side, corner in zyx]
    return [{"type": "scale", "scale": scale}, {"type": "translation", "translation": translation}]


def attributes_v04(image: Image) -> Json:
    """`.zattrs` of the group.

    Without `image-label`: napari's reader looks for a parent image on the local disk and fails (docs/decisions/0010).
    """
    return {"multiscales": [{"version": "0.4", **_multiscale(image)}], **_omero(image, version="0.4")}


def attributes_v05(image: Image) -> Json:
    """`attributes` of the group's `zarr.json`."""
    label: Json = {"image-label": {"version": "0.5"}} if image.is_label else {}
    return {"ome": {"version": "0.5", "multiscales": [_multiscale(image)], **label, **_omero(image, version="0.5")}}


def _multiscale(image: Image) -> Json:
    unit = image.voxel_size.unit
    space: Json = {"type": "space", "unit": unit} if unit in LENGTH_UNITS else {"type": "space"}
    axes: list[Json] = [{"name": name, "type": "time"} if name == "t" else {"name": name} for name, _ in image.leading]
    axes += [{"name": "c", "type": "channel"}] * image.channel_axis
    axes += [{"name": name, **space} for name in ("z", "y", "x")]
    datasets = [
        {"path": str(level), "coordinateTransformations": level_transformations(image, mag)}
        for level, mag in enumerate(image.mags)
    ]
    return {"name": image.name, "axes": axes, "datasets": datasets, "metadata": image.provenance}


def _omero(image: Image, version: Literal["0.4", "0.5"]) -> Json:
    if not image.channels:
        return {}
    channels = [
        {
            "label": channel.label,
            "color": channel.color,
            "active": channel.active,
            "inverted": channel.inverted,
            "coefficient": 1,
            "family": "linear",
            "window": {
                "start": channel.start,
                "end": channel.end,
                "min": channel.minimum,
                "max": channel.maximum,
            },
        }
        for channel in image.channels
    ]
    model: Literal["color", "greyscale"] = "color" if len(channels) > 1 else "greyscale"
    rdefs = {"defaultT": 0, "defaultZ": image.default_z, "model": model}
    return {"omero": {"version": version, "channels": channels, "rdefs": rdefs}}
