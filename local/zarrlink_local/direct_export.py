"""One export in this process and its own workers: no server, no job that anybody else sees."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from zarrlink.errors import ExportFailed, InvalidRequest
from zarrlink.exports.args import ExportArgs
from zarrlink.exports.store import IDS_SUFFIX
from zarrlink.exports.store_files import FolderStore
from zarrlink.jobs.model import Job
from zarrlink.jobs.sqlite import SqliteJobs
from zarrlink.library import Library
from zarrlink.sqlite_file import SqliteFile
from zarrlink_local.jobs.attempt import Attempt
from zarrlink_local.jobs.pool import WorkerPool
from zarrlink_local.jobs.queue import LIMITS
from zarrlink_local.jobs.worker import Workplace
from zarrlink_local.machine import now_ms
from zarrlink_local.work_folder import work_folder


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
            made = [(result, path) for result, path in made if result.exists()]
            for result, path in made:
                _place(result, path, replaces=export.replaces)
    except FileNotFoundError as error:
        if target.parent.is_dir():
            raise
        raise InvalidRequest(f"there is no folder {target.parent}") from error
    return [path for _, path in reversed(made)]


def _run(folder: Path, name: str, export: DirectExport, show: Callable[[float], None]) -> tuple[Job, FolderStore]:
    file, store = SqliteFile(folder / "jobs.sqlite"), FolderStore(folder / "results")
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
    place = Workplace(file.path, store.folder, export.open_library, LIMITS, result_days=1)
    pool = WorkerPool(place, export.workers)

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
