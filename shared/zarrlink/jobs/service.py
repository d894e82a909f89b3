"""Jobs as their owners ask for them: submitted, looked at, cancelled, tried again, removed. To others they are not there."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

from zarrlink.access import Act, may
from zarrlink.catalogue.annotations import AnnotationRecord
from zarrlink.catalogue.interface import DatasetRecord
from zarrlink.errors import (
    CorruptFile,
    InvalidRequest,
    LinkGone,
    NotReady,
    SourceUnavailable,
    UnknownKey,
)
from zarrlink.exports.args import ExportArgs, args_of
from zarrlink.exports.request import ExportSpec, Wide
from zarrlink.geometry import Vec3
from zarrlink.jobs.engine import Engine
from zarrlink.jobs.interface import JobStore
from zarrlink.jobs.limits import JobLimits
from zarrlink.jobs.model import ENDED, Job
from zarrlink.jobs.names import annotation_file_name, export_file_name
from zarrlink.library import Library, Subject
from zarrlink.users.interface import User
from zarrlink.view import View

ExportKind = Literal["ome_tiff", "tiff_stack"]
# Of all tiles, those of the pyramid too: 352 MB in 4.3 to 4.6 CPU-s (benchmarks/tiff.py, one worker, 2026-11).
_BYTES_PER_SECOND: Final = 80e6
# Until the first worker is there, and after the last.
_OVERHEAD_S: Final = 3
_CHANGES: Final = 5
_WIDE: Final = ("uint64", "int64")
_NOT_THERE: Final = "there is no such dataset or annotation"


@dataclass(frozen=True, slots=True)
class TiffRequest:
    """An export to ask for. `dataset`, `annotation`: ids, "" for none; an annotation is with the dataset that it is of."""

    kind: ExportKind
    args: ExportArgs
    dataset: str = ""
    annotation: str = ""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What an export comes to. `bytes`, `seconds`: roughly. `size_vox`: (x, y, z) in the export's mag. `units`: shares
    that may be worked on at the same time."""

    bytes: int
    seconds: int
    size_vox: Vec3
    units: int


@dataclass(frozen=True, slots=True)
class _Looked:
    """What is known of an export before it begins. `wide`: what becomes of its 64-bit numbers, None where it has none."""

    spec: ExportSpec
    estimate: Estimate
    subject: Subject
    wide: Wide | None


