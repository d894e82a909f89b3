"""The one SQLite file of a single-machine server: connections, transactions, schema."""

from __future__ import annotations

import contextlib
import itertools
import os
import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

# Writers of several processes queue here; far longer than any of our transactions.
BUSY_TIMEOUT_S: Final = 60.0
SCHEMA_VERSION: Final = 5
# "zlnk": tells our files from other SQLite databases.
APPLICATION_ID: Final = 0x7A6C6E6B
_SCHEMA: Final = """
CREATE TABLE links (
  id TEXT PRIMARY KEY, owner TEXT NOT NULL, view TEXT NOT NULL, geometry TEXT NOT NULL, name TEXT NOT NULL,
  note TEXT NOT NULL, created_ms INTEGER NOT NULL, expires_ms INTEGER, revoked_ms INTEGER
) STRICT;
CREATE INDEX links_by_owner ON links (owner, created_ms);
CREATE TABLE datasets (
  id TEXT PRIMARY KEY, name TEXT NOT NULL, location TEXT NOT NULL UNIQUE, created_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE users (
  name TEXT PRIMARY KEY, token_hash TEXT NOT NULL UNIQUE, created_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE facts (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
"""
# What version n + 1 has more than version n.
_UPGRADES: Final = {
    1: (
        """CREATE TABLE annotations (
  id TEXT PRIMARY KEY, name TEXT NOT NULL, description TEXT NOT NULL, owner TEXT NOT NULL, dataset TEXT NOT NULL,
  location TEXT NOT NULL, revision TEXT NOT NULL, source_id TEXT NOT NULL, created_ms INTEGER NOT NULL,
  modified_ms INTEGER NOT NULL
) STRICT""",
    ),
    2: (
        """CREATE TABLE jobs (
  id TEXT PRIMARY KEY, owner TEXT NOT NULL, kind TEXT NOT NULL, dataset TEXT NOT NULL, annotation TEXT NOT NULL,
  args TEXT NOT NULL, file_name TEXT NOT NULL, submission TEXT NOT NULL, created_ms INTEGER NOT NULL,
  state TEXT NOT NULL, attempt INTEGER NOT NULL, started_ms INTEGER, ended_ms INTEGER, upload TEXT NOT NULL,
  units INTEGER NOT NULL, units_done INTEGER NOT NULL, result_bytes INTEGER, expires_ms INTEGER, sentence TEXT NOT NULL,
  expected_bytes INTEGER, expected_seconds INTEGER
) STRICT""",
        "CREATE INDEX jobs_by_owner ON jobs (owner, created_ms)",
        "CREATE INDEX jobs_by_submission ON jobs (submission)",
        """CREATE TABLE job_units (
  job TEXT NOT NULL, attempt INTEGER NOT NULL, unit INTEGER NOT NULL, PRIMARY KEY (job, attempt, unit)
) STRICT, WITHOUT ROWID""",
    ),
    3: (
        "ALTER TABLE links ADD COLUMN uses INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE links ADD COLUMN last_used_ms INTEGER",
        "ALTER TABLE users ADD COLUMN is_admin INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE datasets ADD COLUMN is_renamed INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE datasets ADD COLUMN description TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE datasets ADD COLUMN tags TEXT NOT NULL DEFAULT '[]'",
        "ALTER TABLE datasets ADD COLUMN owner TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE datasets ADD COLUMN visibility TEXT NOT NULL DEFAULT 'organization'",
        "ALTER TABLE datasets ADD COLUMN collaborators TEXT NOT NULL DEFAULT '[]'",
        "ALTER TABLE annotations ADD COLUMN tags TEXT NOT NULL DEFAULT '[]'",
        "ALTER TABLE annotations ADD COLUMN visibility TEXT NOT NULL DEFAULT 'private'",
        "ALTER TABLE annotations ADD COLUMN collaborators TEXT NOT NULL DEFAULT '[]'",
    ),
    4: (
        "ALTER TABLE datasets ADD COLUMN revision INTEGER NOT NULL DEFAULT 1",
        "ALTER TABLE links ADD COLUMN edge_ms INTEGER",
    ),
}


class SqliteFile:
    """A file of tables in WAL mode; one connection a thread."""

    def __init__(self, path: Path) -> None:
        """Open or create it. Raises ValueError for a file that is not ours or a place that cannot hold one."""
        self.path = path
        self._local = threading.local()
        try:
            if not path.exists():
                _create(path)
            (owner,), (version,) = self._kind()
            if owner == APPLICATION_ID and version in _UPGRADES:
                self._upgrade()
                (owner,), (version,) = self._kind()
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise ValueError(f"{path} cannot be used as a state file: {error}") from error
        if owner != APPLICATION_ID or version != SCHEMA_VERSION:
            self.close()
            what = f"was written by another version of zarrlink (schema {version})"
            raise ValueError(
                f"{path} {what if owner == APPLICATION_ID else 'is a database, but no state file of zarrlink'}"
            )

    def _kind(self) -> list[tuple[Any, ...]]:
        return self.rows("PRAGMA application_id") + self.rows("PRAGMA user_version")

    def _upgrade(self) -> None:
        with self.write() as connection:
            # Another process may have done it while this one waited.
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            for older in range(version, SCHEMA_VERSION):
                for statement in _UPGRADES[older]:
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {max(version, SCHEMA_VERSION)}")

    def close(self) -> None:
        """Close this thread's connection; the next call opens another."""
        connection: sqlite3.Connection | None = self._local.__dict__.pop("connection", None)
        if connection is not None:
            connection.close()

    def rows(self, query: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """The rows of a SELECT, as of the last finished transaction of any process."""
        return self._connection().execute(query, values).fetchall()

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it or, on an exception, nothing. Waits for other writers at its start."""
        connection = self._connection()
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            # A full disk, for one, has SQLite roll back by itself.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
            # WAL with FULL: a link that was reported as revoked stays so after a power cut.
            connection.execute("PRAGMA synchronous = FULL")
            if threading.current_thread() is threading.main_thread():
                # KiB: of a million links, the pages that lead to a thousand in use. Other threads, of which there may be dozens,
                # hardly look links up.
                connection.execute("PRAGMA cache_size = -16384")
            self._local.connection = connection
        return connection


def _create(path: Path) -> None:
    """A file with empty tables, which appears whole or not at all, whoever else is making it at the same moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        draft = Path(folder) / "draft"
        connection = sqlite3.connect(draft, isolation_level=None)
        try:
            # Switching to WAL takes a lock that no busy handler waits for; so it is done where nobody else looks.
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            connection.executescript(_SCHEMA)
            for statement in itertools.chain(*_UPGRADES.values()):
                connection.execute(statement)
        finally:
            connection.close()
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
