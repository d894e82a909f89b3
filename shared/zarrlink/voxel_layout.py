"""The geometry of layers whose chunks are made from voxels: as `zarrlink.layer`, without blocks to keep whole."""

from __future__ import annotations

import math
from dataclasses import dataclass

from zarrlink.errors import UnsupportedLayer
from zarrlink.formats.datasource import LayerDescription
from zarrlink.geometry import BoundingBox, Mag, Vec3, VoxelSize, vec3
from zarrlink.layer import MAX_CHUNK_BYTES, Layer, LeadingAxis, Level, check_mags, is_open, shown_box


@dataclass(frozen=True, slots=True)
class StoredVoxels:
    """A mag that can be read as voxels. `start`: its first voxel, `chunk`: what is stored together, both (x, y, z) in
    the mag's own voxels."""

    mag: Mag
    dtype: str
    item_bytes: int
    channels: int
    start: Vec3
    chunk: Vec3


def lay_out_voxels(
    described: LayerDescription,
    voxel_size: VoxelSize,
    stored: list[StoredVoxels],
    *,
    box: BoundingBox | None = None,
    finest: Mag | None = None,
    leading: tuple[LeadingAxis, ...] = (),
    notes: tuple[str, ...] = (),
) -> Layer:
    """The served form of a layer: a chunk is the stored one, cut until it has at most MAX_CHUNK_BYTES.

    The voxels' type is what is stored: whether it agrees with the description is the caller's to tell.
    Raises UnsupportedLayer, naming the layer and the reason.
    """
    shown = shown_box(described, box)
    stored = [mag for mag in stored if is_open(mag.mag, finest)]
    check_mags(described.name, len(stored), finest, notes)
    first = stored[0]
    if any((mag.dtype, mag.channels) != (first.dtype, first.channels) for mag in stored):
        raise UnsupportedLayer(f"layer {described.name!r}: its mags are stored as different voxel types")
    origin = vec3([_origin(shown, stored, axis) for axis in range(3)])
    return Layer(
        name=described.name,
        category=described.category,
        element_class=described.element_class,
        dtype=first.dtype,
        item_bytes=first.item_bytes,
        channels=first.channels,
        voxel_size=voxel_size,
        box=shown,
        origin=origin,
        levels=tuple(_level(mag, shown, origin) for mag in stored),
        view=described.view,
        notes=notes,
        leading=leading,
    )


def _origin(box: BoundingBox, stored: list[StoredVoxels], axis: int) -> int:
    """The box's corner aligned down along an axis: to whole stored chunks of every level where that costs little.

    A corner between chunks of the finest level stays, since only a level without padding can go out as it is stored.
    """
    corner = box.top_left[axis]
    sides = [mag.chunk[axis] * mag.mag.xyz[axis] for mag in stored]
    starts = [mag.start[axis] * mag.mag.xyz[axis] for mag in stored]
    together, mags = math.lcm(*sides), math.lcm(*(mag.mag.xyz[axis] for mag in stored))
    if corner % mags == 0 and (corner - starts[0]) % sides[0] == 0:
        return corner
    start = min(starts)
    aligned = corner - (corner - start) % together
    if together <= 2 * max(sides) and aligned % mags == 0:
        return aligned
    return corner - corner % mags


def _level(stored: StoredVoxels, box: BoundingBox, origin_mag1: Vec3) -> Level:
    inside = box.in_mag(stored.mag)
    origin = vec3([corner // side for corner, side in zip(origin_mag1, stored.mag.xyz, strict=True)])
    shape = [end - start for start, end in zip(origin, inside.bottom_right, strict=True)]
    chunk = [min(side, length) for side, length in zip(stored.chunk, shape, strict=True)]
    while math.prod(chunk) * stored.channels * stored.item_bytes > MAX_CHUNK_BYTES:
        longest = max(range(3), key=lambda axis: chunk[axis])
        chunk[longest] = -(-chunk[longest] // 2)

    return Level(
        mag=stored.mag,
        box_start=inside.top_left,
        box_end=inside.bottom_right,
        origin=origin,
        chunk=vec3(chunk),
    )
