"""What is done for a job, step by step, wherever the steps run: in Lambda functions, in processes of one machine.

    plan(job, attempt)        PENDING -> STARTED; what there is to do
    unit(job, attempt, n)     each number of each tier, the tiers one by one
    finish(job, attempt)      STARTED -> SUCCESS, or the units that have to be run again
    small(job, attempt)       in place of the two above where the plan says so
    fail(...), clean(...)     after a failure, a cancellation

Every step may be run again, and at the same time by two workers. A step of an attempt that is over raises JobEnded, but for
`finish` and `small` where it has succeeded; it clears away what it, or an earlier try, has written too late.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from zarrlink.annotations.download import download
from zarrlink.errors import (
    CorruptFile,
    DamagedRow,
    ExportFailed,
    InvalidRequest,
    JobEnded,
    LinkGone,
    PartsDiffer,
    SourceUnavailable,
    UnsupportedLayer,
    UploadGone,
    ZarrlinkError,
)
from zarrlink.exports.args import args_of
from zarrlink.exports.begun import Beginnings, Begun, subject_of
from zarrlink.exports.ids import merge_ids, scan_unit, write_table
from zarrlink.exports.places import Places
from zarrlink.exports.plan import Plan, make_plan
from zarrlink.exports.request import Limits
from zarrlink.exports.spill import Spill
from zarrlink.exports.steps import Finished, finish, is_small, run_small, run_unit, tiers, unit_of
from zarrlink.exports.store import IDS_SUFFIX, ExportStore
from zarrlink.exports.stream import least_part_bytes, write_stream
from zarrlink.jobs.interface import JobStore
from zarrlink.jobs.model import RUNNING, Job
from zarrlink.library import Library

_DAY_MS: Final = 86_400_000
# How long a worker may go on with a job that was cancelled.
_LOOK_S: Final = 1.0
# What a worker needs to write its part and go.
_LAST_S: Final = 30.0
# Another attempt would end the same way. What else fails may go better next time.
FINAL: Final = (CorruptFile, DamagedRow, UnsupportedLayer, InvalidRequest, ExportFailed, LinkGone)


@dataclass(frozen=True, slots=True)
class Planned:
    """`go_on` False: the attempt is over. `tiers`: [start, end) of the numbers that may run at the same time."""

    go_on: bool
    small: bool = False
    tiers: tuple[tuple[int, int], ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {"go_on": self.go_on, "small": self.small, "tiers": [list(tier) for tier in self.tiers]}


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
        self._beginnings = Beginnings(library, limits)

    async def plan(self, job_id: str, attempt: int) -> Planned:
        """Raises what looking at the source raises."""
        if not self._jobs.start(job_id, attempt, self._now_ms()):
            self.clean(job_id, attempt)
            return Planned(go_on=False)
        with self._step(job_id, attempt):
            job = self._job(job_id, attempt)
            with self._told(job):
                return await self._plan(job)

    async def unit(self, job_id: str, attempt: int, number: int) -> None:
        """Raises what reading and writing raise; JobEnded."""
        with self._step(job_id, attempt):
            begun = await self._begin(job_id, attempt)
            plan, places = begun.plan, begun.places
            with self._told(begun.job):
                first, step = len(tiers(plan)[0]), number - plan.units
                if step < 0:
                    await begun.confirmed(number, lambda confirm: run_unit(plan, number, begun.volume, places, confirm))
                elif step < first:
                    await scan_unit(plan, step, begun.volume, places)
                else:
                    await asyncio.to_thread(merge_ids, plan, places.scratch, tiers(plan)[0])
            if not self._jobs.unit_done(job_id, attempt, number):
                raise JobEnded

    async def finish(self, job_id: str, attempt: int) -> list[int]:
        """The units that have to be run again; none: the result is there, and the job has succeeded."""
        with self._step(job_id, attempt, last=True):
            begun = await self._begin(job_id, attempt)
            with self._told(begun.job):
                try:
                    if begun.plan.form.renumbered:
                        await asyncio.to_thread(self._put_ids, begun)
                    done = await asyncio.to_thread(finish, begun.plan, begun.places)
                except PartsDiffer as error:
                    # Not where somebody has cleared them away.
                    self._job(job_id, attempt)
                    found = [unit_of(begun.plan, number) for number in error.numbers]
                    if None in found:
                        raise
                    return sorted(number for number in found if number is not None)
            self._publish(begun.job, done)
        return []

    async def small(self, job_id: str, attempt: int) -> None:
        """All of a job that is not worth being cut into units, and its end."""
        with self._step(job_id, attempt, last=True):
            job = self._job(job_id, attempt)
            if job.kind == "annotation_wkw":
                with self._told(job):
                    length = await self._write_download(job)
                self._publish(job, Finished(length, 1))
                return
            begun = await self._begin(job_id, attempt)
            with self._told(job):
                done = await begun.confirmed(
                    0, lambda confirm: run_small(begun.plan, begun.volume, begun.places, confirm)
                )
            self._publish(job, done)

    def fail(self, job_id: str, attempt: int, error: BaseException | str) -> None:
        """The attempt ends, if it has not yet, and nothing of it stays. Only where nobody goes on with it."""
        sentence = error if isinstance(error, str) else failure_sentence(error)
        try:
            self._jobs.end(job_id, attempt, "FAILURE", self._now_ms(), sentence=sentence)
        except SourceUnavailable:
            # A disk that the attempt itself has filled, perhaps. Not what is finished: it may have succeeded.
            self._store.tidy(job_id, attempt)
            self._jobs.end(job_id, attempt, "FAILURE", self._now_ms(), sentence=sentence)
        self.clean(job_id, attempt)

    def clean(self, job_id: str, attempt: int) -> None:
        """Remove all that an attempt wrote, unless it goes on; of one that has succeeded all but its result."""
        job = self._jobs.get(job_id)
        state = None if job is None or job.attempt != attempt else job.state
        if state in RUNNING:
            return
        self._beginnings.forget(job_id, attempt)
        if state == "SUCCESS":
            self._store.tidy(job_id, attempt)
        else:
            self._store.remove(job_id, attempt)

    @contextmanager
    def _step(self, job_id: str, attempt: int, *, last: bool = False) -> Iterator[None]:
        """Around a step: what it wrote of an attempt that is over goes. `last`: it ends well where the attempt has."""
        try:
            yield
        except Exception as error:
            try:
                self.clean(job_id, attempt)
            except SourceUnavailable:
                # What failed first says more, and may be final. Whoever ends the attempt clears it away.
                raise error from None
            if not last or not self._has_succeeded(job_id, attempt):
                raise

    def _has_succeeded(self, job_id: str, attempt: int) -> bool:
        job = self._jobs.get(job_id)
        return job is not None and (job.attempt, job.state) == (attempt, "SUCCESS")

    async def _plan(self, job: Job) -> Planned:
        if job.kind == "annotation_wkw":
            self._upload(job, 1)
            return Planned(go_on=True, small=True, tiers=((0, 1),))
        if job.kind == "annotation_import":
            raise InvalidRequest("an import is no export")
        plan = make_plan(await self._beginnings.spec(job, self._store.scratch(job)))
        numbers = _numbers(plan)
        self._upload(job, sum(end - start for start, end in numbers))
        return Planned(go_on=True, small=is_small(plan) and not plan.form.renumbered, tiers=numbers)

    async def _begin(self, job_id: str, attempt: int) -> Begun:
        job = self._job(job_id, attempt)
        known = self._beginnings.remembered(job_id, attempt)
        if known is not None:
            self._check(job)
            return known
        with self._told(job):
            return await self._beginnings.begin(job, self._places(job, self._threads))

    def _places(self, job: Job, threads: int) -> Places:
        scratch = self._store.scratch(job)
        return Places(self._store.sink(job), job.upload, scratch, self._store.disk, self._checker(job), threads)

    def _job(self, job_id: str, attempt: int) -> Job:
        job = self._jobs.get(job_id)
        if job is None or job.attempt != attempt or job.state != "STARTED":
            raise JobEnded
        return job

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
            try:
                self._jobs.end(job.id, job.attempt, "FAILURE", self._now_ms(), sentence=failure_sentence(error))
            except SourceUnavailable:
                # The next try finds it as well; of a full disk, whoever sees the step fail makes room first.
                if not isinstance(error, ExportFailed):
                    raise
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
        if not ended and not self._has_succeeded(job.id, job.attempt):
            # Cancelled at the last moment: nothing is offered.
            raise JobEnded
        self.clean(job.id, job.attempt)

    async def _write_download(self, job: Job) -> int:
        subject = subject_of(self._library, job)
        source, manifest = await self._library.manifest(subject)
        name = None if subject.annotation is None else subject.annotation.name
        file = download(manifest, source, volume_data=args_of(job).volume_format, name=name)
        stored = sum(mag.data_bytes for volume in manifest.volumes for mag in volume.mags)
        part_bytes = least_part_bytes(stored, self._limits)
        return await write_stream(file.body, part_bytes, self._places(job, 1))

    def _put_ids(self, begun: Begun) -> None:
        sink = self._store.sink(begun.job, IDS_SUFFIX)
        with Spill(self._store.disk) as table:
            write_table(begun.plan, begun.places.scratch, table)
            upload = sink.begin()
            receipt = sink.put(upload, 1, table.rewound(), table.length, table.crc)
        sink.complete(upload, [receipt])


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
