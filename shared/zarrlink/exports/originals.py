"""The stored files behind an export as its plan saw them: one that is replaced meanwhile would make a torn picture."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from zarrlink.arrays.block_target import all_of
from zarrlink.arrays.volume import StoredObject, Volume
from zarrlink.arrays.watch import Versions
from zarrlink.errors import ExportFailed, SourceChanged
from zarrlink.exports.plan import Plan
from zarrlink.exports.slabs import unit_box
from zarrlink.exports.steps import tiers

# Looked at in all (or up to twice as many), and of each unit at least: an array of a terabyte has millions of them.
_LOOKED_AT: Final = 10_000
# Each takes about a kilobyte of a worker's memory.
_LOOKED_AT_HERE: Final = 50_000
_LEAST: Final = 16
_AT_ONCE: Final = 64


@dataclass(frozen=True, slots=True)
class Originals:
    """For each unit that reads the layer: the ETag by the key of each file that was looked at, "" for one that is not there.

    All files of most boxes; of arrays with very many some of each unit's, evenly spread.
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


async def confirm(originals: Originals, plan: Plan, number: int, volume: Volume, read: Versions) -> None:
    """Called once a unit has read its voxels: they are those of the files that the plan saw.

    `read`: what was seen of files while they were read. Raises ExportFailed naming a file that is another or gone, SourceChanged
    where it was another one for a moment, SourceUnavailable.
    """
    seen = originals.units[number]
    for key, etag in (await _etags(_touched(plan, number, volume, len(originals.units)))).items():
        if seen.get(key) != etag:
            # An ETag of "" is of a file that is not there.
            what = "removed" if not etag else "replaced" if seen.get(key) else "added"
            raise ExportFailed(f"{key} was {what} while it was exported: start the export again")
    for key, etags in read.items():
        if len(etags) > 1 or seen.get(key) not in (None, *etags):
            raise SourceChanged(key)


def _touched(plan: Plan, number: int, volume: Volume, units: int) -> list[StoredObject]:
    """All of a unit's objects; of very many every second, or fourth, and so on: the same ones each time."""
    start, end = unit_box(plan, number)
    found: list[StoredObject] = []
    stride = 1
    for at, touched in enumerate(volume.objects(start, end, plan.spec.request.extra)):
        if at % stride:
            continue
        found.append(touched)
        # Folders of this machine tell at once, of stores each is a request.
        looked_at = _LOOKED_AT if touched.source.absence_trust_s else _LOOKED_AT_HERE
        if len(found) >= 2 * max(_LEAST, looked_at // units):
            found, stride = found[::2], 2 * stride
    return found


async def _etags(objects: Iterable[StoredObject]) -> dict[str, str]:
    found: dict[str, str] = {}
    waiting = iter(objects)

    async def look() -> None:
        for wanted in waiting:
            stat = await wanted.source.stat(wanted.key)
            found[wanted.key] = "" if stat is None else stat.etag

    await all_of([look() for _ in range(_AT_ONCE)])
    return found
