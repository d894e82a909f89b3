"""One export in this process and its own workers: no server, no job that anybody else sees."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Final, Literal

from zarrlink.errors import ExportFailed, InvalidRequest
from zarrlink.exports.args import ExportArgs
from zarrlink.exports.spill import disk_refusal
from zarrlink.exports.store import IDS_SUFFIX
from zarrlink.exports.store_files import FolderStore
from zarrlink.exports.work import ExportWork
from zarrlink.jobs.model import Job
from zarrlink.jobs.sqlite import SqliteJobs
from zarrlink.library import Library
from zarrlink.sqlite_file import SqliteFile
from zarrlink_local.jobs.attempt import Attempt
from zarrlink_local.jobs.pool import WorkerPool
from zarrlink_local.jobs.queue import LIMITS
from zarrlink_local.jobs.worker import Outcome, Step, Workplace
from zarrlink_local.machine import now_ms
from zarrlink_local.work_folder import work_folder

_DISK_FULL: Final = disk_refusal(errno.ENOSPC)
# SQLite asks for some pages at once, and leaves a disk with fewer as it was.
_NEARLY_FULL_BYTES: Final = 2**18


@dataclass(frozen=True, slots=True)
class DirectExport:
    """`dataset`, `annotation`: ids in the library that `open_library` gives, "" for none. `replaces`: files may be there."""

    kind: Literal["ome_tiff", "tiff_stack"]
    args: ExportArgs
    dataset: str
    annotation: str
    open_library: Callable[[], Library]
    workers: int
    replaces: bool = False


def export_to(target: Path, export: DirectExport, show: Callable[[float], None]) -> list[Path]:
    """Write the file, and the table of renumbered ids beside it where there is one; gives what was written.

    `show` is told from time to time how much is done. Whatever ends this, nothing but whole files stays.
    Raises InvalidRequest, ExportFailed with the sentence of a failed job.
    """
    table = target.with_name(target.name + IDS_SUFFIX)
    for path in (target, table) if export.args.wide in (None, "renumber") else (target,):
        _check(path, replaces=export.replaces)
    try:
        # Beside the target, so that nothing but names changes in the end.
        with work_folder(target) as folder:
            job, store = _run(folder, target.name, export, show)
            made = [(store.path(job, suffix), path) for suffix, path in ((IDS_SUFFIX, table), ("", target))]
            made = [(result, path) for result, path in made if path == target or result.exists()]
            for result, path in made:
                _place(result, path, replaces=export.replaces)
    except FileNotFoundError as error:
        if target.parent.is_dir():
            raise
        raise InvalidRequest(f"there is no folder {target.parent}") from error
    except ExportFailed as error:
        if str(error) != _DISK_FULL:
            raise
        # All that is put aside lies there as well.
        raise ExportFailed(f"the disk of {target} is full") from error
    return [path for _, path in reversed(made)]


def _run(folder: Path, name: str, export: DirectExport, show: Callable[[float], None]) -> tuple[Job, FolderStore]:
    with _disk_told(folder):
        file, store = JobFile(folder / "jobs.sqlite"), FolderStore(folder / "results")
    jobs = SqliteJobs(file)
    job = jobs.add(
        Job(
            id=secrets.token_hex(12),
            owner="",
            kind=export.kind,
            dataset=export.dataset,
            annotation=export.annotation,
            args=export.args.to_json(),
            file_name=name,
            submission="",
            created_ms=now_ms(),
        )
    )
    place = _Place(file.path, store.folder, export.open_library, LIMITS, result_days=1)
    pool = _Pool(place, export.workers)

    def tell() -> None:
        found = jobs.get(job.id)
        show(0.0 if found is None else found.progress)

    try:
        Attempt(job, pool, place.open(), jobs, store, threading.Event(), tell).run()
        ended = jobs.get(job.id)
    finally:
        pool.close()
        file.close()
    if ended is None or ended.state != "SUCCESS":
        raise ExportFailed(ended.sentence if ended is not None and ended.sentence else "the export was ended")
    return ended, store


class JobFile(SqliteFile):
    """The job of this export, on the disk of its target: where that is full, trying again later is of no use."""

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        with _disk_told(self.path.parent), super().write() as connection:
            yield connection


@dataclass(frozen=True, slots=True)
class _Place(Workplace):
    def open(self) -> ExportWork:
        return ExportWork(
            SqliteJobs(JobFile(self.jobs)),
            self.open_library(),
            FolderStore(self.results),
            now_ms=now_ms,
            limits=self.limits,
            result_days=self.result_days,
        )


class _Pool(WorkerPool):
    """Workers that no Ctrl-C reaches, not even before they are far enough to say so."""

    def submit(self, step: Step) -> Future[Outcome]:
        # Started while a worker is, it would unblock the signal.
        resource_tracker.ensure_running()
        with _signals_wait():
            # A new process begins with what this thread blocks.
            before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
            try:
                return super().submit(step)
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _signals_wait() -> Iterator[None]:
    """Those that end this process are met in the end: a worker of which half is started tells of it by a traceback."""
    came: list[int] = []
    before = {}
    # Python meets signals in its main thread alone.
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # What is ignored here is by workers as well.
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, lambda found, _: came.append(found))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for found in came:
            signal.raise_signal(found)


@contextmanager
def _disk_told(folder: Path) -> Iterator[None]:
    """What SQLite says of a full disk, in the words that everything else is told by."""
    try:
        yield
    except (sqlite3.OperationalError, ValueError) as error:
        # SqliteFile says of a file that it cannot make why.
        why = error.__cause__ if isinstance(error, ValueError) else error
        full = getattr(why, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
        if full or shutil.disk_usage(folder).free < _NEARLY_FULL_BYTES:
            raise ExportFailed(_DISK_FULL) from error
        raise


def _check(path: Path, *, replaces: bool) -> None:
    if path.is_dir():
        raise InvalidRequest(f"{path} is a folder: name the file that is to be written")
    if path.exists() and not replaces:
        raise InvalidRequest(f"{path} is there already: --force replaces it")


def _place(result: Path, path: Path, *, replaces: bool) -> None:
    if replaces:
        result.replace(path)
        return
    try:
        # Unlike a rename, a link never replaces.
        os.link(result, path)
    except FileExistsError as error:
        raise InvalidRequest(f"{path} is there already: --force replaces it") from error
