"""What every step of an attempt at an export starts from: what its source told once, written down beside its parts."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeVar, cast

from zarrlink.arrays.volume import Volume
from zarrlink.arrays.watch import Versions, watched
from zarrlink.errors import CorruptFile, ExportFailed, JobEnded, SourceChanged
from zarrlink.exports.args import args_of
from zarrlink.exports.originals import Originals, confirm, look_at
from zarrlink.exports.places import Places
from zarrlink.exports.plan import Plan, make_plan
from zarrlink.exports.request import ExportSpec, Limits
from zarrlink.exports.sampling import sample
from zarrlink.exports.scratch import Scratch
from zarrlink.exports.source import export_spec
from zarrlink.exports.steps import Confirm
from zarrlink.jobs.model import Job
from zarrlink.library import Library, Subject
from zarrlink.view import View

T = TypeVar("T")
_SPEC: Final = "spec.json"
_ORIGINALS: Final = "originals.json"
_REMEMBERED: Final = 4


@dataclass(frozen=True, slots=True)
class Begun:
    """An attempt whose spec is written down."""

    job: Job
    plan: Plan
    volume: Volume
    places: Places
    originals: Originals

    async def confirmed(self, number: int, run: Callable[[Confirm], Awaitable[T]]) -> T:
        """What a unit gives, whose voxels are of the files that the plan saw."""

        async def check(read: Versions) -> None:
            if number < len(self.originals.units):
                await confirm(self.originals, self.plan, number, self.volume, read)

        try:
            with watched() as read:
                return await run(lambda: check(read))
        except (SourceChanged, CorruptFile):
            # A file that was replaced is named as that, however it was noticed.
            await check({})
            raise


class Beginnings:
    """Attempts that have begun, of which the last few are remembered. `limits`: of the store."""

    def __init__(self, library: Library, limits: Limits) -> None:
        self._library = library
        self._limits = limits
        self._begun: OrderedDict[tuple[str, int], Begun] = OrderedDict()

    async def spec(self, job: Job, scratch: Scratch) -> ExportSpec:
        """With all that the source tells; it is looked at once, and both are written down."""
        known = scratch.get(_SPEC)
        if known is not None:
            return ExportSpec.from_json(known)
        spec, volume = await self._open(job)
        sampled = await sample(spec, volume)
        originals = await look_at(make_plan(sampled), volume)
        spec = replace(sampled, source=replace(spec.source, content=originals.digest))
        scratch.put(_ORIGINALS, originals.to_json())
        # Last: it is what says that there is a plan.
        scratch.put(_SPEC, spec.to_json().encode())
        return spec

    def remembered(self, job_id: str, attempt: int) -> Begun | None:
        return self._begun.get((job_id, attempt))

    async def begin(self, job: Job, places: Places) -> Begun:
        """By what is written down. Raises JobEnded where that is gone, ExportFailed where the source was replaced since."""
        document, seen = places.scratch.get(_SPEC), places.scratch.get(_ORIGINALS)
        if document is None or seen is None or not job.upload:
            raise JobEnded
        spec = ExportSpec.from_json(document)
        now, volume = await self._open(job)
        if now.source.revision != spec.source.revision:
            raise ExportFailed("the data was replaced while it was exported: start the export again")
        begun = Begun(job, make_plan(spec), volume, places, Originals.from_json(seen))
        self._begun[job.id, job.attempt] = begun
        while len(self._begun) > _REMEMBERED:
            self._begun.popitem(last=False)
        return begun

    def forget(self, job_id: str, attempt: int) -> None:
        self._begun.pop((job_id, attempt), None)

    async def _open(self, job: Job) -> tuple[ExportSpec, Volume]:
        kind = cast('Literal["ome_tiff", "tiff_stack"]', job.kind)
        subject = subject_of(self._library, job)
        return await export_spec(self._library, subject, kind, args_of(job), self._limits)


def subject_of(library: Library, job: Job) -> Subject:
    return library.subject(View(job.dataset, ("-",), annotation=job.annotation))
