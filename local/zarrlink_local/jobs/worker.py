"""A worker process: it runs one step of a job at a time."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

from zarrlink.errors import JobEnded, SourceChanged, SourceUnavailable, ZarrlinkError
from zarrlink.exports.request import Limits
from zarrlink.exports.store_files import FolderStore
from zarrlink.exports.work import ExportWork, failure_sentence
from zarrlink.jobs.sqlite import SqliteJobs
from zarrlink.library import Library
from zarrlink.sqlite_file import SqliteFile
from zarrlink_local.machine import now_ms

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Workplace:
    """What a worker opens for itself: `jobs` is the SQLite file that holds them, `results` the folder of `FolderStore`.

    `open_library` must be importable by name: workers are spawned.
    """

    jobs: Path
    results: Path
    open_library: Callable[[], Library]
    limits: Limits
    result_days: int

    def open(self) -> ExportWork:
        return ExportWork(
            SqliteJobs(SqliteFile(self.jobs)),
            self.open_library(),
            FolderStore(self.results),
            now_ms=now_ms,
            limits=self.limits,
            result_days=self.result_days,
        )


@dataclass(frozen=True, slots=True)
class Step:
    """A step of an attempt at a job, by its name in `ExportWork`."""

    name: Literal["plan", "unit", "finish", "small"]
    job_id: str
    attempt: int
    number: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a step ended. Errors stay in the worker: not all of them survive the way through a pipe.

    `again`: it may go better in a while. `ended`: the attempt is over. `value`: what the step gave. `sentence`: for the
    job's owner, `reason`: for the log.
    """

    kind: Literal["done", "again", "ended", "failed"]
    value: Any = None
    sentence: str = ""
    reason: str = ""


_loop: asyncio.AbstractEventLoop
_work: ExportWork


def begin(workplace: Workplace, lifeline: Connection) -> None:
    """Get a new process ready. It ends as soon as nobody holds the other end of the `lifeline`."""
    global _loop, _work
    # A Ctrl-C reaches the whole group; whoever started the workers decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()
    _loop, _work = asyncio.new_event_loop(), workplace.open()


def run_step(step: Step) -> Outcome:
    """Run a step in this process."""
    try:
        return Outcome("done", _loop.run_until_complete(_begun(step)))
    except JobEnded:
        return Outcome("ended")
    except (SourceUnavailable, SourceChanged) as error:
        return Outcome("again", sentence=failure_sentence(error), reason=getattr(error, "reason", str(error)))
    except ZarrlinkError as error:
        return Outcome("failed", sentence=failure_sentence(error))
    except Exception as error:  # noqa: BLE001 (told to the owner, and to the log)
        _log.exception("job %s: %s %d failed", step.job_id, step.name, step.number)
        return Outcome("failed", sentence=failure_sentence(error))


async def _begun(step: Step) -> Any:
    match step.name:
        case "plan":
            return await _work.plan(step.job_id, step.attempt)
        case "unit":
            return await _work.unit(step.job_id, step.attempt, step.number)
        case "finish":
            return await _work.finish(step.job_id, step.attempt)
        case "small":
            return await _work.small(step.job_id, step.attempt)


def _end_with(lifeline: Connection) -> None:
    """Nothing is ever sent: what comes is the end."""
    lifeline.poll(None)
    os._exit(1)
