"""Jobs in memory: the plainest `JobStore`, which the others are compared with."""

from __future__ import annotations

import threading
from dataclasses import MISSING, fields, replace
from typing import Any

from zarrlink.errors import TooManyJobs
from zarrlink.jobs.model import RUNNING, Job, State, may_follow


class MemoryJobs:
    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._done: set[tuple[str, int, int]] = set()
        self._lock = threading.RLock()

    def add(self, job: Job, at_most: int | None = None) -> Job:
        with self._lock:
            known = self._standing(job, job.created_ms)
            if known is not None:
                return known
            if job.id in self._jobs:
                raise ValueError(f"job id {job.id} is taken")
            self._check_number(job.owner, at_most)
            self._jobs[job.id] = job
            return job

    def get(self, job_id: str) -> Job | None:
        return self._jobs.get(job_id)

    def of_owner(self, owner: str, limit: int = 1000) -> list[Job]:
        mine = [job for job in self._jobs.values() if job.owner == owner]
        return sorted(mine, key=lambda job: (-job.created_ms, job.id))[:limit]

    def running(self, owner: str | None = None) -> list[Job]:
        found = [job for job in self._jobs.values() if job.state in RUNNING and owner in (None, job.owner)]
        return sorted(found, key=lambda job: (job.created_ms, job.id))

    def start(self, job_id: str, attempt: int, now_ms: int) -> bool:
        with self._lock:
            job = self._attempt(job_id, attempt, RUNNING)
            return self._keep(job, state="STARTED", started_ms=job.started_ms or now_ms if job else None)

    def planned(self, job_id: str, attempt: int, units: int, upload: str) -> bool:
        with self._lock:
            job = self._attempt(job_id, attempt, ("STARTED",))
            if job is None or job.upload:
                return job is not None and job.upload == upload
            return self._keep(job, units=units, upload=upload)

    def unit_done(self, job_id: str, attempt: int, unit: int) -> bool:
        with self._lock:
            job = self._attempt(job_id, attempt, ("STARTED",))
            if job is None:
                return False
            new = (job_id, attempt, unit) not in self._done
            self._done.add((job_id, attempt, unit))
            return self._keep(job, units_done=job.units_done + new)

    def end(self, job_id: str, attempt: int, state: State, now_ms: int, **facts: Any) -> bool:
        with self._lock:
            return self._keep(self._attempt(job_id, attempt, may_follow(state)), state=state, ended_ms=now_ms, **facts)

    def retry(self, job_id: str, now_ms: int, at_most: int | None = None) -> Job | None:
        with self._lock:
            job = self._jobs.get(job_id)
            if job is None or job.state not in ("FAILURE", "CANCELLED") or self._standing(job, now_ms):
                return None
            self._check_number(job.owner, at_most)
            fresh: dict[str, Any] = {
                field.name: field.default for field in fields(Job) if field.default is not MISSING
            } | {
                "attempt": job.attempt + 1,
                "expected_bytes": job.expected_bytes,
                "expected_seconds": job.expected_seconds,
            }
            self._jobs[job_id] = replace(job, **fresh)
            return self._jobs[job_id]

    def remove(self, job_id: str) -> bool:
        with self._lock:
            job = self._jobs.get(job_id)
            if job is None or job.state in RUNNING:
                return False
            del self._jobs[job_id]
            return True

    def _check_number(self, owner: str, at_most: int | None) -> None:
        running = len(self.running(owner))
        if at_most is not None and running >= at_most:
            raise TooManyJobs(running, at_most)

    def _standing(self, like: Job, now_ms: int) -> Job | None:
        same = [job for job in self.of_owner(like.owner) if job.submission == like.submission]
        return next((job for job in same if job.stands(now_ms)), None)

    def _attempt(self, job_id: str, attempt: int, states: tuple[State, ...]) -> Job | None:
        job = self._jobs.get(job_id)
        return job if job is not None and job.attempt == attempt and job.state in states else None

    def _keep(self, job: Job | None, **changes: Any) -> bool:
        if job is None:
            return False
        self._jobs[job.id] = replace(job, **changes)
        return True
