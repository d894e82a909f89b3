"""One attempt at a job, step by step over a pool of workers."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from typing import Any, Final, Literal

from zarrlink.errors import ExportFailed, SourceUnavailable
from zarrlink.exports.results import PREFIX, result_key
from zarrlink.exports.store import ExportStore
from zarrlink.exports.work import ExportWork, Planned
from zarrlink.jobs.interface import JobStore
from zarrlink.jobs.model import RUNNING, Job
from zarrlink_local.jobs.pool import WorkerPool
from zarrlink_local.jobs.steps import AttemptEnded, Steps
from zarrlink_local.jobs.worker import Step

_log = logging.getLogger(__name__)
_ROUNDS: Final = 3


class Attempt:
    """Runs an attempt to its end, whichever that is; from where an earlier process had left off. Used by one thread.

    `stop`: set where this process has to end; the job then stays as it is. `show` is called whenever a step is done.
    """

    def __init__(
        self,
        job: Job,
        pool: WorkerPool,
        work: ExportWork,
        jobs: JobStore,
        store: ExportStore,
        stop: threading.Event,
        show: Callable[[], None] = lambda: None,
    ) -> None:
        self._job = job
        self._pool = pool
        self._work = work
        self._jobs = jobs
        self._store = store
        self._stop = stop
        self._show = show

    def run(self) -> None:
        """Returns when the attempt is over, or `stop` is set. Raises ExportFailed where it failed and that cannot be written
        down, SourceUnavailable where the state file cannot be read."""
        try:
            self._run()
        except AttemptEnded as end:
            if not self._stop.is_set():
                self._end(end.sentence)

    def _run(self) -> None:
        plan: Planned = self._one("plan")
        if not plan.go_on:
            raise AttemptEnded
        if plan.small:
            self._one("small")
            return
        done = self._store.scratch(self._job).keys(PREFIX)
        for start, end in plan.tiers:
            self._units(number for number in range(start, end) if result_key(number) not in done)
        for _ in range(_ROUNDS):
            again: list[int] = self._one("finish")
            if not again:
                return
            _log.warning("job %s: %d units have to be run again", self._job.id, len(again))
            for start, end in plan.tiers:
                self._units(number for number in again if start <= number < end)
        raise AttemptEnded("parts of the file were lost again and again while it was put together")

    def _one(self, name: Literal["plan", "finish", "small"]) -> Any:
        return self._all([Step(name, self._job.id, self._job.attempt)])[0]

    def _units(self, numbers: Iterable[int]) -> None:
        self._all([Step("unit", self._job.id, self._job.attempt, number) for number in numbers])

    def _all(self, wanted: list[Step]) -> list[Any]:
        steps = Steps(wanted, self._pool, self._stop, self._show)
        try:
            return steps.run()
        except AttemptEnded as end:
            if not self._stop.is_set():
                # First here, so that those who are still at it see that it is over; then nobody writes any more.
                try:
                    if end.sentence:
                        self._fail(end.sentence)
                finally:
                    steps.drain()
            raise

    def _end(self, sentence: str) -> None:
        job_id, attempt = self._job.id, self._job.attempt
        found = self._jobs.get(job_id)
        if not sentence and found is not None and found.attempt == attempt and found.state in RUNNING:
            # Nobody ended it, and yet its upload or its spec are gone.
            sentence = "what this export had written so far is gone: start it again"
        if sentence:
            self._fail(sentence)
        else:
            self._work.clean(job_id, attempt)

    def _fail(self, sentence: str) -> None:
        try:
            self._work.fail(self._job.id, self._job.attempt, sentence)
        except SourceUnavailable as error:
            raise ExportFailed(sentence) from error
