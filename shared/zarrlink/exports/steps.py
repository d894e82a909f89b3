"""The steps of an export, as a state machine or a pool of processes calls them.

    sink.begin()                 an upload
    run_unit(plan, n, ...)       for each unit of each tier: the units of a tier in any order, the tiers one by one
    finish(plan, ...)            the last part; the object becomes visible
    run_small(plan, ...)         all of that at once, for exports of a single unit
    abandon(...)                 after a failure or a cancellation, at any time and as often as needed

Each may be run again: the same unit gives the same part. Retries end where the upload was ended (UploadGone).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from zarrlink.arrays.volume import Volume
from zarrlink.errors import UploadGone
from zarrlink.exports.handover import handover_key, handover_reader
from zarrlink.exports.ids import renumbering
from zarrlink.exports.part_sink import PartReceipt, PartSink
from zarrlink.exports.places import Places
from zarrlink.exports.plan import Plan
from zarrlink.exports.reading import layer_reader
from zarrlink.exports.results import UnitResult, all_results, put_result
from zarrlink.exports.spill import Spill
from zarrlink.exports.stack_end import stack_end
from zarrlink.exports.stack_part import encode_stack_unit
from zarrlink.exports.tiff_front import TiffFront, find_tiles
from zarrlink.exports.tiff_part import encode_unit
from zarrlink.exports.tiff_plan import TiffPlan

# Of a part that would be empty: no store need be asked whether it takes such.
_LEAST_BYTES: Final = 16


Confirm = Callable[[], Awaitable[None]]


async def trusted() -> None:
    """Of a source that nobody replaces."""


@dataclass(frozen=True, slots=True)
class Finished:
    """`units`: how many there were; `object_bytes`: of the finished object."""

    object_bytes: int
    units: int


def tiers(plan: Plan) -> list[range]:
    """The numbers of the units that may run at the same time; each range once the one before is done."""
    return [tier.units for tier in plan.tiers] if isinstance(plan, TiffPlan) else [range(plan.units)]


def is_small(plan: Plan) -> bool:
    """Whether `run_small` makes all of it."""
    return plan.units == 1


async def run_unit(plan: Plan, number: int, volume: Volume, places: Places, confirm: Confirm = trusted) -> UnitResult:
    """Make one unit's part, and leave its result in the scratch.

    `volume`: the layer at the request's mag, not used by tiers after the first. `confirm` is called once all is read, and
    raises where what was read may not be what was planned with. Raises what reading it raises
    (CorruptFile, SourceUnavailable: a damaged source never becomes black tiles), what `places.check` raises,
    ExportFailed, UploadGone; PartsDiffer where a unit that this one builds on has left nothing.
    """
    with Spill(places.disk) as out, Spill(places.disk) as handed_over:
        numbers = await _encode(plan, number, volume, places, out, handed_over)
        await confirm()
        last = number + 1 == plan.units
        ends_object = last and isinstance(plan, TiffPlan)
        out.pad_to(_LEAST_BYTES if ends_object else max(_LEAST_BYTES, plan.spec.limits.least_part))
        places.check()
        receipt = await asyncio.to_thread(_put, places, plan.part_number(number), out)
        result = UnitResult(number, receipt, numbers)
        if handed_over.length:
            await asyncio.to_thread(places.scratch.put, handover_key(number), handed_over)
        # Last, since whoever counts results counts units that are done.
        await asyncio.to_thread(put_result, places.scratch, result)
        return result


def finish(plan: Plan, places: Places) -> Finished:
    """Write the part that depends on all units, and make the object visible. May be run again, after a success too.

    Raises PartsDiffer, naming parts whose units are to be run again (`unit_of`), UploadGone, and what the store raises.
    """
    results = all_results(places.scratch, plan.units, plan.part_number(0))
    receipts = [result.receipt for result in results]
    with Spill(places.disk) as out:
        if isinstance(plan, TiffPlan):
            _front(plan, results, out, plan.spec.limits.least_part)
            parts = [put_once(places.sink, places.upload, 1, out), *receipts]
        else:
            for piece in stack_end(plan, results):
                out.write(piece)
            parts = [*receipts, put_once(places.sink, places.upload, plan.units + 1, out)]
    places.sink.complete(places.upload, parts)
    return Finished(sum(part.part_bytes for part in parts), plan.units)


async def run_small(plan: Plan, volume: Volume, places: Places, confirm: Confirm = trusted) -> Finished:
    """A whole export of a single unit, in one part without any padding. Raises as `run_unit` and `finish`."""
    with Spill(places.disk) as unit, Spill(places.disk) as out:
        numbers = await _encode(plan, 0, volume, places, unit, None)
        await confirm()
        result = UnitResult(0, PartReceipt(1, unit.length, unit.crc, ""), numbers)
        if isinstance(plan, TiffPlan):
            _front(plan, [result], out, 0)
        out.copy(unit)
        if not isinstance(plan, TiffPlan):
            for piece in stack_end(plan, [result]):
                out.write(piece)
        places.check()
        # As the end of a larger one: an attempt that was stopped after its object was complete is run again.
        receipt = await asyncio.to_thread(put_once, places.sink, places.upload, 1, out)
        await asyncio.to_thread(places.sink.complete, places.upload, [receipt])
        return Finished(out.length, 1)


def abandon(places: Places) -> None:
    """Leave nothing of an export that is not complete; removes the scratch of one that is."""
    places.sink.abort(places.upload)
    places.scratch.clear()


def unit_of(plan: Plan, part: int) -> int | None:
    """The unit behind a part; None for the one that `finish` writes."""
    number = part - plan.part_number(0)
    return number if 0 <= number < plan.units else None


def put_once(sink: PartSink, upload: str, number: int, out: Spill) -> PartReceipt:
    """Write a part; where the upload has ended, give what it would be: `complete` then tells how that ended."""
    try:
        return sink.put(upload, number, out.rewound(), out.length, out.crc)
    except UploadGone:
        return PartReceipt(number, out.length, out.crc, "")


def _front(plan: TiffPlan, results: Sequence[UnitResult], out: Spill, least_bytes: int) -> None:
    tiles = find_tiles(plan, results)
    front = TiffFront(plan, sum(result.receipt.part_bytes for result in results), least_bytes)
    for piece in front.pieces(tiles):
        out.write(piece)


async def _encode(
    plan: Plan, number: int, volume: Volume, places: Places, out: Spill, handed_over: Spill | None
) -> NDArray[Any]:
    first_tier = number in tiers(plan)[0]
    renumber = renumbering(plan, places.scratch, number) if plan.form.renumbered and first_tier else None
    read = layer_reader(volume, plan.box.top_left, plan.form, plan.spec.request.extra, renumber)
    if not isinstance(plan, TiffPlan):
        least = plan.spec.limits.least_part if plan.units > 1 else 0
        told = await encode_stack_unit(
            plan, plan.unit(number), read, out, lambda: Spill(places.disk), check=places.check, least_bytes=least
        )
        return np.array(told, np.uint32).reshape(-1)
    unit = plan.unit(number)
    if unit.tier.number:
        read = handover_reader(plan, plan.tiers[unit.tier.number - 1], places.scratch)
    wanted = handed_over if unit.tier.number + 1 < len(plan.tiers) else None
    return await encode_unit(plan, unit, read, out, wanted, check=places.check, threads=places.threads)


def _put(places: Places, number: int, out: Spill) -> PartReceipt:
    return places.sink.put(places.upload, number, out.rewound(), out.length, out.crc)
