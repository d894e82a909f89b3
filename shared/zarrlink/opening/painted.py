"""Opening volume layers whose blocks cannot be merged with those below as they are stored, and layers under a mapping."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import numpy as np

from zarrlink.annotations.manifest import PackedVolume
from zarrlink.arrays.mapping import open_mapping
from zarrlink.arrays.painted_volume import BoxedVolume, MappedVolume, PaintedVolume, damaged_mapping
from zarrlink.arrays.stores import Stores
from zarrlink.arrays.table import TableCache
from zarrlink.arrays.volume import Volume
from zarrlink.errors import CorruptFile, InvalidRequest, UnsupportedLayer
from zarrlink.formats.datasource import LayerDescription
from zarrlink.formats.wkw import WkwHeader
from zarrlink.geometry import Mag, VoxelSize
from zarrlink.jump_tables import JumpTables
from zarrlink.opening.annotation import Annotation, volume_name
from zarrlink.opening.foreign import open_foreign, read_foreign
from zarrlink.opening.opened import OpenLayer, Witness
from zarrlink.opening.volumes import LayerVolumes, open_volumes, wkw_volumes
from zarrlink.opening.wkw import Outside
from zarrlink.packed_blocks import PackedBlocks, PageCache
from zarrlink.sources.permission import AllowedSources
from zarrlink.storage.interface import ByteSource
from zarrlink.storage.reach import Reach
from zarrlink.view import View
from zarrlink.voxel_layout import StoredVoxels

Volumes = Callable[[ByteSource, LayerDescription], Awaitable[LayerVolumes]]


@dataclass(frozen=True, slots=True)
class VoxelTools:
    """What opening as voxels needs: `volumes` opens a dataset's layer, however it is stored.

    `most_bytes`: of a stored object that may go out whole.
    """

    volumes: Volumes
    tables: TableCache
    pages: PageCache
    stores: Stores
    most_bytes: int

    @classmethod
    def made(
        cls,
        jump_tables: JumpTables,
        pages: PageCache,
        outside: Outside,
        allowed: AllowedSources,
        reach: Reach | None,
        most_bytes: int,
    ) -> VoxelTools:
        """With memories of its own for mappings and decoded chunks."""
        stores = Stores(allowed=allowed, reach=reach, environ=os.environ)

        async def volumes(source: ByteSource, described: LayerDescription) -> LayerVolumes:
            if described.data_format == "wkw":
                return await wkw_volumes(source, described, jump_tables, outside)
            return _within_box((await read_foreign(source, described, stores)).volumes)

        return cls(volumes, TableCache(), pages, stores, most_bytes)


def _within_box(found: LayerVolumes) -> LayerVolumes:
    """As WKW's are: what is stored outside of the layer's box is not the layer's."""
    box = found.described.box

    def boxed(mag: Mag, volume: Volume) -> Volume:
        inside = box.in_mag(mag)
        return BoxedVolume(volume, inside.top_left, inside.bottom_right)

    return found.changed(boxed)


async def open_decoded(
    source: ByteSource, described: LayerDescription, voxel_size: VoxelSize, view: View, tools: VoxelTools
) -> OpenLayer:
    """A dataset's layer that is not streamed as it is stored: another format, or its ids by a mapping."""
    mapping = view.mapping(described.name)
    if mapping is None and described.data_format != "wkw":
        foreign = await read_foreign(source, described, tools.stores)
        return open_foreign(foreign, voxel_size, box=view.box, finest=view.finest, most_bytes=tools.most_bytes)
    found = await mapped_volumes(source, described, mapping, tools)
    return open_volumes(found, voxel_size, box=view.box, finest=view.finest)


