"""State files that are closed again: an open connection at the end of a test is an error from Python 3.13 on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zarrlink.sqlite_file import SqliteFile


@contextmanager
def state_file(path: Path) -> Iterator[SqliteFile]:
    """The state file, with this thread's connection closed at the end."""
    file = SqliteFile(path)
    try:
        yield file
    finally:
        file._connection().close()  # the product keeps it for as long as the thread lives
