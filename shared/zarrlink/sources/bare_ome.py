"""OME-Zarr groups without a description: an image, its labels, a collection of images."""

from __future__ import annotations

import math
from typing import Final

from zarrlink.errors import CorruptFile, UnsupportedLayer
from zarrlink.formats import source_ngff
from zarrlink.formats.datasource import LayerDescription
from zarrlink.formats.source_ngff import SourceImage
from zarrlink.geometry import VoxelSize
from zarrlink.sources.documents import Documents
from zarrlink.sources.pyramid import NO_UNIT, Axes, FoundLevel, axes_by_name, make_layer, unit_word, voxel_size

MAX_IMAGES: Final = 64


async def read_image(documents: Documents, prefix: str) -> SourceImage | None:
    """The image of the group below `prefix`, None where there is none. Raises CorruptFile, SourceUnavailable."""
    attributes = await documents.zarr_attributes(prefix, source_ngff.MAX_BYTES)
    if attributes is None or not source_ngff.is_image(attributes):
        return None
    return source_ngff.parse_image(attributes, key=prefix)


async def labels_of(documents: Documents, prefix: str) -> tuple[str, ...]:
    """The labels of an image, as folders below it."""
    attributes = await documents.zarr_attributes(f"{prefix}labels/", source_ngff.MAX_BYTES)
    return () if attributes is None else tuple(f"labels/{name}" for name in source_ngff.label_names(attributes))


def size_of(image: SourceImage) -> VoxelSize:
    """The size of a voxel of the image's finest level. Raises UnsupportedLayer."""
    axes, scale = _axes(image), image.levels[0].scale
    units = {image.axes[place].unit for place in (axes.order.x, axes.order.y, axes.order.z) if place is not None}
    if len(units) > 1:
        raise UnsupportedLayer("its axes of space have different units")
    unit = unit_word(next(iter(units)))
    return voxel_size((1.0, 1.0, 1.0), NO_UNIT) if scale is None else voxel_size(axes.xyz(scale), unit)


async def image_layer(
    documents: Documents, prefix: str, name: str, image: SourceImage, mag1: VoxelSize, *, label: bool
) -> LayerDescription:
    """The layer of an image, with mags relative to the dataset's voxel size. Raises UnsupportedLayer, CorruptFile."""
    axes = _axes(image)
    levels: list[FoundLevel] = []
    notes: list[str] = []
    versions = set()
    for level in image.levels:
        folder = prefix + level.path
        array = await documents.zarr_array(f"{folder}/")
        if array is None:
            notes.append(f"level {level.path} is left out: it has no array")
            continue
        if len(array.shape) != len(image.axes):
            raise CorruptFile("an OME-Zarr array has other axes than its image says", key=folder)
        factors = None
        if level.scale is not None:
            x, y, z = (length / unit for length, unit in zip(axes.xyz(level.scale), mag1.factor, strict=True))
            factors = (x, y, 1.0 if axes.order.z is None else z)
        versions.add(array.version)
        levels.append(FoundLevel(folder, array.shape, array.dtype, factors))
    if not levels:
        raise UnsupportedLayer("it has no array")
    if len(versions) > 1:
        raise UnsupportedLayer("its levels are of both versions of Zarr")
    if size_of(image).unit != mag1.unit and image.levels[0].scale is not None:
        raise UnsupportedLayer("its lengths have another unit than those of the dataset's first image")
    shift = image.levels[0].translation
    if shift is not None and any(not math.isclose(length, 0, abs_tol=1e-12) for length in axes.xyz(shift)):
        notes.append("its translation is not kept: it starts at voxel 0")
    return make_layer(
        name,
        "zarr" if versions == {2} else "zarr3",
        axes,
        levels,
        segmentation=label or image.is_label,
        view=image.view,
        notes=tuple(notes),
    )


def _axes(image: SourceImage) -> Axes:
    """However the axes of channels and of time are named: what they are stands in their types."""
    channel, time = (
        next((axis.name for axis in image.axes if axis.kind == kind), name)
        for kind, name in (("channel", "c"), ("time", "t"))
    )
    return axes_by_name([{channel: "c", time: "t"}.get(axis.name, axis.name) for axis in image.axes])
