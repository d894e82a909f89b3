"""Failures that the person at the terminal can do something about, in one line."""

from __future__ import annotations

import sqlite3
from typing import Final

from zarrlink.errors import DamagedRow, SourceUnavailable, ZarrlinkError

# What is not among them is our own mistake and keeps its traceback.
FORESEEN: Final = (ZarrlinkError, ValueError, OverflowError, OSError, sqlite3.OperationalError)


def in_one_line(error: Exception) -> str:
    """What went wrong, and where the error says it: with what and why."""
    if isinstance(error, SourceUnavailable):
        # Kept from viewers of links, but this is the operator.
        sentence = f"{error}: {': '.join(filter(None, (error.key, error.reason)))}"
    elif isinstance(error, DamagedRow):
        # As above.
        sentence = f"the row of {error.row_kind} {error.row_id} cannot be read"
    elif isinstance(error, OSError) and error.filename and error.strerror:
        sentence = f"{error.filename}: {error.strerror}"
    elif isinstance(error, sqlite3.OperationalError):
        sentence = f"the state file cannot be used: {error}"
    else:
        sentence = str(error)
    return " ".join(sentence.split())
