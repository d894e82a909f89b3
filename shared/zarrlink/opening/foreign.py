"""Opening layers that are stored as Zarr, N5 or Precomputed: passed through where that is right, else decoded."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, replace
from typing import Final

from zarrlink.answers import Chunks
from zarrlink.arrays.foreign import OpenArray, Stores, metadata_places, open_array
from zarrlink.arrays.passthrough import Passthrough, fits
from zarrlink.arrays.stored import StoredArray
from zarrlink.decoded_chunks import DecodedChunks
from zarrlink.errors import UnsupportedLayer
from zarrlink.formats.datasource import LayerDescription
from zarrlink.formats.source_zarr import ZarrArray
from zarrlink.formats.zarr_keys import Dialect
from zarrlink.geometry import BoundingBox, Mag, Vec3, VoxelSize, vec3
from zarrlink.layer import MAX_CHUNK_BYTES, Coding, Layer, LeadingAxis, Level
from zarrlink.opening.opened import OpenLayer, Witness
from zarrlink.opening.volumes import LayerVolumes
from zarrlink.proxied_chunks import ProxiedChunks, Signs, StoredChunks
from zarrlink.storage.interface import ByteSource
from zarrlink.voxel_layout import StoredVoxels, lay_out_voxels

_BOOLEAN: Final = "it is stored as truth values, which are shown as the numbers 0 and 1"


@dataclass(frozen=True, slots=True)
class ForeignLayer:
    """The arrays of a layer by mag, and the layer as voxels."""

    arrays: dict[Mag, OpenArray]
    volumes: LayerVolumes


async def read_foreign(source: ByteSource, described: LayerDescription, stores: Stores) -> ForeignLayer:
    """Open every mag. Mags without an array are left out by name.

    Raises UnsupportedLayer, CorruptFile, SourceUnavailable.
    """
    found = await asyncio.gather(*(open_array(source, source.name, described, mag, stores) for mag in described.mags))
    arrays = {mag.mag: array for mag, array in zip(described.mags, found, strict=True) if array is not None}
    missing = tuple(
        f"mag {mag.mag.literal} has no array of the format {described.data_format} and is left out"
        for mag, array in zip(described.mags, found, strict=True)
        if array is None
    )
    boolean = any(isinstance(it.stored.array, ZarrArray) and it.stored.array.boolean for it in arrays.values())
    stored = [_voxels(mag, array.stored) for mag, array in arrays.items()]
    axes = {array.stored.extra_axes for array in arrays.values()}
    if len(axes) > 1 and len({tuple((a.name, a.start, a.length) for a in some) for some in axes}) > 1:
        raise UnsupportedLayer(f"layer {described.name!r}: its mags have other additional axes")
    leading = tuple(LeadingAxis(axis.name, axis.start, axis.length) for axis in next(iter(axes), ()))
    witnesses = [Witness(array.source, key, etag) for array in arrays.values() for key, etag in array.witnesses.items()]
    # Also where there is none: an array that was away for a moment must not be missed for ever.
    away = [
        Witness(*place, None)
        for mag, array in zip(described.mags, found, strict=True)
        if array is None
        for place in metadata_places(source, described, mag, stores)
    ]
    volumes = LayerVolumes(
        described,
        stored,
        {mag: array.volume for mag, array in arrays.items()},
        [*witnesses, *away],
        (*described.notes, *missing, *((_BOOLEAN,) if boolean else ())),
        leading,
    )
    return ForeignLayer(arrays, volumes)


def open_foreign(
    foreign: ForeignLayer, voxel_size: VoxelSize, *, box: BoundingBox | None, finest: Mag | None, most_bytes: int
) -> OpenLayer:
    """The layer as it is served; `most_bytes`: of an object that may go out whole. Raises UnsupportedLayer."""
    found = foreign.volumes
    layer = lay_out_voxels(
        found.described, voxel_size, found.stored, box=box, finest=finest, leading=found.leading, notes=found.notes
    )
    levels = [_Proxied.of(layer, level, foreign.arrays[level.mag], most_bytes) for level in layer.levels]
    layer = replace(layer, levels=tuple(proxied.level for proxied in levels))

    def make_chunks(dialect: Dialect) -> tuple[Chunks, ...]:
        return tuple(proxied.chunks(layer, dialect) for proxied in levels)

    return OpenLayer(layer, found.witnesses, make_chunks)


@dataclass(frozen=True, slots=True)
class _Proxied:
    """A level with what of its array goes out unchanged in each dialect."""

    level: Level
    array: OpenArray
    ways: dict[Dialect, Passthrough]

    @classmethod
    def of(cls, layer: Layer, level: Level, array: OpenArray, most_bytes: int) -> _Proxied:
        v2, v3 = (_way(layer, level, array, dialect, most_bytes) for dialect in ("v2", "v3"))
        ways: dict[Dialect, Passthrough] = {}
        if v2 is not None:
            ways["v2"] = v2
            coding = Coding(json.dumps(v2.compressor), json.dumps(v2.fill_value))
            level = replace(level, v2=coding, chunk=_xyz(v2.chunk), chunk_channels=_channels(layer, v2.chunk))
        if v3 is not None:
            ways["v3"] = v3
            coding = Coding(json.dumps(v3.codecs), json.dumps(v3.fill_value))
            level = replace(level, v3=coding, chunk=_xyz(v3.chunk), chunk_channels=_channels(layer, v3.chunk))
            if v3.shard is not None:
                level = replace(level, shard=_xyz(v3.shard))
        return cls(level, array, ways)

    def chunks(self, layer: Layer, dialect: Dialect) -> Chunks:
        way = self.ways.get(dialect)
        decoded = DecodedChunks(layer, self.level, dialect, self.array.volume)
        if way is None:
            return decoded
        step = _xyz(way.shard or way.chunk)
        first = vec3([(a - b) // c for a, b, c in zip(self.level.origin, self.array.stored.offset, step, strict=True)])
        stored = StoredChunks(self.array.source, self.array.stored.metadata_key, way.key, first)
        return ProxiedChunks(decoded, stored, _signs(way, dialect, layer.item_bytes))


def _way(layer: Layer, level: Level, array: OpenArray, dialect: Dialect, most_bytes: int) -> Passthrough | None:
    """How the array goes out unchanged: where its grid is ours, and no chunk has to be cut at the box."""
    stored = array.stored
    way = fits(stored, dialect)
    if way is None or len(way.axes) != len(layer.axis_names):
        return None
    if any(step != 1 for step in (way.shard or way.chunk)[: len(layer.leading)]):
        return None
    step = _xyz(way.shard or way.chunk)
    inner = _product(way.chunk) * layer.item_bytes
    outer = _product(way.shard or way.chunk) * layer.item_bytes
    if inner > MAX_CHUNK_BYTES or outer > max(most_bytes, MAX_CHUNK_BYTES):
        return None
    if way.shard is not None and not (array.reads_parts and _channels(layer, way.shard) == _channels(layer, way.chunk)):
        return None
    for origin, start, end, offset, length, side in zip(
        level.origin, level.box_start, level.box_end, stored.offset, stored.shape, step, strict=True
    ):
        whole_end = end == offset + length or ((end - offset) % side == 0 and end < offset + length)
        if origin != start or origin < offset or (origin - offset) % side or not whole_end:
            return None
    return way


def _voxels(mag: Mag, stored: StoredArray) -> StoredVoxels:
    return StoredVoxels(mag, stored.dtype, stored.item_bytes, stored.channels, stored.offset, stored.chunk)


def _signs(way: Passthrough, dialect: Dialect, item_bytes: int) -> Signs:
    if way.shard is not None:
        return Signs(shard_chunks=_product(way.shard) // _product(way.chunk))
    length = item_bytes * _product(way.chunk)
    if dialect == "v2":
        packed = [] if way.compressor is None else [way.compressor["id"]]
    else:
        packed = [codec["name"] for codec in way.codecs if codec["name"] != "bytes"]
    match packed:
        case []:
            return Signs(raw_bytes=length)
        case ["crc32c"]:
            return Signs(raw_bytes=length + 4)
        case ["blosc"]:
            return Signs(frame_bytes=length)
        case _:
            return Signs()


def _channels(layer: Layer, shape: tuple[int, ...]) -> int | None:
    """Of a chunk or shard; None where there is no axis of channels."""
    return shape[-4] if layer.channel_axis else None


def _xyz(shape: tuple[int, ...]) -> Vec3:
    z, y, x = shape[-3:]
    return x, y, z


def _product(numbers: tuple[int, ...]) -> int:
    product = 1
    for number in numbers:
        product *= number
    return product
