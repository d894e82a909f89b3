"""State files that are closed again: an open connection at the end of a test is an error from Python 3.13 on."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from zarrlink import sqlite_file
from zarrlink.sqlite_file import SqliteFile


@contextmanager
def state_file(path: Path) -> Iterator[SqliteFile]:
    """The state file, with this thread's connection closed at the end."""
    file = SqliteFile(path)
    try:
        yield file
    finally:
        file._connection().close()  # the product keeps it for as long as the thread lives


def older_state_file(path: Path, version: int, *statements: str) -> None:
    """A state file as an older zarrlink made it; `statements` put rows in."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA application_id = {sqlite_file.APPLICATION_ID}")
        connection.executescript(sqlite_file._SCHEMA)
        for older in range(1, version):
            for statement in sqlite_file._UPGRADES[older]:
                connection.execute(statement)
        for statement in statements:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {version}")
        connection.commit()
