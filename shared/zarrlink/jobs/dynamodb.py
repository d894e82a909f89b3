"""A `JobStore` in DynamoDB. Table and index: `zarrlink.aws_tables.JOBS`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, fields, replace
from operator import itemgetter
from typing import Any, Final

from zarrlink.aws_tables import BY_OWNER
from zarrlink.dynamodb_table import (
    DynamoClient,
    DynamoTable,
    Row,
    Value,
    assignments,
    delete_action,
    put_new_action,
    update_action,
)
from zarrlink.errors import DamagedRow, SourceUnavailable, TooManyJobs
from zarrlink.jobs.model import RUNNING, Job, State, may_follow
from zarrlink.rows import reads, whole

# How long a row outlives the last change of its job, or the job's result.
KEPT_S: Final = 30 * 24 * 3600
# Units of one row: such a row has some 2 KB when it is full, and is written whole for each of them.
_UNITS_OF_A_ROW: Final = 512
_ATTEMPTS: Final = 10
_FIELDS: Final = {field.name for field in fields(Job)}
# Not there, rather than empty, until the job is planned.
_UNPLANNED: Final[dict[str, Value | None]] = dict.fromkeys(("upload", "units", "units_done"))
# All that an attempt does not have from the one before.
_FRESH: Final = dict.fromkeys(("started_ms", "ended_ms", "result_bytes", "expires_ms", "sentence")) | _UNPLANNED


class DynamoJobs:
    """Jobs in a table of their own.

    `get` sees every finished change. Lists are read from an index, which follows within milliseconds. `ttl` (seconds) is
    for clean-up alone and compared nowhere. Beside the rows of jobs there are

    submission-HASH        `job` and its `attempt`: the one that was last begun of this submission
    running-HASH           `jobs`: the ids of an owner's running jobs, and of some that have ended, by commas; whoever adds
                           one writes it in the same transaction, so that no two take the last place
    units-JOB-ATTEMPT-N    `done`: which units of 512 are done. Rows of their own, since hundreds of workers write them
                           at once: each by one plain update, which waits for its turn, where a transaction would fail.
    """

    def __init__(self, client: DynamoClient, table: str) -> None:
        self._table = DynamoTable(client, table)

    def add(self, job: Job, at_most: int | None = None) -> Job:
        for _ in range(_ATTEMPTS):
            begun = self._table.get(_submission_key(job))
            known = self._standing(begun, job.created_ms)
            if known is not None:
                return known
            row = {**asdict(job), **_UNPLANNED, "running": 1, "ttl": job.created_ms // 1000 + KEPT_S}
            counted = self._one_more(job, job.created_ms, at_most)
            taken = _take_over(job, job.attempt, begun, job.created_ms)
            if self._table.transact(put_new_action(row), taken, *counted):
                return job
            if self._table.get(job.id) is not None:
                raise ValueError(f"job id {job.id} is taken")
        raise SourceUnavailable("DynamoDB: a submission that never comes to rest")

    def get(self, job_id: str) -> Job | None:
        job = self._uncounted(job_id)
        return None if job is None else self._counted(job)

    def of_owner(self, owner: str, limit: int = 1000) -> list[Job]:
        if not owner:
            return []  # the key of an index cannot be empty
        rows = self._table.query(BY_OWNER, "owner", owner, "attribute_exists(#id)")
        newest = sorted(whole(_job, rows), key=lambda job: (-job.created_ms, job.id))[:limit]
        return [self._counted(job) for job in newest]

    def running(self, owner: str | None = None) -> list[Job]:
        only_if = "attribute_exists(#running)"
        rows: Iterable[Row] = ()
        if owner is None:
            rows = self._table.scan(only_if)
        elif owner:
            rows = self._table.query(BY_OWNER, "owner", owner, only_if)
        oldest = sorted(whole(_job, rows), key=lambda job: (job.created_ms, job.id))
        return [self._counted(job) for job in oldest]

    def start(self, job_id: str, attempt: int, now_ms: int) -> bool:
        change = "SET #state = :started, #started_ms = if_not_exists(#started_ms, :now)"
        return self._change(job_id, attempt, change, RUNNING, {"started": "STARTED", "now": now_ms})

    def planned(self, job_id: str, attempt: int, units: int, upload: str) -> bool:
        return self._change(
            job_id,
            attempt,
            "SET #upload = :upload, #units = if_not_exists(#units, :units)",
            ("STARTED",),
            {"units": units, "upload": upload},
            "(attribute_not_exists(#upload) OR #upload = :upload)",
        )

    def unit_done(self, job_id: str, attempt: int, unit: int) -> bool:
        # Looked at before it is counted: whoever ends the job after that finds what this unit wrote, and clears it away.
        job = self._uncounted(job_id)
        if job is None or job.state != "STARTED" or job.attempt != attempt:
            return False
        values: dict[str, Value] = {
            "done": frozenset((unit,)),
            "ttl": (job.started_ms or job.created_ms) // 1000 + KEPT_S,
        }
        change = "ADD #done :done SET #ttl = :ttl"
        key = _units_key(job_id, attempt, unit // _UNITS_OF_A_ROW)
        self._table.update(key, change, "attribute_not_exists(#owner)", values)
        return True

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
        job = self.get(job_id)
        if job is None or job.attempt != attempt:
            return False
        changes: dict[str, Value | None] = {
            "state": state,
            "ended_ms": now_ms,
            "result_bytes": result_bytes,
            "expires_ms": expires_ms,
            "sentence": sentence,
            "units_done": job.units_done,
            "running": None,
            "ttl": max(now_ms, expires_ms or 0) // 1000 + KEPT_S,
        }
        values = {name: new for name, new in changes.items() if new is not None}
        return self._change(job_id, attempt, assignments(changes), may_follow(state), values)

    def retry(self, job_id: str, now_ms: int, at_most: int | None = None) -> Job | None:
        for _ in range(_ATTEMPTS):
            job = self.get(job_id)
            if job is None or job.state not in ("FAILURE", "CANCELLED"):
                return None
            begun = self._table.get(_submission_key(job))
            if self._standing(begun, now_ms) is not None:
                return None
            if self._retry(job, begun, now_ms, at_most):
                return self.get(job_id)
        raise SourceUnavailable("DynamoDB: a job that never comes to rest")

    def _retry(self, job: Job, begun: Row | None, now_ms: int, at_most: int | None) -> bool:
        """False where the job, its submission or its owner's other jobs are not as they were read."""
        fresh: dict[str, Value | None] = {
            **_FRESH,
            "state": "PENDING",
            "attempt": job.attempt + 1,
            "running": 1,
            "ttl": now_ms // 1000 + KEPT_S,
        }
        values = {name: new for name, new in fresh.items() if new is not None}
        again = update_action(
            job.id,
            assignments(fresh),
            "#attempt = :before AND #state = :ended",
            {**values, "before": job.attempt, "ended": job.state},
        )
        counted = self._one_more(job, now_ms, at_most)
        return self._table.transact(again, _take_over(job, job.attempt + 1, begun, now_ms), *counted)

    def remove(self, job_id: str) -> bool:
        only_if = "attribute_exists(#owner) AND attribute_not_exists(#running)"
        return self._table.transact(delete_action(job_id, only_if, {}))

    def _change(
        self,
        job_id: str,
        attempt: int,
        change: str,
        states: tuple[State, ...],
        values: dict[str, Value],
        more: str = "",
    ) -> bool:
        """Change this attempt of a job, if it is in one of the states; False where it is not."""
        of_states = {f"before_{letter}": state for letter, state in zip("abc", states, strict=False)}
        condition = f"#attempt = :this_attempt AND #state IN ({', '.join(f':{name}' for name in of_states)})"
        if more:
            condition = f"{condition} AND {more}"
        known = {**values, **of_states, "this_attempt": attempt}
        return self._table.update(job_id, change, condition, known) is not None

    def _one_more(self, job: Job, now_ms: int, at_most: int | None) -> list[dict[str, Any]]:
        """For `transact`: one more of its owner's jobs, if no other one came in between. Raises TooManyJobs."""
        if at_most is None:
            return []
        key = "running-" + hashlib.sha256(job.owner.encode()).hexdigest()
        row = self._table.get(key)
        # Ended ones are left out here, rather than by whoever ends them.
        told = {known.id for known in self.running(job.owner)} | set("" if row is None else row["jobs"].split(","))
        others = [self._whole(other) for other in sorted(told - {job.id, ""})]
        going = [other.id for other in others if other is not None and other.state in RUNNING]
        if len(going) >= at_most:
            raise TooManyJobs(len(going), at_most)
        now: dict[str, Value] = {"jobs": ",".join([*going, job.id]), "ttl": now_ms // 1000 + KEPT_S}
        if row is None:
            return [put_new_action({"id": key, **now})]
        return [update_action(key, assignments(now), "#jobs = :seen_jobs", {**now, "seen_jobs": row["jobs"]})]

    def _standing(self, begun: Row | None, now_ms: int) -> Job | None:
        """The job that stands for a submission, by the submission's row."""
        job = None if begun is None else self._whole(begun["job"])
        return job if job is not None and job.stands(now_ms) else None

    def _uncounted(self, job_id: str) -> Job | None:
        """A job without the units that are done. Raises DamagedRow."""
        row = self._table.get(job_id)
        return None if row is None or "owner" not in row else _job(row)

    def _whole(self, job_id: str) -> Job | None:
        """Another job than the one in question: None as well where its row is damaged, which must not stop this one."""
        try:
            return self.get(job_id)
        except DamagedRow:
            return None

    def _counted(self, job: Job) -> Job:
        """With the units that are done, which are in rows of their own while it runs."""
        if job.state != "STARTED" or not job.units:
            return job
        rows = range(-(-job.units // _UNITS_OF_A_ROW))
        known = [self._table.get(_units_key(job.id, job.attempt, number)) for number in rows]
        done = [row.get("done") for row in known if row is not None]
        return replace(job, units_done=sum(len(units) for units in done if isinstance(units, frozenset)))


@reads("job", itemgetter("id"))
def _job(row: Row) -> Job:
    return Job(**{name: value for name, value in row.items() if name in _FIELDS})


def _units_key(job_id: str, attempt: int, number: int) -> str:
    return f"units-{job_id}-{attempt}-{number}"


def _submission_key(job: Job) -> str:
    return "submission-" + hashlib.sha256(f"{job.owner}\n{job.submission}".encode()).hexdigest()


def _take_over(job: Job, attempt: int, begun: Row | None, now_ms: int) -> dict[str, Any]:
    """For `transact`: this attempt becomes the one that stands for its submission, if the row is as it was read."""
    row: dict[str, Value] = {"job": job.id, "attempt": attempt, "ttl": now_ms // 1000 + KEPT_S}
    key = _submission_key(job)
    if begun is None:
        return put_new_action({"id": key, **row})
    seen: dict[str, Value] = {"seen_job": begun["job"], "seen_attempt": begun["attempt"]}
    only_if = "#job = :seen_job AND #attempt = :seen_attempt"
    return update_action(key, assignments(row), only_if, {**row, **seen})
