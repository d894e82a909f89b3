"""The stored files behind an export as its plan saw them: one that is replaced meanwhile would make a torn picture."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Final

from zarrlink.arrays.volume import StoredObject, Volume
from zarrlink.errors import ExportFailed
from zarrlink.exports.plan import Plan
from zarrlink.exports.slabs import unit_box
from zarrlink.exports.steps import tiers

# Looked at in all, and of each unit at least: an array of a terabyte has millions of them.
_LOOKED_AT: Final = 10_000
_LEAST: Final = 16
_AT_ONCE: Final = 64


@dataclass(frozen=True, slots=True)
class Originals:
    """For each unit that reads the layer: the ETag by the key of each file that was looked at, "" for one that is not there.

    All files of most boxes; of arrays with very many some of each unit's.
    """

    units: tuple[dict[str, str], ...]

    @property
    def digest(self) -> str:
        """Another one whenever a file that was looked at is another."""
        known = sorted({item for unit in self.units for item in unit.items()})
        return hashlib.sha256(json.dumps(known).encode()).hexdigest()[:32]

    def to_json(self) -> bytes:
        return json.dumps(self.units).encode()

    @classmethod
    def from_json(cls, document: bytes) -> Originals:
        return cls(tuple(json.loads(document)))


async def look_at(plan: Plan, volume: Volume) -> Originals:
    """As they are now. Raises SourceUnavailable."""
    units = tiers(plan)[0]
    touched = [_touched(plan, number, volume, len(units)) for number in units]
    # Units share the files at their edges.
    etags = await _etags({found.key: found for unit in touched for found in unit}.values())
    return Originals(tuple({found.key: etags[found.key] for found in unit} for unit in touched))


async def confirm(originals: Originals, plan: Plan, number: int, volume: Volume) -> None:
    """Called once a unit has read its voxels: they are those of the files that the plan saw.

    Raises ExportFailed naming a file that was replaced, SourceUnavailable.
    """
    seen = originals.units[number]
    for key, etag in (await _etags(_touched(plan, number, volume, len(originals.units)))).items():
        if seen.get(key) != etag:
            raise ExportFailed(f"{key} was replaced while it was exported: start the export again")


def _touched(plan: Plan, number: int, volume: Volume, units: int) -> list[StoredObject]:
    start, end = unit_box(plan, number)
    return list(islice(volume.objects(start, end, plan.spec.request.extra), max(_LEAST, _LOOKED_AT // units)))


async def _etags(objects: Iterable[StoredObject]) -> dict[str, str]:
    found: dict[str, str] = {}
    at_once = asyncio.Semaphore(_AT_ONCE)

    async def look(wanted: StoredObject) -> None:
        async with at_once:
            stat = await wanted.source.stat(wanted.key)
        found[wanted.key] = "" if stat is None else stat.etag

    await asyncio.gather(*(look(wanted) for wanted in objects))
    return found
