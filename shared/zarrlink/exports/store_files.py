"""Results of exports in a folder: FOLDER/JOB/ATTEMPT/FILE."""

from __future__ import annotations

import secrets
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
        return self._attempt(job.id, job.attempt) / (job.file_name + suffix)

    def sink(self, job: Job, suffix: str = "") -> FileParts:
        return FileParts(self.path(job, suffix))

    def scratch(self, job: Job) -> ScratchFolder:
        return ScratchFolder(self._attempt(job.id, job.attempt) / ".scratch")

    def tidy(self, job_id: str, attempt: int) -> None:
        # What is not finished lies in hidden folders; a result is a file, which may have a hidden name as well.
        with suppress(FileNotFoundError):
            for path in list(self._attempt(job_id, attempt).iterdir()):
                if path.name.startswith(".") and path.is_dir():
                    self._drop(path, job_id, attempt)

    def remove(self, job_id: str, attempt: int) -> None:
        folder = self._attempt(job_id, attempt)
        self._drop(folder, job_id, attempt)
        # Not where there is another attempt.
        with suppress(OSError):
            folder.parent.rmdir()

    def _drop(self, path: Path, job_id: str, attempt: int) -> None:
        # Under another name at once, so that a worker that is late finds nothing to write to.
        gone = self.folder / f".{job_id}.{attempt}.{secrets.token_hex(4)}.removed"
        try:
            path.rename(gone)
        except FileNotFoundError:
            return
        except OSError:
            # A full disk may have no room for a name.
            gone = path
        shutil.rmtree(gone, ignore_errors=True)

    def _attempt(self, job_id: str, attempt: int) -> Path:
        return self.folder / job_id / str(attempt)
