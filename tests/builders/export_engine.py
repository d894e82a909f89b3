"""An engine that does nothing until it is told to, and then all of it in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from builders.export_runs import SMALL
from zarrlink.errors import SourceChanged, SourceUnavailable, ZarrlinkError
from zarrlink.exports.store_files import FolderStore
from zarrlink.exports.work import ExportWork
from zarrlink.jobs.interface import JobStore
from zarrlink.jobs.model import Job
from zarrlink.library import Library


class PatientEngine:
    """`started`, `stopped`, `discarded`: ids and attempts, as often as told. `reachable` False: like a service that is gone."""

    def __init__(self, jobs: JobStore, library: Library, store: FolderStore, now_ms: Callable[[], int]) -> None:
        self._jobs, self._library, self._now_ms = jobs, library, now_ms
        self.store = store
        self.started: list[tuple[str, int]] = []
        self.stopped: list[tuple[str, int]] = []
        self.discarded: list[str] = []
        self.reachable = True
        self.signed: str | None = None

    def start(self, job: Job) -> None:
        if not self.reachable:
            raise SourceUnavailable("the engine is gone")
        self.started.append((job.id, job.attempt))

    def stop(self, job: Job) -> None:
        self.stopped.append((job.id, job.attempt))
        self._work().clean(job.id, job.attempt)

    def address(self, job: Job, suffix: str = "") -> str | None:
        return None if self.signed is None else self.signed + suffix

    def discard(self, job: Job) -> None:
        self.discarded.append(job.id)
        self.store.remove(job.id, job.attempt)

    def run(self) -> None:
        """Do all that was started, to its end."""
        for job_id, attempt in dict.fromkeys(self.started):
            asyncio.run(self._run(job_id, attempt, tries=2))
        self.started.clear()

    async def _run(self, job_id: str, attempt: int, tries: int) -> None:
        work = self._work()
        try:
            planned = await work.plan(job_id, attempt)
            if planned.small:
                await work.small(job_id, attempt)
            elif planned.go_on:
                for start, end in planned.tiers:
                    for number in range(start, end):
                        await work.unit(job_id, attempt, number)
                assert await work.finish(job_id, attempt) == []
        except ZarrlinkError as error:
            if isinstance(error, SourceChanged) and tries > 1:
                await self._run(job_id, attempt, tries - 1)
                return
            work.fail(job_id, attempt, error)

    def _work(self) -> ExportWork:
        return ExportWork(self._jobs, self._library, self.store, now_ms=self._now_ms, limits=SMALL, result_days=7)