async def mapped_volumes(
    source: ByteSource, described: LayerDescription, mapping_name: str | None, tools: VoxelTools
) -> LayerVolumes:
    """A dataset's layer as voxels, its ids by a mapping where one is named.

    Raises UnsupportedLayer where it has no such mapping; never shows unmapped ids for mapped ones.
    """
    found = await tools.volumes(source, described)
    if mapping_name is None:
        return found
    if described.category != "segmentation":
        raise UnsupportedLayer(f"layer {described.name!r}: a mapping is for a segmentation layer")
    try:
        mapping = await open_mapping(source, described.name, mapping_name, described.agglomerates, tools.tables)
    except InvalidRequest as error:
        raise UnsupportedLayer(f"layer {described.name!r}: {error}") from error
    except CorruptFile as error:
        raise damaged_mapping(described.name, mapping_name, error) from error
    largest = described.largest_segment_id
    if largest is not None and largest > mapping.largest_segment:
        raise UnsupportedLayer(
            f"layer {described.name!r}: its mapping {mapping_name!r} ends at segment {mapping.largest_segment}, "
            f"but the layer's largestSegmentId is {largest}"
        )
    for dtype in {stored.dtype for stored in found.stored}:
        try:
            await mapping.check_fits(np.dtype(dtype), largest)
        except UnsupportedLayer as error:
            raise UnsupportedLayer(f"layer {described.name!r}: {error}") from error
        except CorruptFile as error:
            raise damaged_mapping(described.name, mapping_name, error) from error
    witnesses = [Witness(source, key, etag) for key, etag in mapping.witnesses.items()]
    return found.changed(lambda _, volume: MappedVolume(volume, mapping, described.name), *witnesses)


async def open_painted(
    annotation: Annotation,
    volume: PackedVolume,
    described: LayerDescription,
    header: WkwHeader | None,
    view: View,
    tools: VoxelTools,
) -> OpenLayer:
    """A volume layer over its fallback layer, merged voxel by voxel. `header`: of its blocks, None where it has none."""
    found = await painted_volumes(annotation, volume, described, header, view.mapping(volume_name(volume)), tools)
    return open_volumes(found, annotation.voxel_size, box=view.box, finest=view.finest)


async def painted_volumes(
    annotation: Annotation,
    volume: PackedVolume,
    described: LayerDescription,
    header: WkwHeader | None,
    mapping: str | None,
    tools: VoxelTools,
) -> LayerVolumes:
    """As `open_painted`, as voxels, within the layer's box. `mapping`: in place of the one that the annotation names."""
    name = volume_name(volume)
    if volume.fallback_layer is None:
        found = LayerVolumes(described, [], {}, annotation.witnesses)
    else:
        source, below = annotation.below.layer(name, volume.fallback_layer)
        found = await mapped_volumes(source, below, mapping or volume.mapping_name, tools)
        found = replace(found, described=described, witnesses=[*found.witnesses, *annotation.witnesses])
        if found.stored[0].channels != 1 or found.leading:
            raise UnsupportedLayer(f"layer {name!r}: its fallback layer has channels or additional axes")
    if header is not None:
        found = _paint(annotation, volume, header, found, tools.pages)
    return found


def _paint(
    annotation: Annotation, volume: PackedVolume, header: WkwHeader, found: LayerVolumes, pages: PageCache
) -> LayerVolumes:
    """`found`: of the fallback layer; without any mags where there is none."""
    name, side = volume_name(volume), header.block_side
    has_fallback = volume.fallback_layer is not None
    dtype = _common(name, header.dtype, found.stored[0].dtype) if has_fallback else header.dtype
    packs = {mag.mag: mag for mag in volume.mags}
    shared = [mag.mag for mag in found.stored if mag.mag in packs] if has_fallback else sorted(packs)
    stored = [StoredVoxels(mag, dtype, np.dtype(dtype).itemsize, 1, (0, 0, 0), (side, side, side)) for mag in shared]
    volumes = {
        mag: PaintedVolume(PackedBlocks(annotation.source, packs[mag], pages), header, dtype, found.volumes.get(mag))
        for mag in shared
    }
    notes: list[str] = []
    if has_fallback:
        there = set(found.volumes)
        notes += [f"mag {mag.literal} is left out: the fallback layer lacks it" for mag in sorted(packs.keys() - there)]
        notes += [f"mag {mag.literal} is left out: the annotation lacks it" for mag in sorted(there - packs.keys())]
    return replace(found, stored=stored, volumes=dict(volumes), notes=(*found.notes, *notes))


def _common(name: str, painted: str, below: str) -> str:
    """A type that holds the ids of both. Raises UnsupportedLayer where none does for certain."""
    if painted == below:
        return painted
    if painted.startswith("uint") and below.startswith("uint"):
        return max(painted, below, key=lambda dtype: np.dtype(dtype).itemsize)
    raise UnsupportedLayer(f"layer {name!r}: painted as {painted} over a fallback layer of {below}")
