"""Opening layers that are stored as WKW."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from zarrlink.answers import Chunks
from zarrlink.byte_range import ByteRange
from zarrlink.errors import CorruptFile, RangeNotSatisfiable, UnsupportedLayer
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

Outside = Callable[[str], ByteSource]
"""Opens an address outside of the dataset's folder. Raises UnsupportedLayer where it may not be read."""


@dataclass(frozen=True, slots=True)
class StoredMags:
    """The mags of a WKW layer that are there, each with the source of its folder; a note for each that is not."""

    mags: list[StoredMag]
    sources: dict[Mag, ByteSource]
    notes: tuple[str, ...]
    witnesses: list[Witness]


async def open_wkw(
    source: ByteSource,
    described: LayerDescription,
    voxel_size: VoxelSize,
    tables: JumpTables,
    outside: Outside,
    *,
    box: BoundingBox | None,
    finest: Mag | None,
) -> OpenLayer:
    """A WKW layer of a dataset, whose mags without header are left out by name.

    Raises UnsupportedLayer, CorruptFile, SourceUnavailable.
    """
    found = await stored_mags(source, described, outside)
    layer = lay_out(described, voxel_size, found.mags, box=box, finest=finest, notes=found.notes)

    def make_chunks(dialect: Dialect) -> tuple[Chunks, ...]:
        levels = [level for level in layer.levels if isinstance(level, WkwLevel)]
        return tuple(WkwChunks(ArrayForm(layer, level, dialect), found.sources[level.mag], tables) for level in levels)

    return OpenLayer(layer, found.witnesses, make_chunks)


async def stored_mags(source: ByteSource, described: LayerDescription, outside: Outside) -> StoredMags:
    """Look for every mag of a layer. Raises as `open_wkw`."""
    try:
        found = await asyncio.gather(*(_stored_mag(source, mag, outside) for mag in described.mags))
    except UnsupportedLayer as error:
        raise UnsupportedLayer(f"layer {described.name!r}: {error}") from error
    there = [(mag, witnesses[-1]) for mag, witnesses in found if mag is not None]
    missing = [mag.mag for mag, (stored, _) in zip(described.mags, found, strict=True) if stored is None]
    return StoredMags(
        [stored for stored, _ in there],
        {stored.mag: witness.source for stored, witness in there},
        (*described.notes, *(f"mag {mag.literal} has no header.wkw and is left out" for mag in missing)),
        # Also where there is none: a header that was away for a moment must not be missed for ever.
        [witness for _, witnesses in found for witness in witnesses],
    )


async def _stored_mag(
    source: ByteSource, described: MagDescription, outside: Outside
) -> tuple[StoredMag | None, list[Witness]]:
    """The mag with its header, None where none of its folders holds one; and where was looked, there last."""
    seen: list[Witness] = []
    folders = described.folders
    if described.address is not None:
        above, _, last = described.address.rstrip("/").rpartition("/")
        source, folders = outside(above or "/"), (last,)
    for folder in folders:
        key = f"{folder}/header.wkw"
        try:
            blob = await source.read(key, ByteRange(0, HEADER_BYTES))
        except RangeNotSatisfiable as error:
            raise CorruptFile("a WKW header is empty", key=key) from error
        if blob is not None:
            header = WkwHeader.from_bytes(bytes(blob.data), key=key)
            return StoredMag(described.mag, folder, header), [*seen, Witness(source, key, blob.etag)]
        seen.append(Witness(source, key, None))
    return None, seen
