"""The `JobStore` protocol."""

from __future__ import annotations

from typing import Protocol

from zarrlink.jobs.model import Job, State


class JobStore(Protocol):
    """Jobs by id. Each change is atomic, and refused where the job has gone on meanwhile: late workers do no harm.

    All methods raise SourceUnavailable where the store cannot be reached, and those of one job DamagedRow where its row is
    damaged. Lists leave such rows out.
    """

    def add(self, job: Job, at_most: int | None = None) -> Job:
        """Keep a new job. The owner's job of the same `submission` that is running, or has a result that lasts beyond
        the new one's `created_ms`, is returned in its place: there is at most one such job.

        Raises ValueError for an id that is taken, TooManyJobs where `at_most` of the owner's jobs run already, however many
        are added at the same time.
        """
        ...

    def get(self, job_id: str) -> Job | None: ...

    def of_owner(self, owner: str, limit: int = 1000) -> list[Job]:
        """Newest first."""
        ...

    def running(self, owner: str | None = None) -> list[Job]:
        """All that are PENDING or STARTED, oldest first; of one owner, or of all."""
        ...

    def start(self, job_id: str, attempt: int, now_ms: int) -> bool:
        """PENDING -> STARTED; True as well where this attempt is STARTED already. False: cancelled, ended, or superseded."""
        ...

    def planned(self, job_id: str, attempt: int, units: int, upload: str) -> bool:
        """Remember what is to be done, while STARTED; the first word wins: False where this attempt has another upload."""
        ...

    def unit_done(self, job_id: str, attempt: int, unit: int) -> bool:
        """Count a unit, once however often it is told. False where the attempt is no longer STARTED."""
        ...

    def end(
        self,
        job_id: str,
        attempt: int,
        state: State,
        now_ms: int,
        *,
        result_bytes: int | None = None,
        expires_ms: int | None = None,
        sentence: str = "",
    ) -> bool:
        """To SUCCESS or FAILURE (from STARTED, or PENDING for FAILURE) or CANCELLED (from PENDING or STARTED).

        False where this attempt has ended already, whichever way, or another one runs.
        """
        ...

    def retry(self, job_id: str, now_ms: int, at_most: int | None = None) -> Job | None:
        """FAILURE or CANCELLED -> PENDING with the next attempt and nothing done. None where it is neither, and where
        another job of its submission is what `add` would return. Raises TooManyJobs as `add`."""
        ...

    def remove(self, job_id: str) -> bool:
        """Forget a job that has ended. False where there is none, or it runs."""
        ...
