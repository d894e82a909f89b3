"""The adapters of `JobStore`."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from builders.memory_jobs import MemoryJobs
from builders.moto_aws import MotoAws, moto_aws
from builders.spoilt_rows import Spoil, in_dynamodb, in_file
from builders.state_files import older_state_file, state_file
from contracts.damaged_rows import DamagedJobsContract
from contracts.job_store import CREATED_MS, JobStoreContract, job, started
from zarrlink.aws_tables import JOBS, JOBS_TIME_TO_LIVE
from zarrlink.errors import SourceUnavailable
from zarrlink.jobs.dynamodb import KEPT_S, DynamoJobs
from zarrlink.jobs.interface import JobStore
from zarrlink.jobs.sqlite import SqliteJobs
from zarrlink.sqlite_file import SqliteFile


@pytest.fixture(scope="module")
def aws() -> Iterator[MotoAws]:
    with moto_aws() as server:
        yield server


class TestMemoryJobs(JobStoreContract):
    @pytest.fixture
    def store(self) -> JobStore:
        return MemoryJobs()


class TestSqliteJobs(JobStoreContract, DamagedJobsContract):
    @pytest.fixture
    def file(self, tmp_path: Path) -> Iterator[SqliteFile]:
        with state_file(tmp_path / "state.sqlite") as file:
            yield file

    @pytest.fixture
    def store(self, file: SqliteFile) -> JobStore:
        return SqliteJobs(file)

    @pytest.fixture
    def spoil(self, file: SqliteFile) -> Spoil:
        return in_file(file, "jobs")


class TestDynamoJobs(JobStoreContract, DamagedJobsContract):
    # Each call goes over a socket.
    examples = 8

    @pytest.fixture
    def store(self, aws: MotoAws, table: str) -> JobStore:
        return DynamoJobs(Ordered(aws.client("dynamodb")), table)

    @pytest.fixture
    def spoil(self, aws: MotoAws, table: str) -> Spoil:
        return in_dynamodb(aws.client("dynamodb"), table)


class Ordered:
    """A client whose calls come one by one, as DynamoDB orders writes to a row (moto's threads do not)."""

    def __init__(self, client: Any) -> None:
        self._client, self._lock = client, threading.Lock()

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        def call(**request: Any) -> Any:
            with self._lock:
                return getattr(self._client, operation)(**request)

        return call


@pytest.fixture
def table(aws: MotoAws) -> str:
    return aws.new_table(JOBS)


def rows(aws: MotoAws, table: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = aws.client("dynamodb").scan(TableName=table)["Items"]
    return items


def test_every_row_of_the_table_goes_away_by_itself(aws: MotoAws, table: str) -> None:
    store = DynamoJobs(aws.client("dynamodb"), table)
    planned = started(store)
    store.unit_done(planned.id, 1, 600)
    assert len(rows(aws, table)) == 3
    for row in rows(aws, table):
        assert CREATED_MS // 1000 + KEPT_S <= int(row[JOBS_TIME_TO_LIVE["AttributeName"]]["N"]) < CREATED_MS // 500
    store.end(planned.id, 1, "SUCCESS", CREATED_MS, expires_ms=CREATED_MS + 7000)
    (row,) = [row for row in rows(aws, table) if "owner" in row]
    assert int(row["ttl"]["N"]) == CREATED_MS // 1000 + 7 + KEPT_S


def test_rows_of_units_and_submissions_are_no_jobs(aws: MotoAws, table: str) -> None:
    store = DynamoJobs(aws.client("dynamodb"), table)
    planned = started(store)
    store.unit_done(planned.id, 1, 0)
    for key in {row["id"]["S"] for row in rows(aws, table)} - {planned.id}:
        assert store.get(key) is None
        assert not store.start(key, 1, 5)
        assert not store.unit_done(key, 1, 5)
        assert not store.end(key, 1, "CANCELLED", 5)
        assert store.retry(key, 5) is None
        assert not store.remove(key)


def test_what_cannot_be_reached_is_said_to_be_so(aws: MotoAws, tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable):
        DynamoJobs(aws.client("dynamodb"), "no-such-table").get(job().id)
    path = tmp_path / "state.sqlite"
    with state_file(path) as file, closing(sqlite3.connect(path)) as other:
        other.execute("DROP TABLE jobs")
        with pytest.raises(SourceUnavailable):
            SqliteJobs(file).get(job().id)


def test_a_state_file_of_an_older_zarrlink_gets_room_for_jobs(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    older_state_file(path, 2)
    with state_file(path) as file:
        jobs = SqliteJobs(file)
        planned = started(jobs)
        assert jobs.unit_done(planned.id, 1, 0)
    SqliteFile(path).close()
