"""A thousand concurrent changes of links lose nothing, and what is revoked never comes back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from builders.moto_aws import moto_aws
from builders.processes import run_together
from builders.state_files import state_file
from faults.contention import check, in_a_process, prepare, work
from zarrlink.aws_tables import LINKS
from zarrlink.links.dynamodb import DynamoLinks
from zarrlink.links.sqlite import SqliteLinks

WORKERS, SHARED = 4, 40


def test_sqlite_loses_nothing_of_four_processes(tmp_path: Path) -> None:
    """4 writers, 50 rounds of a create, two extensions, a change, two counts and now and then a revocation: a thousand changes."""
    path = tmp_path / "state.sqlite"
    with state_file(path) as file:
        links = SqliteLinks(file)
        prepare(links, SHARED)
        outcomes = run_together(in_a_process, [(path, worker, 50, SHARED) for worker in range(WORKERS)])
        check(links, outcomes, SHARED)


def test_dynamodb_loses_nothing_of_six_threads() -> None:
    with moto_aws() as aws:
        links = DynamoLinks(aws.client("dynamodb"), aws.new_table(LINKS))
        prepare(links, 5)
        with ThreadPoolExecutor(6) as pool:
            outcomes = list(pool.map(lambda worker: work(links, worker, 6, 5), range(6)))
        check(links, outcomes, 5)
