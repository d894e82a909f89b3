"""Where the results of exports are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from zarrlink.exports.part_sink import PartSink
from zarrlink.exports.scratch import Scratch
from zarrlink.jobs.model import Job

# Next to a file whose 64-bit ids were renumbered: the table of them.
IDS_SUFFIX = ".ids.csv"


class ExportStore(Protocol):
    """Results and scratch of jobs, each attempt's apart. `disk`: a folder for what a worker puts aside."""

    disk: Path

    def sink(self, job: Job, suffix: str = "") -> PartSink:
        """Of the result of this attempt; `suffix`: of a file beside it."""
        ...

    def scratch(self, job: Job) -> Scratch:
        """Of this attempt alone."""
        ...

    def tidy(self, job_id: str, attempt: int) -> None:
        """Remove all that an attempt wrote but what is finished: its scratch, and every upload. Raises SourceUnavailable."""
        ...

    def remove(self, job_id: str, attempt: int) -> None:
        """Remove all that an attempt wrote, finished or not. Raises SourceUnavailable."""
        ...
