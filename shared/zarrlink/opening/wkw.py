"""Opening layers that are stored as WKW."""

from __future__ import annotations

import asyncio

from zarrlink.answers import Chunks
from zarrlink.byte_range import ByteRange
from zarrlink.errors import CorruptFile, RangeNotSatisfiable
from zarrlink.formats.datasource import LayerDescription, MagDescription
from zarrlink.formats.wkw import HEADER_BYTES, WkwHeader
from zarrlink.formats.zarr_keys import Dialect
from zarrlink.geometry import BoundingBox, Mag, VoxelSize
from zarrlink.jump_tables import JumpTables
from zarrlink.layer import StoredMag, WkwLevel, lay_out
from zarrlink.opening.opened import OpenLayer, Witness
from zarrlink.storage.interface import ByteSource
from zarrlink.transcode import ArrayForm
from zarrlink.wkw_chunks import WkwChunks


async def open_wkw(
    source: ByteSource,
    described: LayerDescription,
    voxel_size: VoxelSize,
    tables: JumpTables,
    *,
    box: BoundingBox | None,
    finest: Mag | None,
) -> OpenLayer:
    """A WKW layer of a dataset, whose mags without header are left out by name.

    Raises UnsupportedLayer, CorruptFile, SourceUnavailable.
    """
    stored, notes, witnesses = await stored_mags(source, described)
    layer = lay_out(described, voxel_size, stored, box=box, finest=finest, notes=notes)

    def make_chunks(dialect: Dialect) -> tuple[Chunks, ...]:
        levels = [level for level in layer.levels if isinstance(level, WkwLevel)]
        return tuple(WkwChunks(ArrayForm(layer, level, dialect), source, tables) for level in levels)

    return OpenLayer(layer, witnesses, make_chunks)


async def stored_mags(
    source: ByteSource, described: LayerDescription
) -> tuple[list[StoredMag], tuple[str, ...], list[Witness]]:
    """The mags that are there, a note for each that is not, and the headers as witnesses."""
    found = await asyncio.gather(*(_stored_mag(source, mag) for mag in described.mags))
    stored = [mag for mag, _ in filter(None, found)]
    witnesses = [Witness(source, f"{mag.folder}/header.wkw", etag) for mag, etag in filter(None, found)]
    notes = tuple(
        f"mag {mag.mag.literal} has no header.wkw and is left out"
        for mag, there in zip(described.mags, found, strict=True)
        if there is None
    )
    return stored, notes, witnesses


async def _stored_mag(source: ByteSource, described: MagDescription) -> tuple[StoredMag, str] | None:
    """The mag with its header's ETag, None where none of its folders holds a header."""
    for folder in described.folders:
        key = f"{folder}/header.wkw"
        try:
            blob = await source.read(key, ByteRange(0, HEADER_BYTES))
        except RangeNotSatisfiable as error:
            raise CorruptFile("a WKW header is empty", key=key) from error
        if blob is not None:
            header = WkwHeader.from_bytes(bytes(blob.data), key=key)
            return StoredMag(described.mag, folder, header), blob.etag
    return None