class JobService:
    """`now_ms`: milliseconds since 1970. Everything raises SourceUnavailable where the store or the engine cannot be reached."""

    def __init__(
        self, jobs: JobStore, engine: Engine, library: Library, limits: JobLimits, now_ms: Callable[[], int]
    ) -> None:
        self._jobs = jobs
        self._engine = engine
        self._library = library
        self._now_ms = now_ms
        self.limits = limits

    async def estimate(self, user: User, request: TiffRequest) -> Estimate:
        """Raises as `submit_tiff`, but for the number of jobs."""
        return (await self._look(user, request)).estimate

    async def submit_tiff(self, user: User, request: TiffRequest, key: str | None = None) -> Job:
        """The job that does it: a new one, or the one that did or does the same from the same data.

        `key`: of the caller's choice; the same key is the same job, and another key another. Raises UnknownKey for a dataset
        or annotation that is not there for the user, InvalidRequest, ExportTooLarge and UnsupportedLayer for what cannot be
        exported, CorruptFile for damaged data, TooManyJobs.
        """
        looked = await self._look(user, request)
        spec, estimate, subject = looked.spec, looked.estimate, looked.subject
        # All that was left open is told with the job.
        extra = tuple(sorted(zip(spec.source.axes, spec.request.extra, strict=True)))
        args = replace(request.args, box=spec.request.box, mag=spec.request.mag, extra=extra, wide=looked.wide)
        of = subject.dataset or subject.annotation
        now = self._now_ms()
        job = Job(
            id=secrets.token_hex(12),
            owner=user.name,
            kind=request.kind,
            dataset="" if subject.dataset is None else subject.dataset.id,
            annotation=request.annotation,
            args=args.to_json(),
            file_name=export_file_name(now, "" if of is None else of.name, args.layer, request.kind),
            submission="",
            created_ms=now,
            expected_bytes=estimate.bytes,
            expected_seconds=estimate.seconds,
        )
        return await asyncio.to_thread(self._submit, job, spec.source.revision, key)

    async def submit_download(
        self, user: User, annotation: str, volume_format: Literal["wkw", "zarr3"], key: str | None = None
    ) -> Job:
        """The same for an annotation as WEBKNOSSOS downloads it."""
        subject = self._subject(user, "", annotation)
        _, manifest = await self._library.manifest(subject)
        name, revision = (
            ("", "") if subject.annotation is None else (subject.annotation.name, subject.annotation.revision)
        )
        now = self._now_ms()
        job = Job(
            id=secrets.token_hex(12),
            owner=user.name,
            kind="annotation_wkw",
            dataset="" if subject.dataset is None else subject.dataset.id,
            annotation=annotation,
            args=ExportArgs(volume_format=volume_format).to_json(),
            file_name=annotation_file_name(name, has_volumes=bool(manifest.volumes)),
            submission="",
            created_ms=now,
        )
        return await asyncio.to_thread(self._submit, job, revision, key)

    def get(self, owner: str, job_id: str) -> Job:
        """Raises UnknownKey where the owner has no such job."""
        job = self._jobs.get(job_id)
        if job is None or job.owner != owner:
            raise UnknownKey("you have no such job")
        return job

    def of_owner(self, owner: str) -> list[Job]:
        """Newest first."""
        return self._jobs.of_owner(owner)

    def cancel(self, owner: str, job_id: str) -> Job:
        """Raises InvalidRequest for a job that has ended."""
        for _ in range(_CHANGES):
            job = self.get(owner, job_id)
            if job.state in ENDED:
                raise InvalidRequest(f"this job has ended ({job.state}), so there is nothing to cancel")
            # First here: whatever still runs sees it, and ends by itself.
            if self._jobs.end(job.id, job.attempt, "CANCELLED", self._now_ms()):
                cancelled = self.get(owner, job_id)
                self._engine.stop(cancelled)
                return cancelled
        raise SourceUnavailable("a job that never comes to rest")

    def retry(self, owner: str, job_id: str) -> Job:
        """Another attempt. Raises InvalidRequest for a job that neither failed nor was cancelled, and for one that was
        submitted anew meanwhile; TooManyJobs."""
        job = self.get(owner, job_id)
        again = self._jobs.retry(job.id, self._now_ms(), self.limits.running)
        if again is None:
            state = self.get(owner, job_id).state
            if state not in ("FAILURE", "CANCELLED"):
                raise InvalidRequest(f"only a job that failed or was cancelled is tried again; this one is {state}")
            raise InvalidRequest("the same was submitted again meanwhile: see that job")
        self._start(again)
        return again

    def remove(self, owner: str, job_id: str) -> None:
        """The job and its result. Raises InvalidRequest for a job that runs."""
        job = self.get(owner, job_id)
        # First here: a job that is tried again at this moment keeps what is its own.
        if not self._jobs.remove(job.id):
            raise InvalidRequest("this job is still running: cancel it first")
        self._engine.discard(job)

    def result(self, owner: str, job_id: str) -> Job:
        """A job with a result that is there. Raises UnknownKey where there is none, NotReady while it is being made, LinkGone
        where it is gone again."""
        job = self.get(owner, job_id)
        if job.state in ("FAILURE", "CANCELLED"):
            ended = "failed" if job.state == "FAILURE" else "was cancelled"
            raise UnknownKey(f"this job {ended}, so it has no result")
        if job.state != "SUCCESS":
            raise NotReady("this job is still running: its result is there once its state is SUCCESS")
        if not job.stands(self._now_ms()):
            raise LinkGone(
                "result expired", "the result of this job has expired and was removed: start the export again"
            )
        return job

    def ids(self, owner: str, job_id: str) -> Job:
        """A job with a table of renumbered ids beside its result. Raises as `result`, and UnknownKey where it renumbers none."""
        job = self.result(owner, job_id)
        if not renumbers(job):
            raise UnknownKey("this job renumbered no ids, so there is no table of them")
        return job

    def address(self, job: Job, suffix: str = "") -> str | None:
        """Where a result, or a file beside it, can be fetched without signing in, for minutes. A secret."""
        return self._engine.address(job, suffix)

    async def _look(self, user: User, request: TiffRequest) -> _Looked:
        # NumPy comes with these.
        from zarrlink.exports.plan import check_box, expected_bytes, make_plan
        from zarrlink.exports.sampling import sample
        from zarrlink.exports.source import export_spec
        from zarrlink.exports.steps import tiers

        subject = self._subject(user, request.dataset, request.annotation)
        spec, volume = await export_spec(self._library, subject, request.kind, request.args, self.limits.store)
        check_box(spec)
        self.limits.check_size(spec)
        try:
            sampled = await sample(spec, volume)
        except (CorruptFile, SourceUnavailable) as error:
            raise located(error, f"layer {spec.source.layer!r}, mag {spec.request.mag.literal}") from error
        plan = make_plan(sampled)
        at_once = max(1, min(self.limits.workers, len(tiers(plan)[0])))
        seconds = _OVERHEAD_S + math.ceil(plan.raw_bytes / (_BYTES_PER_SECOND * at_once))
        estimate = Estimate(expected_bytes(plan), seconds, plan.box.size, plan.units)
        return _Looked(sampled, estimate, subject, spec.request.wide if spec.source.dtype in _WIDE else None)

    def _subject(self, user: User, dataset: str, annotation: str) -> Subject:
        """An annotation is without its dataset where that is not there for the user. Raises UnknownKey, InvalidRequest."""
        try:
            found = self._library.subject(View("" if annotation else dataset, ("-",), annotation=annotation))
        except LinkGone as error:
            raise UnknownKey(_NOT_THERE) from error
        of = found.annotation or found.dataset
        if of is None or not may(user, Act.READ, of):
            raise UnknownKey(_NOT_THERE)
        if found.annotation is None:
            return found
        below = self._below(user, found.annotation)
        if dataset not in ("", annotation, below and below.id):
            raise InvalidRequest("the annotation is of another dataset than the one that is named")
        return replace(found, dataset=below)

    def _below(self, user: User, annotation: AnnotationRecord) -> DatasetRecord | None:
        if not annotation.dataset:
            return None
        try:
            found = self._library.subject(View(annotation.dataset, ("-",))).dataset
        except LinkGone:
            return None
        return found if found is not None and may(user, Act.READ, found) else None

    def check_readable(self, user: User, job_id: str) -> None:
        """Before another attempt. Raises UnknownKey where what the job reads is not there for the user any more."""
        job = self.get(user.name, job_id)
        found = self._subject(user, "" if job.annotation else job.dataset, job.annotation)
        if job.dataset and found.dataset is None:
            raise UnknownKey(_NOT_THERE)

    def _submit(self, job: Job, revision: str, key: str | None) -> Job:
        what = _what(job)
        mine = self._jobs.of_owner(job.owner)
        # A data file that was replaced in place shows in no revision: what is finished is no answer to a new request,
        # unless it is said to be the same by its key.
        finished = next(
            (known.id for known in mine if known.state == "SUCCESS" and _what(known) == what),
            "",
        )
        facts = ["key", job.owner, key] if key else ["same", job.owner, *what, revision, finished]
        job = replace(job, submission=hashlib.sha256(json.dumps(facts).encode()).hexdigest())
        kept = self._jobs.add(job, self.limits.running)
        if _what(kept) != what:
            raise InvalidRequest("this Idempotency-Key stands for another job of yours: choose a new one")
        if kept.state == "PENDING":
            # Of one that was there already as well: whoever added it may have gone before it was started.
            self._start(kept)
        return kept

    def _start(self, job: Job) -> None:
        try:
            self._engine.start(job)
        except Exception:
            sentence = "the job could not be started: try it again"
            self._jobs.end(job.id, job.attempt, "FAILURE", self._now_ms(), sentence=sentence)
            raise


def located(error: CorruptFile | SourceUnavailable, place: str) -> CorruptFile | SourceUnavailable:
    """The same failure, saying where: whoever asked is told which file to look at."""
    file = f", {error.key}" if error.key else ""
    if isinstance(error, SourceUnavailable):
        return SourceUnavailable(error.reason, key=error.key, place=f"{place}{file}")
    return CorruptFile(f"{error.what} in {place}{file}", key=error.key, expected=error.expected, found=error.found)


def renumbers(job: Job) -> bool:
    """Whether there is a table of ids beside the job's result."""
    return job.kind in ("ome_tiff", "tiff_stack") and args_of(job).wide == "renumber"


def _what(job: Job) -> tuple[str, str, str, str]:
    return job.kind, job.dataset, job.annotation, job.args
