"""The Zarr tree of a built dataset, made by the pure part of the product alone: no source, no server."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from zarrlink.byte_range import ByteRange
from zarrlink.formats.datasource import FILE_NAME, parse_description
from zarrlink.formats.wkw import HEADER_BYTES, TableSlice, WkwHeader, file_key, raw_spans, table_range
from zarrlink.formats.zarr_keys import Dialect, chunk_key
from zarrlink.geometry import BoundingBox, Mag, Vec3
from zarrlink.layer import Layer, Level, StoredMag, WkwLevel, lay_out
from zarrlink.metadata import documents
from zarrlink.transcode import ArrayForm, ChunkPlan, ChunkShape, Stored

from .wkw_files import Objects, Volume


def open_layer(
    objects: Mapping[str, bytes], name: str, *, box: BoundingBox | None = None, finest: Mag | None = None
) -> Layer:
    """A layer of a built dataset as a link would serve it."""
    described = parse_description(objects[FILE_NAME])
    layer = next(layer for layer in described.layers if layer.name == name)
    stored = []
    for mag in layer.mags:
        folder = next(folder for folder in mag.folders if f"{folder}/header.wkw" in objects)
        stored.append(StoredMag(mag.mag, folder, WkwHeader.from_bytes(objects[f"{folder}/header.wkw"])))
    return lay_out(layer, described.voxel_size, stored, box=box, finest=finest)


def spans_of(data: bytes, first: int, count: int) -> tuple[int, ...]:
    """The boundaries of blocks first .. first + count - 1 of a data file."""
    header = WkwHeader.from_bytes(data[:HEADER_BYTES])
    if not header.compressed:
        return raw_spans(header, len(data), first, count)
    start, end = table_range(first, count)
    return TableSlice(header, "", len(data), first, data[start:end]).spans(first, count)


def plan_of(objects: Mapping[str, bytes], form: ArrayForm, shape: ChunkShape) -> ChunkPlan | None:
    """The plan of a chunk or shard; None where its file was never written."""
    data = objects.get(file_key(form.level.folder, shape.file_xyz))
    return None if data is None else form.plan(shape, spans_of(data, shape.first_block, shape.blocks))


def answer(
    objects: Mapping[str, bytes], form: ArrayForm, position: Vec3, part: ByteRange | None = None
) -> bytes | None:
    """A chunk or shard, or a range of it; None where there is nothing to show."""
    shape = form.shape(position)
    plan = plan_of(objects, form, shape) if shape.wanted else None
    if plan is None:
        return None
    wanted = part or ByteRange(0, plan.length)
    touched = plan.touched(wanted)
    start, end = (touched[0].source, touched[-1].source_end) if touched else (0, 0)
    key = file_key(form.level.folder, shape.file_xyz)
    return form.assemble(plan, wanted, Stored(objects[key][start:end], start, key))


def zarr_tree(objects: Mapping[str, bytes], layer: Layer, dialect: Dialect) -> Objects:
    """All keys below a layer: metadata, and every chunk or shard that holds something."""
    tree = dict(documents(layer, dialect))
    for number, level in enumerate(layer.levels):
        assert isinstance(level, WkwLevel)
        form = ArrayForm(layer, level, dialect)
        width, height, depth = form.grid
        for z, y, x in np.ndindex(depth, height, width):
            data = answer(objects, form, (x, y, z))
            if data is not None:
                numbers = (0, z, y, x) if layer.channel_axis else (z, y, x)
                tree[chunk_key(dialect, number, numbers)] = data
    return tree


def expected_array(layer: Layer, level: Level, volume: Volume, top_left: Vec3) -> Volume:
    """What a reader must see at a level: the stored volume inside the box, zero elsewhere, channels in front.

    `top_left`: where the volume's first voxel lies, in voxels of the level's mag.
    """
    whole = np.zeros((*level.shape[::-1], *volume.shape[3:]), volume.dtype)
    low = [max(a, b) for a, b in zip(level.box_start, top_left, strict=True)]
    ends = [corner + length for corner, length in zip(top_left, volume.shape[2::-1], strict=True)]
    high = [min(a, b) for a, b in zip(level.box_end, ends, strict=True)]
    if all(a < b for a, b in zip(low, high, strict=True)):
        target = tuple(slice(a - o, b - o) for a, b, o in zip(low, high, level.origin, strict=True))[::-1]
        source = tuple(slice(a - t, b - t) for a, b, t in zip(low, high, top_left, strict=True))[::-1]
        whole[target] = volume[source]
    return np.moveaxis(whole, 3, 0) if layer.channel_axis else whole
