"""Jobs as every process with the state file sees them, also those that run none."""

from __future__ import annotations

import os
from typing import Final

from zarrlink.exports.request import Limits
from zarrlink.exports.store_files import FolderStore
from zarrlink.jobs.engine import Engine
from zarrlink.jobs.limits import JobLimits
from zarrlink.jobs.model import Job
from zarrlink.jobs.service import JobService
from zarrlink_local.machine import Machine, now_ms

# Of local files no part is too small.
LIMITS: Final = Limits(least_part=0)
RESULT_DAYS: Final = 7


class QueueOnly:
    """An `Engine` that leaves the work to the server with this state file, which looks there by itself."""

    def __init__(self, store: FolderStore) -> None:
        self._store = store

    def start(self, job: Job) -> None:
        pass

    def stop(self, job: Job) -> None:
        self._store.remove(job.id, job.attempt)

    def address(self, job: Job, suffix: str = "") -> str | None:  # noqa: ARG002 (of the protocol)
        return None

    def discard(self, job: Job) -> None:
        for attempt in range(1, job.attempt + 1):
            self._store.remove(job.id, attempt)


def job_service(machine: Machine, engine: Engine | None = None, *, workers: int | None = None) -> JobService:
    """`engine` None: jobs wait for a server."""
    limits = JobLimits(store=LIMITS, workers=workers or usable_cores())
    return JobService(machine.jobs, engine or QueueOnly(machine.results()), machine.library, limits, now_ms)


def usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
