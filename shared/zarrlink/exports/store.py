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

    def tidy(self, job: Job) -> None:
        """Remove all but the result of an attempt that has succeeded: scratch, and uploads, also those that were begun by a
        worker that was killed before it wrote that down. Raises SourceUnavailable."""
        ...

    def remove(self, job: Job) -> None:
        """All that this attempt wrote, finished or not. Raises SourceUnavailable."""
        ...
