"""Results of exports in a folder: FOLDER/JOB/ATTEMPT/FILE."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from zarrlink.exports.part_files import FileParts
from zarrlink.exports.scratch import ScratchFolder
from zarrlink.jobs.model import Job


class FolderStore:
    """See `zarrlink.exports.store.ExportStore`. Worker's files are put aside there too: it is on a large disk."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.disk = folder

    def path(self, job: Job, suffix: str = "") -> Path:
        """Where the result is, once the job has succeeded."""
        return self._attempt(job) / (job.file_name + suffix)

    def sink(self, job: Job, suffix: str = "") -> FileParts:
        return FileParts(self.path(job, suffix))

    def scratch(self, job: Job) -> ScratchFolder:
        return ScratchFolder(self._attempt(job) / ".scratch")

    def tidy(self, job: Job) -> None:
        self.sink(job).abort_all()
        self.scratch(job).clear()

    def remove(self, job: Job) -> None:
        attempt = self._attempt(job)
        # Under another name at once, so that a worker that is late finds nothing to write to.
        gone = self.folder / f".{job.id}.{job.attempt}.removed"
        with suppress(FileNotFoundError):
            attempt.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
        # Not where there is another attempt.
        with suppress(OSError):
            attempt.parent.rmdir()

    def _attempt(self, job: Job) -> Path:
        return self.folder / job.id / str(job.attempt)
