"""What jobs leave in the folder of results, and nobody needs any more."""

from __future__ import annotations

import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

from zarrlink.errors import DamagedRow
from zarrlink.exports.store_files import FolderStore
from zarrlink.jobs.interface import JobStore
from zarrlink.jobs.model import Job

_JOB: Final = re.compile(r"[0-9a-f]{24}", re.ASCII)
_REMOVED: Final = re.compile(r"\.[0-9a-f]{24}\.[0-9]+\.[0-9a-f]{8}\.removed", re.ASCII)


def remove_leftovers(jobs: JobStore, store: FolderStore, now_ms: int) -> None:
    """Remove what attempts that are over wrote, and results whose days are over. Whatever else lies there stays."""
    for path in list(store.folder.iterdir()):
        if _REMOVED.fullmatch(path.name):
            shutil.rmtree(path, ignore_errors=True)
        elif _JOB.fullmatch(path.name):
            # Of a damaged row nobody knows what is needed.
            with suppress(DamagedRow):
                _sweep(path, jobs.get(path.name), store, now_ms)


def _sweep(folder: Path, job: Job | None, store: FolderStore, now_ms: int) -> None:
    needed = None if job is None or not job.stands(now_ms) else str(job.attempt)
    for attempt in list(folder.iterdir()):
        if attempt.name != needed:
            shutil.rmtree(attempt, ignore_errors=True)
    if job is not None and needed is not None and job.state == "SUCCESS":
        # It was published, and the process ended before it had cleaned up.
        store.tidy(job.id, job.attempt)
    with suppress(OSError):
        folder.rmdir()
