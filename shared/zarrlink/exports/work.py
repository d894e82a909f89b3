"""What is done for a job, step by step, wherever the steps run: in Lambda functions, in processes of one machine.

    plan(job, attempt)        PENDING -> STARTED; what there is to do
    unit(job, attempt, n)     each number of each tier, the tiers one by one
    finish(job, attempt)      STARTED -> SUCCESS, or the units that have to be run again
    small(job, attempt)       in place of the two above where the plan says so
    fail(...), clean(...)     after a failure, a cancellation

Every step may be run again, and at the same time by two workers. A step of an attempt that is over raises JobEnded.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeVar, cast

from zarrlink.annotations.download import download
from zarrlink.arrays.volume import Volume
from zarrlink.arrays.watch import Versions, watched
from zarrlink.errors import (
    CorruptFile,
    ExportFailed,
    InvalidRequest,
    JobEnded,
    LinkGone,
    PartsDiffer,
    SourceChanged,
    UnsupportedLayer,
    UploadGone,
    ZarrlinkError,
)
from zarrlink.exports.args import ExportArgs
from zarrlink.exports.ids import merge_ids, scan_unit, write_table
from zarrlink.exports.originals import Originals, confirm, look_at
from zarrlink.exports.places import Places
from zarrlink.exports.plan import Plan, make_plan
from zarrlink.exports.request import ExportSpec, Limits
from zarrlink.exports.sampling import sample
from zarrlink.exports.scratch import Scratch
from zarrlink.exports.source import export_spec
from zarrlink.exports.spill import Spill
from zarrlink.exports.steps import Confirm, Finished, finish, is_small, run_small, run_unit, tiers, unit_of
from zarrlink.exports.store import IDS_SUFFIX, ExportStore
from zarrlink.exports.stream import least_part_bytes, write_stream
from zarrlink.jobs.interface import JobStore
from zarrlink.jobs.model import Job
from zarrlink.library import Library, Subject
from zarrlink.view import View

T = TypeVar("T")
_SPEC: Final = "spec.json"
_ORIGINALS: Final = "originals.json"
_DAY_MS: Final = 86_400_000
# How long a worker may go on with a job that was cancelled.
_LOOK_S: Final = 1.0
# What a worker needs to write its part and go.
_LAST_S: Final = 30.0
_REMEMBERED: Final = 4
# Another attempt would end the same way. What else fails may go better next time.
FINAL: Final = (CorruptFile, UnsupportedLayer, InvalidRequest, ExportFailed, LinkGone)


@dataclass(frozen=True, slots=True)
class Planned:
    """`go_on` False: the attempt is over. `tiers`: [start, end) of the numbers that may run at the same time."""

    go_on: bool
    small: bool = False
    tiers: tuple[tuple[int, int], ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {"go_on": self.go_on, "small": self.small, "tiers": [list(tier) for tier in self.tiers]}


@dataclass(frozen=True, slots=True)
class _Begun:
    """An attempt whose spec is written down."""

    job: Job
    plan: Plan
    volume: Volume
    places: Places
    originals: Originals


class ExportWork:
    """The steps of jobs. `limits`: of the store. `threads`: how many encode in one step. `seconds_left`: until the worker
    is ended, None where nobody ends it.

    Not for several event loops: what reads from a store belongs to the loop that it was made in.
    """

    def __init__(
        self,
        jobs: JobStore,
        library: Library,
        store: ExportStore,
        *,
        now_ms: Callable[[], int],
        limits: Limits,
        result_days: int,
        threads: int = 1,
        seconds_left: Callable[[], float] | None = None,
    ) -> None:
        self._jobs = jobs
        self._library = library
        self._store = store
        self._now_ms = now_ms
        self._limits = limits
        self._result_days = result_days
        self._threads = threads
        self._seconds_left = seconds_left
        self._begun: OrderedDict[tuple[str, int], _Begun] = OrderedDict()

    async def plan(self, job_id: str, attempt: int) -> Planned:
        """Raises what looking at the source raises."""
        if not self._jobs.start(job_id, attempt, self._now_ms()):
            return Planned(go_on=False)
        job = self._job(job_id, attempt)
        with self._told(job):
            if job.kind == "annotation_wkw":
                self._upload(job, 1)
                return Planned(go_on=True, small=True, tiers=((0, 1),))
            if job.kind == "annotation_import":
                raise InvalidRequest("an import is no export")
            scratch = self._store.scratch(job)
            known = scratch.get(_SPEC)
            spec = await self._looked_at(job, scratch) if known is None else ExportSpec.from_json(known)
            plan = make_plan(spec)
            numbers = _numbers(plan)
            self._upload(job, sum(end - start for start, end in numbers))
            return Planned(go_on=True, small=is_small(plan) and not plan.form.renumbered, tiers=numbers)

    async def unit(self, job_id: str, attempt: int, number: int) -> None:
        """Raises what reading and writing raise; JobEnded."""
        begun = await self._begin(job_id, attempt)
        plan, places = begun.plan, begun.places
        with self._told(begun.job):
            first, step = len(tiers(plan)[0]), number - plan.units
            if step < 0:
                await self._confirmed(
                    begun, number, lambda confirm: run_unit(plan, number, begun.volume, places, confirm)
                )
            elif step < first:
                await scan_unit(plan, step, begun.volume, places)
            else:
                await asyncio.to_thread(merge_ids, plan, places.scratch, tiers(plan)[0])
        if not self._jobs.unit_done(job_id, attempt, number):
            # Written after it was cleaned, perhaps.
            self.clean(job_id, attempt)
            raise JobEnded

    async def finish(self, job_id: str, attempt: int) -> list[int]:
        """The units that have to be run again; none: the result is there, and the job has succeeded."""
        begun = await self._begin(job_id, attempt)
        with self._told(begun.job):
            try:
                if begun.plan.form.renumbered:
                    await asyncio.to_thread(self._put_ids, begun)
                done = await asyncio.to_thread(finish, begun.plan, begun.places)
            except PartsDiffer as error:
                found = [unit_of(begun.plan, number) for number in error.numbers]
                if None in found:
                    raise
                return sorted(number for number in found if number is not None)
        self._publish(begun.job, done)
        return []

    async def small(self, job_id: str, attempt: int) -> None:
        """All of a job that is not worth being cut into units, and its end."""
        job = self._job(job_id, attempt)
        if job.kind == "annotation_wkw":
            with self._told(job):
                length = await self._write_download(job)
            self._publish(job, Finished(length, 1))
            return
        begun = await self._begin(job_id, attempt)
        with self._told(job):
            done = await self._confirmed(
                begun, 0, lambda confirm: run_small(begun.plan, begun.volume, begun.places, confirm)
            )
        self._publish(job, done)

    def fail(self, job_id: str, attempt: int, error: BaseException | str) -> None:
        """The attempt ends, if it has not yet, and nothing of it stays."""
        sentence = error if isinstance(error, str) else failure_sentence(error)
        self._jobs.end(job_id, attempt, "FAILURE", self._now_ms(), sentence=sentence)
        self.clean(job_id, attempt)

    def clean(self, job_id: str, attempt: int) -> None:
        """Remove all that an attempt wrote, unless it goes on or has succeeded."""
        job = self._jobs.get(job_id)
        if job is None or (job.attempt == attempt and job.state in ("PENDING", "STARTED", "SUCCESS")):
            return
        self._begun.pop((job_id, attempt), None)
        self._store.remove(replace(job, attempt=attempt))

    async def _looked_at(self, job: Job, scratch: Scratch) -> ExportSpec:
        """The spec with all that its source tells, and both written down."""
        kind = cast('Literal["ome_tiff", "tiff_stack"]', job.kind)
        args = ExportArgs.from_json(job.args)
        spec, volume = await export_spec(self._library, self._subject(job), kind, args, self._limits)
        sampled = await sample(spec, volume)
        originals = await look_at(make_plan(sampled), volume)
        spec = replace(sampled, source=replace(spec.source, content=originals.digest))
        scratch.put(_ORIGINALS, originals.to_json())
        # Last: it is what says that there is a plan.
        scratch.put(_SPEC, spec.to_json().encode())
        return spec

    async def _confirmed(self, begun: _Begun, number: int, run: Callable[[Confirm], Awaitable[T]]) -> T:
        """What a unit gives, whose voxels are of the files that the plan saw."""

        async def check(read: Versions) -> None:
            if number < len(begun.originals.units):
                await confirm(begun.originals, begun.plan, number, begun.volume, read)

        try:
            with watched() as read:
                return await run(lambda: check(read))
        except (SourceChanged, CorruptFile):
            # A file that was replaced is named as that, however it was noticed.
            await check({})
            raise

    async def _begin(self, job_id: str, attempt: int) -> _Begun:
        job = self._job(job_id, attempt)
        known = self._begun.get((job_id, attempt))
        if known is not None:
            self._check(job)
            return known
        scratch = self._store.scratch(job)
        document, seen = scratch.get(_SPEC), scratch.get(_ORIGINALS)
        if document is None or seen is None or not job.upload:
            raise JobEnded
        with self._told(job):
            spec = ExportSpec.from_json(document)
            kind = cast('Literal["ome_tiff", "tiff_stack"]', job.kind)
            args = ExportArgs.from_json(job.args)
            now, volume = await export_spec(self._library, self._subject(job), kind, args, self._limits)
            if now.source.revision != spec.source.revision:
                raise ExportFailed("the data was replaced while it was exported: start the export again")
            places = Places(
                self._store.sink(job), job.upload, scratch, self._store.disk, self._checker(job), self._threads
            )
            begun = _Begun(job, make_plan(spec), volume, places, Originals.from_json(seen))
        self._begun[job_id, attempt] = begun
        while len(self._begun) > _REMEMBERED:
            self._begun.popitem(last=False)
        return begun

    def _job(self, job_id: str, attempt: int) -> Job:
        job = self._jobs.get(job_id)
        if job is None or job.attempt != attempt or job.state != "STARTED":
            raise JobEnded
        return job

    def _subject(self, job: Job) -> Subject:
        return self._library.subject(View(job.dataset, ("-",), annotation=job.annotation))

    def _upload(self, job: Job, units: int) -> None:
        """One upload for an attempt, however often it is planned."""
        if job.upload:
            return
        sink = self._store.sink(job)
        upload = sink.begin()
        if not self._jobs.planned(job.id, job.attempt, units, upload):
            sink.abort(upload)
            if not self._job(job.id, job.attempt).upload:
                raise JobEnded

    def _check(self, job: Job) -> None:
        self._job(job.id, job.attempt)
        if self._seconds_left is not None and self._seconds_left() < _LAST_S:
            raise ExportFailed("a step took longer than a function may run: ask who runs this zarrlink")

    def _checker(self, job: Job) -> Callable[[], None]:
        looked = time.monotonic()

        def check() -> None:
            nonlocal looked
            if time.monotonic() - looked >= _LOOK_S:
                self._check(job)
                looked = time.monotonic()

        return check

    @contextmanager
    def _told(self, job: Job) -> Iterator[None]:
        """What fails for good ends the job at once, with the sentence of whoever saw it."""
        try:
            yield
        except UploadGone as error:
            raise JobEnded from error
        except FINAL as error:
            self._jobs.end(job.id, job.attempt, "FAILURE", self._now_ms(), sentence=failure_sentence(error))
            raise

    def _publish(self, job: Job, done: Finished) -> None:
        now = self._now_ms()
        ended = self._jobs.end(
            job.id,
            job.attempt,
            "SUCCESS",
            now,
            result_bytes=done.object_bytes,
            expires_ms=now + self._result_days * _DAY_MS,
        )
        found = None if ended else self._jobs.get(job.id)
        if found is not None and (found.state != "SUCCESS" or found.attempt != job.attempt):
            # Cancelled at the last moment: nothing is offered.
            self.clean(job.id, job.attempt)
            raise JobEnded
        self._begun.pop((job.id, job.attempt), None)
        self._store.tidy(job)

    async def _write_download(self, job: Job) -> int:
        subject = self._subject(job)
        source, manifest = await self._library.manifest(subject)
        name = None if subject.annotation is None else subject.annotation.name
        file = download(manifest, source, volume_data=ExportArgs.from_json(job.args).volume_format, name=name)
        stored = sum(mag.data_bytes for volume in manifest.volumes for mag in volume.mags)
        part_bytes = least_part_bytes(stored, self._limits)
        places = Places(
            self._store.sink(job), job.upload, self._store.scratch(job), self._store.disk, self._checker(job), 1
        )
        return await write_stream(file.body, part_bytes, places)

    def _put_ids(self, begun: _Begun) -> None:
        sink = self._store.sink(begun.job, IDS_SUFFIX)
        with Spill(self._store.disk) as table:
            write_table(begun.plan, begun.places.scratch, table)
            upload = sink.begin()
            receipt = sink.put(upload, 1, table.rewound(), table.length, table.crc)
        try:
            sink.complete(upload, [receipt])
        except InvalidRequest:
            # An earlier call has put it there.
            sink.abort(upload)


def _numbers(plan: Plan) -> tuple[tuple[int, int], ...]:
    """The numbers of each tier's units; of a plan that renumbers first those of a scan and of its end, beyond the units."""
    units = [(tier.start, tier.stop) for tier in tiers(plan)]
    if not plan.form.renumbered:
        return tuple(units)
    scanned = plan.units + len(tiers(plan)[0])
    return ((plan.units, scanned), (scanned, scanned + 1), *units)


def failure_sentence(error: BaseException) -> str:
    """Why a job failed, for its owner: of a damaged source with the file's name below the dataset's folder."""
    if not isinstance(error, ZarrlinkError):
        return "something unexpected went wrong; the log of this zarrlink tells what"
    key = getattr(error, "key", "")
    return f"{error} ({key})" if key else str(error)
