"""What runs jobs on one machine. The state file is the queue: jobs of other processes are found as well."""

from __future__ import annotations

import fcntl
import logging
import threading
import time
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from zarrlink.errors import SourceUnavailable
from zarrlink.exports.store_files import FolderStore
from zarrlink.exports.work import ExportWork
from zarrlink.jobs.model import Job
from zarrlink.jobs.sqlite import SqliteJobs
from zarrlink.library import Library
from zarrlink_local.jobs.attempt import Attempt
from zarrlink_local.jobs.leftovers import remove_leftovers
from zarrlink_local.jobs.pool import WorkerPool
from zarrlink_local.jobs.queue import LIMITS, RESULT_DAYS, QueueOnly, usable_cores
from zarrlink_local.jobs.worker import Workplace
from zarrlink_local.machine import Machine, now_ms, open_machine

_log = logging.getLogger(__name__)
# The others wait for their turn: each makes files that may be as large as the disk.
JOBS_AT_ONCE: Final = 3
# For what another process asks of the state file.
_LOOK_S: Final = 1.0
_SWEEP_S: Final = 3600.0
# Before a state file that fails is asked again.
_LONGEST_PAUSE_S: Final = 60.0


def local_engine(machine: Machine, *, workers: int | None = None, result_days: int = RESULT_DAYS) -> LocalEngine:
    """Of a state file; it runs jobs while it is entered."""
    state = machine.file.path.absolute()
    store = machine.results()
    place = Workplace(state, store.folder.absolute(), partial(library_of_state, state), LIMITS, result_days)
    return LocalEngine(place, machine.jobs, store, workers)


def library_of_state(state: Path) -> Library:
    return open_machine(state).library


class LocalEngine(QueueOnly):
    """See `zarrlink.jobs.engine.Engine`. Jobs that ran when an earlier process ended are gone on with.

    Of several processes with one state file only one runs jobs at a time.
    """

    def __init__(self, workplace: Workplace, jobs: SqliteJobs, store: FolderStore, workers: int | None = None) -> None:
        super().__init__(store)
        self._workplace = workplace
        self._jobs = jobs
        self.workers = workers or usable_cores()
        self._pool = WorkerPool(workplace, self.workers)
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._runs: dict[tuple[str, int], threading.Thread] = {}
        self._thread = threading.Thread(target=self._watch, name="jobs", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the workers; what they did stays, and is gone on with by the next one."""
        self._stop.set()
        self._wake.set()
        self._pool.close()
        for thread in [self._thread, *self._runs.values()]:
            thread.join()

    def start(self, job: Job) -> None:  # noqa: ARG002 (it is found among those that run)
        self._wake.set()

    def result(self, job: Job, suffix: str = "") -> Path:
        """Where the result of a job lies; `suffix`: a file beside it."""
        return self._store.path(job, suffix)

    def _watch(self) -> None:
        sweep_at, pause = 0.0, _LOOK_S
        with (self._store.folder / ".lock").open("wb") as lock:
            while not self._stop.is_set():
                try:
                    if _is_ours(lock.fileno()):
                        if time.monotonic() >= sweep_at:
                            remove_leftovers(self._jobs, self._store, now_ms())
                            sweep_at = time.monotonic() + _SWEEP_S
                        self._take_up()
                    pause = _LOOK_S
                except Exception:  # noqa: BLE001 (a state file that cannot be read now may be in a while)
                    _log.exception("looking for jobs failed")
                    pause = min(2 * pause, _LONGEST_PAUSE_S)
                self._wake.wait(pause)
                self._wake.clear()

    def _take_up(self) -> None:
        self._runs = {key: thread for key, thread in self._runs.items() if thread.is_alive()}
        for job in self._jobs.running():
            key = job.id, job.attempt
            if key not in self._runs and len(self._runs) < JOBS_AT_ONCE and not self._stop.is_set():
                self._runs[key] = threading.Thread(target=self._run, args=(job,), name=f"job {job.id}", daemon=True)
                self._runs[key].start()

    def _run(self, job: Job) -> None:
        try:
            work = self._workplace.open()
            try:
                Attempt(job, self._pool, work, self._jobs, self._store, self._stop).run()
            except Exception as error:  # noqa: BLE001 (whatever it is, the job must end)
                if not self._stop.is_set():
                    _log.exception("job %s failed", job.id)
                    self._fail(work, job, error)
            self._tell(job)
        except Exception:  # noqa: BLE001 (it is taken up again, but not at once)
            _log.exception("job %s is left for a while", job.id)
            self._stop.wait(_LONGEST_PAUSE_S)
        finally:
            self._wake.set()

    def _fail(self, work: ExportWork, job: Job, error: Exception) -> None:
        """However long the state file takes no more, on a full disk say: the job is not run again meanwhile."""
        pause = _LOOK_S
        while not self._stop.is_set():
            try:
                work.fail(job.id, job.attempt, error)
            except SourceUnavailable as full:
                _log.warning("job %s: its end cannot be written down yet: %s", job.id, full.reason)
                self._stop.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_S)
            else:
                return

    def _tell(self, job: Job) -> None:
        found = self._jobs.get(job.id)
        if found is not None and (found.attempt, found.state) == (job.attempt, "FAILURE"):
            _log.warning("job %s failed: %s", job.id, found.sentence)


def _is_ours(lock: int) -> bool:
    """Whether this process is the one that runs jobs; the lock goes with the process that has it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
