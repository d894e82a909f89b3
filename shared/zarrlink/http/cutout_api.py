"""WEBKNOSSOS's raw cut-out route, which `Dataset.download` of its library reads boxes of 512^3 voxels by.

For one machine: an answer may have a gigabyte, which is far beyond what a function on AWS can send.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import numpy as np
from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from zarrlink.arrays.volume import Volume
from zarrlink.errors import CorruptFile, InvalidRequest, SourceChanged, UnknownKey
from zarrlink.geometry import MAX_COORDINATE, Mag, Vec3
from zarrlink.http.api_models import PROBLEM_ANSWERS
from zarrlink.http.found import ReadableDataset
from zarrlink.library import Library, Subject
from zarrlink.opening.opened import Witness, are_unchanged

# A box of 512^3 voxels of eight bytes.
MAX_CUTOUT_BYTES: Final = 2**30
# Slices are read some at a time, at least one.
MAX_SLICE_BYTES: Final = 2**26
SLAB_BYTES: Final = 16 * 2**20
Whole = Annotated[int, Query(ge=-MAX_COORDINATE, le=MAX_COORDINATE)]
Side = Annotated[int, Query(ge=1, le=MAX_COORDINATE)]


@dataclass(frozen=True, slots=True)
class _Box:
    """A box in voxels of its mag, (x, y, z), and what a voxel needs."""

    start: Vec3
    size: Vec3
    voxel_bytes: int


def create_cutout_routes(library: Library) -> APIRouter:
    """The routes, below /data."""
    routes = APIRouter(prefix="/data", responses=PROBLEM_ANSWERS)

    @routes.get("/datasets/{dataset_id}/layers/{layer}/data", summary="The voxels of a box, as WEBKNOSSOS sends them")
    async def cutout(
        record: ReadableDataset,
        layer: str,
        x: Whole,
        y: Whole,
        z: Whole,
        width: Side,
        height: Side,
        depth: Side,
        mag: str = "1",
        half_byte: Annotated[bool, Query(alias="halfByte")] = False,  # noqa: FBT002
        mapping_name: Annotated[str | None, Query(alias="mappingName")] = None,
    ) -> StreamingResponse:
        # Other voxels than those that are stored: never in silence.
        if half_byte or mapping_name:
            raise InvalidRequest("halfByte and mappingName are not served here; a link can be made under a mapping")
        level = Mag.parse(mag)
        found = await library.volumes(Subject(record), layer)
        volume = found.volumes.get(level)
        if volume is None:
            raise UnknownKey(f"layer {layer!r} has no mag {level.literal}")
        kind = next(stored for stored in found.stored if stored.mag == level)
        start = (x // level.x, y // level.y, z // level.z)
        box = _Box(start, (width, height, depth), kind.item_bytes * kind.channels)
        length = math.prod(box.size) * box.voxel_bytes
        if length > MAX_CUTOUT_BYTES:
            raise InvalidRequest(f"the box has {length} bytes; at most {MAX_CUTOUT_BYTES} are sent at once")
        if length // depth > MAX_SLICE_BYTES:
            raise InvalidRequest(f"a slice of the box has more than {MAX_SLICE_BYTES} bytes: ask for a narrower one")
        # The library refuses an answer without a word on this. Nothing is missing: what fails breaks the answer off.
        headers = {"content-length": str(length), "cache-control": "no-store", "missing-buckets": "[]"}
        slabs = _slabs(volume, box, found.witnesses)
        # What fails at once can still say why.
        first = await anext(slabs)
        return StreamingResponse(_after(first, slabs), media_type="application/octet-stream", headers=headers)

    return routes


async def _after(first: bytes, others: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for slab in others:
        yield slab


async def _slabs(volume: Volume, box: _Box, witnesses: Sequence[Witness]) -> AsyncIterator[bytes]:
    """The voxels of a box: channels fastest, then x, y, z; little-endian.

    A failure breaks them off, before the length that was announced.
    """
    (x, y, z), (width, height, depth) = box.start, box.size
    # Whole blocks of 32 slices, so that none is decoded twice.
    most = max(1, SLAB_BYTES // (width * height * box.voxel_bytes) // 32 * 32)
    while depth > 0:
        slices = min(most, depth)
        end = (x + width, y + height, z + slices)
        try:
            voxels = await volume.read((x, y, z), end)
        except (SourceChanged, CorruptFile):
            # What was remembered of its files is forgotten by now; the layer itself must still be the one that was opened.
            if not await are_unchanged(witnesses):
                raise
            voxels = await volume.read((x, y, z), end)
        yield np.ascontiguousarray(np.moveaxis(voxels, 0, -1)).tobytes()
        z, depth = z + slices, depth - slices
