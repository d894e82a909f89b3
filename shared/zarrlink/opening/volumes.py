"""Layers as voxels: opened by this module alone, so that NumPy is imported only where it is needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from zarrlink.answers import Chunks
from zarrlink.arrays.volume import Volume
from zarrlink.arrays.wkw_volume import WkwVolume
from zarrlink.decoded_chunks import DecodedChunks
from zarrlink.formats.datasource import LayerDescription
from zarrlink.formats.zarr_keys import Dialect
from zarrlink.geometry import BoundingBox, Mag, VoxelSize
from zarrlink.jump_tables import JumpTables
from zarrlink.layer import LeadingAxis, WkwLevel, lay_out
from zarrlink.opening.opened import OpenLayer, Witness
from zarrlink.opening.wkw import Outside, stored_mags
from zarrlink.storage.interface import ByteSource
from zarrlink.transcode import ArrayForm
from zarrlink.voxel_layout import StoredVoxels, lay_out_voxels
from zarrlink.wkw_chunks import WkwChunks

# The layout of blocks does not depend on it.
_ANY_SIZE: Final = VoxelSize((1.0, 1.0, 1.0))


@dataclass(frozen=True, slots=True)
class LayerVolumes:
    """The mags of a layer as voxels. `stored`: finest first, each with a volume."""

    described: LayerDescription
    stored: list[StoredVoxels]
    volumes: dict[Mag, Volume]
    witnesses: list[Witness]
    notes: tuple[str, ...] = ()
    leading: tuple[LeadingAxis, ...] = ()

    def changed(self, change: Callable[[Mag, Volume], Volume], *witnesses: Witness) -> LayerVolumes:
        """The same with other volumes, which depend on `witnesses` as well."""
        volumes = {mag: change(mag, volume) for mag, volume in self.volumes.items()}
        return replace(self, volumes=volumes, witnesses=[*self.witnesses, *witnesses])


async def wkw_volumes(
    source: ByteSource, described: LayerDescription, tables: JumpTables, outside: Outside
) -> LayerVolumes:
    """The voxels of a WKW layer, zero outside of its box. Raises as `open_wkw`."""
    found = await stored_mags(source, described, outside)
    layer = lay_out(described, _ANY_SIZE, found.mags)
    stored, volumes = [], {}
    for level in layer.levels:
        if isinstance(level, WkwLevel):
            header, side = level.header, level.header.block_side
            stored.append(
                StoredVoxels(level.mag, header.dtype, header.item_bytes, header.channels, (0, 0, 0), (side, side, side))
            )
            volumes[level.mag] = WkwVolume(WkwChunks(ArrayForm(layer, level, "v3"), found.sources[level.mag], tables))
    return LayerVolumes(described, stored, dict(volumes), found.witnesses, found.notes)


def open_volumes(
    found: LayerVolumes, voxel_size: VoxelSize, *, box: BoundingBox | None, finest: Mag | None
) -> OpenLayer:
    """A layer whose chunks are made from voxels. Raises UnsupportedLayer."""
    layer = lay_out_voxels(
        found.described, voxel_size, found.stored, box=box, finest=finest, leading=found.leading, notes=found.notes
    )

    def make_chunks(dialect: Dialect) -> tuple[Chunks, ...]:
        return tuple(DecodedChunks(layer, level, dialect, found.volumes[level.mag]) for level in layer.levels)

    return OpenLayer(layer, found.witnesses, make_chunks)
