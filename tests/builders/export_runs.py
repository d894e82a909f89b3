"""Exports of made-up volumes, run in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zarrlink.arrays.volume import StoredObject
from zarrlink.exports.encoder import encoder_version
from zarrlink.exports.part_files import FileParts
from zarrlink.exports.places import Places
from zarrlink.exports.plan import Plan, make_plan
from zarrlink.exports.request import ExportRequest, ExportSource, ExportSpec, Limits
from zarrlink.exports.scratch import ScratchFolder
from zarrlink.exports.steps import Finished, finish, run_unit, tiers
from zarrlink.geometry import BoundingBox, Mag, Vec3, VoxelSize

# So small that a plane of a few hundred pixels has several units and tiers.
SMALL = Limits(least_part=0, unit=2**20, aimed_unit=2**19, smallest_unit=2**14, slab=2**17, largest_slab=2**18)


@dataclass
class ArrayVolume:
    """A `Volume` of an array of the shape (c, z, y, x) whose first voxel is `start` (x, y, z); zero outside.

    `reads`: every box that was read.
    """

    voxels: NDArray[Any]
    start: Vec3 = (0, 0, 0)
    reads: list[tuple[Vec3, Vec3]] = field(default_factory=list)
    before: Callable[[Vec3, Vec3], None] = lambda start, end: None

    async def read(
        self, start: Vec3, end: Vec3, extra: tuple[int, ...] = (), channels: tuple[int, int] | None = None
    ) -> NDArray[Any]:
        self.before(start, end)
        self.reads.append((start, end))
        await asyncio.sleep(0)
        shape = self.voxels.shape[:0:-1]
        out = np.zeros(
            (self.voxels.shape[0], *(b - a for a, b in zip(start[::-1], end[::-1], strict=True))), self.voxels.dtype
        )
        low = [max(a, s) for a, s in zip(start, self.start, strict=True)]
        high = [min(b, s + n) for b, s, n in zip(end, self.start, shape, strict=True)]
        if all(a < b for a, b in zip(low, high, strict=True)):
            target = tuple(slice(a - s, b - s) for a, b, s in zip(low, high, start, strict=True))[::-1]
            source = tuple(slice(a - s, b - s) for a, b, s in zip(low, high, self.start, strict=True))[::-1]
            out[:, *target] = self.voxels[:, *source]
        return out

    def objects(self, start: Vec3, end: Vec3, extra: tuple[int, ...] = ()) -> Iterator[StoredObject]:
        return iter(())


def make_spec(
    box: BoundingBox, dtype: str = "uint8", *, channels: int = 1, limits: Limits = SMALL, **changes: Any
) -> ExportSpec:
    """A spec of a layer that holds `box`; `changes` go to the request or the source, whichever has such a field."""
    asked = {key: changes.pop(key) for key in list(changes) if key in ExportRequest.__dataclass_fields__}
    request = ExportRequest(**{"kind": "ome_tiff", "box": box, "mag": Mag(1, 1, 1), **asked})
    facts: dict[str, Any] = {
        "dataset": "set",
        "layer": "em",
        "box": box,
        "mags": tuple(Mag(side, side, side) for side in (1, 2, 4, 8, 16)),
        "dtype": dtype,
        "channels": channels,
        "voxel_size": VoxelSize((4.0, 4.0, 30.0)),
        "revision": "r1",
        "revised_at": "2026-01-02T03:04:05Z",
        "chunk": (32, 32, 8),
    }
    ratio = changes.pop("ratio", 1.0)
    source = ExportSource(**(facts | changes))
    if request.mag not in source.mags:
        source = replace(source, mags=(*source.mags, request.mag))
    return ExportSpec(request, source, encoder_version(request.compression), limits, ratio)


def places_for(target: Path, scratch: Path) -> Places:
    """A new upload to a local file."""
    sink = FileParts(target)
    return Places(sink, sink.begin(), ScratchFolder(scratch), target.parent)


def export(spec: ExportSpec, volume: ArrayVolume, target: Path, order: Callable[[range], Iterable[int]] = list) -> Plan:
    """Run a whole export to a file that is not there."""
    plan = make_plan(spec)
    places = places_for(target, target.parent / f"{target.name}.scratch")
    assert run_export(plan, volume, places, order).object_bytes == target.stat().st_size
    places.scratch.clear()
    return plan


def run_export(
    plan: Plan, volume: ArrayVolume, places: Places, order: Callable[[range], Iterable[int]] = list
) -> Finished:
    for units in tiers(plan):
        for number in order(units):
            asyncio.run(run_unit(plan, number, volume, places))
    return finish(plan, places)


def random_voxels(shape_czyx: tuple[int, ...], dtype: str, seed: int = 0) -> NDArray[Any]:
    """Random numbers of the whole range, with a blank region."""
    random = np.random.default_rng(seed)
    if dtype.startswith("float"):
        voxels = (random.standard_normal(shape_czyx) * 1000).astype(dtype)
    else:
        known = np.iinfo(dtype)
        voxels = random.integers(known.min, known.max, shape_czyx, dtype, endpoint=True)
    voxels[:, :, : shape_czyx[2] // 2, : shape_czyx[3] // 2] = 0
    return voxels


def expected_levels(voxels: NDArray[Any], count: int, *, labels: bool) -> list[NDArray[Any]]:
    """The pyramid by another road, shape (c, z, y, x): halved in x and y, sides rounded up, the edge counted twice."""
    levels = [voxels]
    while len(levels) < count:
        fine = levels[-1]
        if labels:
            levels.append(fine[..., ::2, ::2])
            continue
        padded = np.pad(fine, [(0, 0), (0, 0), (0, fine.shape[2] % 2), (0, fine.shape[3] % 2)], mode="edge")
        quarters = padded.reshape(*fine.shape[:2], padded.shape[2] // 2, 2, padded.shape[3] // 2, 2)
        if fine.dtype.kind == "f":
            upper, lower = quarters[:, :, :, 0], quarters[:, :, :, 1]
            rows = upper + lower
            levels.append(((rows[..., 0] + rows[..., 1]) * fine.dtype.type(0.25)).astype(fine.dtype))
        else:
            total = quarters.astype(object if fine.dtype.itemsize == 8 else np.int64).sum(axis=(3, 5))
            levels.append(((total + 2) // 4).astype(fine.dtype))
    return levels
