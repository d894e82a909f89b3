"""64-bit ids that do not fit 32 bits get new ones: a scan of its own, then one table for all units.

scan_unit(plan, n, ...)     for each unit of the first tier: which ids are in it
merge_ids(plan, scratch)    the table of all, and of each unit its own part of that
run_unit, finish, ...       replace ids as they read
write_table(scratch, out)   the table as CSV, to be published next to the file
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from zarrlink.arrays.volume import Volume
from zarrlink.errors import InvalidRequest, PartsDiffer, SourceChanged
from zarrlink.exports.places import Places
from zarrlink.exports.plan import Plan
from zarrlink.exports.scratch import Scratch
from zarrlink.exports.slabs import slab_boxes
from zarrlink.exports.spill import Spill

_FOUND: Final = "ids/found/"
_TABLES: Final = "ids/tables/"
_ALL: Final = "ids/all"
_MOST: Final = 2**32 - 1
_LINES: Final = 100_000

Ids = NDArray[Any]


async def scan_unit(plan: Plan, number: int, volume: Volume, places: Places) -> int:
    """Leave the ids that a unit holds in the scratch; gives how many. Raises what reading raises."""
    found = np.zeros(0, plan.spec.source.dtype)
    for start, end in slab_boxes(plan, number):
        places.check()
        voxels = await volume.read(start, end, plan.spec.request.extra)
        found = np.union1d(found, voxels)
    places.scratch.put(f"{_FOUND}{number:06d}", found.astype(_little(plan)).tobytes())
    return len(found)


def merge_ids(plan: Plan, scratch: Scratch, units: range) -> int:
    """Number all ids from 1 on in their order, 0 staying 0; gives how many there are. `units`: those that were scanned.

    Raises InvalidRequest where 32 bits are too few, PartsDiffer where a unit was not scanned.
    """
    dtype = _little(plan)
    everything = np.zeros(1, dtype)
    for number in units:
        everything = np.union1d(everything, _found(plan, scratch, number))
    if len(everything) > _MOST:
        raise InvalidRequest(f"the box holds {len(everything)} ids, more than 32 bits can number: keep them")
    zero = int(np.searchsorted(everything, 0))
    new = np.arange(1, len(everything) + 1, dtype="<u4")
    new[zero:] -= 1
    new[zero] = 0
    for number in units:
        own = _found(plan, scratch, number)
        table = own.astype(dtype).tobytes() + new[np.searchsorted(everything, own)].tobytes()
        scratch.put(f"{_TABLES}{number:06d}", table)
    scratch.put(_ALL, everything.astype(dtype).tobytes() + new.tobytes())
    return len(everything)


def renumbering(plan: Plan, scratch: Scratch, number: int) -> Callable[[Ids], Ids]:
    """From the stored ids of a unit to their new ones. Raises PartsDiffer where there is no table."""
    ids, new = _table(plan, scratch.get(f"{_TABLES}{number:06d}"), plan.part_number(number))

    def replace(voxels: Ids) -> Ids:
        """Raises SourceChanged for an id that was not there when it was scanned."""
        at = np.minimum(np.searchsorted(ids, voxels), max(len(ids) - 1, 0))
        if not len(ids) or (ids[at] != voxels).any():
            raise SourceChanged("ids")
        return new[at]

    return replace


def write_table(plan: Plan, scratch: Scratch, out: Spill) -> None:
    """CSV lines `id,stored_id` of all ids but 0, by their new id."""
    ids, new = _table(plan, scratch.get(_ALL), plan.part_number(0))
    order = np.argsort(new)
    out.write(b"id,stored_id\n")
    for start in range(0, len(order), _LINES):
        chosen = order[start : start + _LINES]
        lines = zip(new[chosen].tolist(), ids[chosen].tolist(), strict=True)
        out.write("".join(f"{number},{stored}\n" for number, stored in lines if number).encode())


def _little(plan: Plan) -> np.dtype[Any]:
    return np.dtype(plan.spec.source.dtype).newbyteorder("<")


def _found(plan: Plan, scratch: Scratch, number: int) -> Ids:
    data = scratch.get(f"{_FOUND}{number:06d}")
    if data is None:
        raise PartsDiffer((plan.part_number(number),))
    return np.frombuffer(data, _little(plan))


def _table(plan: Plan, data: bytes | None, part: int) -> tuple[Ids, Ids]:
    if data is None:
        raise PartsDiffer((part,))
    count = len(data) // 12
    return np.frombuffer(data, _little(plan), count), np.frombuffer(data, "<u4", count, offset=8 * count)
