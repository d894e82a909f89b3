"""A pool of worker processes that outlives them."""

from __future__ import annotations

import multiprocessing
import threading
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from typing import Final

from zarrlink_local.jobs.worker import Outcome, Step, Workplace, begin, run_step

# Never forked: tensorstore's threads would be missing in the child, their locks held.
_CONTEXT: Final = multiprocessing.get_context("spawn")


class WorkerPool:
    """`workers` processes, started when they are needed. All end with `close`, and with this process however it ends."""

    def __init__(self, workplace: Workplace, workers: int) -> None:
        self.workers = workers
        self._workplace = workplace
        self._lock = threading.Lock()
        self._executor: ProcessPoolExecutor | None = None
        # What a process holds is closed when it is killed, too: no worker is left behind.
        self._theirs, self._ours = _CONTEXT.Pipe(duplex=False)

    def submit(self, step: Step) -> Future[Outcome]:
        """The step's outcome; BrokenProcessPool where a worker died meanwhile, be it another one: try again then."""
        with self._lock:
            if self._executor is not None:
                with suppress(BrokenProcessPool):
                    return self._executor.submit(run_step, step)
                self._executor.shutdown(wait=False)
            if self._ours.closed:
                raise BrokenProcessPool("the pool is closed")
            self._executor = ProcessPoolExecutor(
                self.workers, mp_context=_CONTEXT, initializer=begin, initargs=(self._workplace, self._theirs)
            )
            return self._executor.submit(run_step, step)

    def close(self) -> None:
        """End the workers at once, whatever they are doing."""
        with self._lock:
            self._ours.close()
            if self._executor is not None:
                # Nothing is cancelled: nobody who waits for such a future would be told.
                self._executor.shutdown()
                self._executor = None
            self._theirs.close()
