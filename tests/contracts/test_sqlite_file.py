"""The state file: many processes, and files that are none."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from builders.processes import run_together
from builders.state_files import state_file
from contracts.link_store import link
from contracts.sqlite_jobs import CONTESTED, CONTESTED_LINKS, ROUNDS, SHARED, mixed_work, open_and_register, own_number
from zarrlink.links.sqlite import SqliteLinks
from zarrlink.sqlite_file import SCHEMA_VERSION, SqliteFile


def sqlite(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


# --- many processes ---


def test_no_change_of_four_processes_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    with state_file(path) as file:
        links = SqliteLinks(file)
        links.add(link(SHARED))
        outcomes = run_together(mixed_work, [(path, worker) for worker in range(4)])
        # Of what all of them wanted, one got each.
        assert sum(made for made, _ in outcomes) == CONTESTED_LINKS
        assert sum(revoked for _, revoked in outcomes) == CONTESTED_LINKS
        for worker in range(4):
            for number in range(ROUNDS):
                own = link(own_number(worker, number))
                expected = replace(own, name=f"renamed by {worker}", expires_ms=own_number(worker, number))
                assert links.get(own.id) == replace(expected, revoked_ms=number if number % 2 else None)
        last = ROUNDS - 1
        assert links.get(link(SHARED).id) == link(SHARED, name=f"name {last}", note=f"note {last}", expires_ms=last)
        contested = [links.get(link(CONTESTED + number).id) for number in range(CONTESTED_LINKS)]
        assert all(found is not None and found.revoked_ms is not None for found in contested)
        assert len(links.of_owner(None)) == 4 * ROUNDS // 2 + 1


def test_eight_processes_can_open_a_fresh_file_at_once(tmp_path: Path) -> None:
    # So many files, since it takes luck that all eight come within the same millisecond.
    paths = [tmp_path / "new" / f"{number}.sqlite" for number in range(100)]
    troubles = run_together(open_and_register, [(paths, worker) for worker in range(8)])
    assert [trouble for of_one in troubles for trouble in of_one] == []
    for path in paths:
        with state_file(path) as file:
            assert len(SqliteLinks(file).of_owner("anna")) == 8
    assert {entry.suffix for entry in (tmp_path / "new").iterdir()} <= {".sqlite", ".sqlite-wal", ".sqlite-shm"}


def test_threads_of_one_process_share_the_file(tmp_path: Path) -> None:
    with state_file(tmp_path / "state.sqlite") as file:
        links = SqliteLinks(file)

        def add(worker: int) -> None:
            for number in range(20):
                links.add(link(100 * worker + number))
            file._connection().close()

        threads = [threading.Thread(target=add, args=(worker,)) for worker in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(links.of_owner("anna")) == 80


def test_what_one_process_writes_another_sees_at_once(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    with state_file(path) as file, state_file(path) as other_file:
        one, other = SqliteLinks(file), SqliteLinks(other_file)
        one.add(link(1))
        assert other.get(link(1).id) == link(1)
        other.revoke(link(1).id, None, 7)
        assert one.get(link(1).id) == link(1, revoked_ms=7)


# --- transactions ---


def test_the_file_is_in_wal_mode(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    with state_file(path), closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_transaction_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with state_file(tmp_path / "state.sqlite") as file:

        def half_a_transaction() -> None:
            with file.write() as connection:
                connection.execute("INSERT INTO facts (key, value) VALUES ('a', 'b')")
                raise RuntimeError

        with pytest.raises(RuntimeError):
            half_a_transaction()
        assert file.rows("SELECT * FROM facts") == []
        with file.write() as connection:
            connection.execute("INSERT INTO facts (key, value) VALUES ('a', 'c')")
        assert file.rows("SELECT * FROM facts") == [("a", "c")]


def test_a_file_is_kept_when_it_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    with state_file(path) as file:
        SqliteLinks(file).add(link(1))
    with state_file(path) as file:
        assert SqliteLinks(file).get(link(1).id) == link(1)


# --- files that are none ---


@pytest.mark.parametrize(
    "content",
    [b"some text\n" * 200, b"\0" * 4096, b"SQLite format 3\0" + b"\xff" * 4096],
    ids=["text", "zeros", "damaged"],
)
def test_a_file_that_is_no_sqlite_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"notes\.txt cannot be used as a state file"):
        SqliteFile(path)
    assert path.read_bytes() == content


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be used as a state file"):
        SqliteFile(tmp_path)


def test_a_path_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ValueError, match="cannot be used as a state file"):
        SqliteFile(tmp_path / "file" / "state.sqlite")


def test_a_file_of_another_schema_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    with state_file(path):
        pass
    sqlite(path, f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(ValueError, match=rf"another version of zarrlink \(schema {SCHEMA_VERSION + 1}\)"):
        SqliteFile(path)


@pytest.mark.parametrize("version", [0, SCHEMA_VERSION])
def test_a_database_of_somebody_else_is_refused_and_left_alone(tmp_path: Path, version: int) -> None:
    path = tmp_path / "photos.sqlite"
    sqlite(path, "CREATE TABLE photos (name TEXT)", f"PRAGMA user_version = {version}")
    with pytest.raises(ValueError, match=r"photos\.sqlite"):
        SqliteFile(path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("photos",)]


def test_a_file_that_was_refused_is_not_held_open(tmp_path: Path) -> None:
    descriptors = Path("/proc/self/fd")
    if not descriptors.exists():
        pytest.skip("descriptors cannot be looked at here")
    path = tmp_path / "photos.sqlite"
    sqlite(path, "CREATE TABLE photos (name TEXT)")
    with pytest.raises(ValueError, match=r"photos\.sqlite") as refused:
        SqliteFile(path)
    assert [entry for entry in descriptors.iterdir() if entry.resolve() == path] == []
    assert refused.tb is not None  # what the traceback holds was looked at too


def test_an_empty_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"notes\.txt"):
        SqliteFile(path)
    assert path.read_bytes() == b""
