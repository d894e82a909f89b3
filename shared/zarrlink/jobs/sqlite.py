"""A `JobStore` in SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, fields
from operator import itemgetter
from typing import Any, Final

from zarrlink.errors import SourceUnavailable, TooManyJobs
from zarrlink.jobs.model import Job, State, may_follow
from zarrlink.rows import reads, whole
from zarrlink.sqlite_file import SqliteFile

_COLUMNS: Final = ", ".join(field.name for field in fields(Job))
_PLACES: Final = ", ".join("?" for _ in fields(Job))
_RUNNING: Final = "state IN ('PENDING', 'STARTED')"
# `Job.stands`; of a submission at most one job does.
_STANDS: Final = f"({_RUNNING} OR (state = 'SUCCESS' AND (expires_ms IS NULL OR expires_ms > :now)))"


class SqliteJobs:
    """Jobs in the state file, seen by every process that has it open."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    def add(self, job: Job, at_most: int | None = None) -> Job:
        with self._write() as connection:
            known = connection.execute(
                f"SELECT {_COLUMNS} FROM jobs WHERE owner = :owner AND submission = :submission AND {_STANDS}",
                {"owner": job.owner, "submission": job.submission, "now": job.created_ms},
            ).fetchone()
            if known is not None:
                return _job(known)
            _check_number(connection, job, at_most)
            try:
                connection.execute(f"INSERT INTO jobs ({_COLUMNS}) VALUES ({_PLACES})", astuple(job))
            except sqlite3.IntegrityError as error:
                raise ValueError(f"job id {job.id} is taken") from error
        return job

    def get(self, job_id: str) -> Job | None:
        rows = self._rows("id = ?", job_id)
        return _job(rows[0]) if rows else None

    def of_owner(self, owner: str, limit: int = 1000) -> list[Job]:
        return whole(_job, self._rows("owner = ? ORDER BY created_ms DESC, id LIMIT ?", owner, limit))

    def running(self, owner: str | None = None) -> list[Job]:
        return whole(_job, self._rows(f"{_RUNNING} AND (?1 IS NULL OR owner = ?1) ORDER BY created_ms, id", owner))

    def start(self, job_id: str, attempt: int, now_ms: int) -> bool:
        return self._change(
            job_id, attempt, "state = 'STARTED', started_ms = COALESCE(started_ms, :now)", _RUNNING, {"now": now_ms}
        )

    def planned(self, job_id: str, attempt: int, units: int, upload: str) -> bool:
        return self._change(
            job_id,
            attempt,
            "units = CASE upload WHEN '' THEN :units ELSE units END, upload = :upload",
            "state = 'STARTED' AND upload IN ('', :upload)",
            {"units": units, "upload": upload},
        )

    def unit_done(self, job_id: str, attempt: int, unit: int) -> bool:
        with self._write() as connection:
            running = connection.execute(
                "SELECT 1 FROM jobs WHERE id = ? AND attempt = ? AND state = 'STARTED'", (job_id, attempt)
            ).fetchone()
            if running is None:
                return False
            new = connection.execute(
                "INSERT INTO job_units (job, attempt, unit) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                (job_id, attempt, unit),
            ).rowcount
            connection.execute("UPDATE jobs SET units_done = units_done + ? WHERE id = ?", (new, job_id))
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
        changes = {
            "state": state,
            "ended_ms": now_ms,
            "result_bytes": result_bytes,
            "expires_ms": expires_ms,
            "sentence": sentence,
        }
        before = ", ".join(f"'{earlier}'" for earlier in may_follow(state))
        assignments = ", ".join(f"{name} = :{name}" for name in changes)
        with self._write() as connection:
            ended = _changed(connection, job_id, attempt, assignments, f"state IN ({before})", changes)
            if ended:
                connection.execute("DELETE FROM job_units WHERE job = ?", (job_id,))
        return ended

    def retry(self, job_id: str, now_ms: int, at_most: int | None = None) -> Job | None:
        with self._write() as connection:
            row = connection.execute(
                "UPDATE jobs AS own SET state = 'PENDING', attempt = attempt + 1, started_ms = NULL, ended_ms = NULL, "
                "upload = '', units = 0, units_done = 0, result_bytes = NULL, expires_ms = NULL, sentence = '' "
                "WHERE id = :id AND state IN ('FAILURE', 'CANCELLED') AND NOT EXISTS (SELECT 1 FROM jobs "
                f"WHERE owner = own.owner AND submission = own.submission AND {_STANDS}) RETURNING {_COLUMNS}",
                {"id": job_id, "now": now_ms},
            ).fetchone()
            if row is None:
                return None
            again = _job(row)
            # Where that is too many, all is as it was.
            _check_number(connection, again, at_most)
        return again

    def remove(self, job_id: str) -> bool:
        with self._write() as connection:
            return connection.execute(f"DELETE FROM jobs WHERE id = ? AND NOT {_RUNNING}", (job_id,)).rowcount > 0

    def _rows(self, which: str, *values: Any) -> list[tuple[Any, ...]]:
        with _reachable():
            return self._file.rows(f"SELECT {_COLUMNS} FROM jobs WHERE {which}", values)

    def _change(self, job_id: str, attempt: int, change: str, only_if: str, values: dict[str, Any]) -> bool:
        with self._write() as connection:
            return _changed(connection, job_id, attempt, change, only_if, values)

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        with _reachable(), self._file.write() as connection:
            yield connection


@reads("job", itemgetter(0))
def _job(row: tuple[Any, ...]) -> Job:
    return Job(*row)


def _check_number(connection: sqlite3.Connection, job: Job, at_most: int | None) -> None:
    """Raises TooManyJobs where so many jobs of the owner run beside this one."""
    others = f"SELECT COUNT(*) FROM jobs WHERE owner = ? AND id != ? AND {_RUNNING}"
    (running,) = connection.execute(others, (job.owner, job.id)).fetchone()
    if at_most is not None and running >= at_most:
        raise TooManyJobs(running, at_most)


def _changed(
    connection: sqlite3.Connection, job_id: str, attempt: int, change: str, only_if: str, values: dict[str, Any]
) -> bool:
    found = connection.execute(
        f"UPDATE jobs SET {change} WHERE id = :id AND attempt = :attempt AND {only_if}",
        {"id": job_id, "attempt": attempt, **values},
    )
    return found.rowcount > 0


@contextmanager
def _reachable() -> Iterator[None]:
    """A disk that is full or gone: the worker's step is done again later, as with any other store."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise SourceUnavailable(f"the state file: {error}") from error
