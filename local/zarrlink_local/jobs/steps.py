"""Steps that may run at the same time, tried again where that may help."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Final

from zarrlink_local.jobs.pool import WorkerPool
from zarrlink_local.jobs.worker import Outcome, Step

_log = logging.getLogger(__name__)
# Waited before a step is tried again that could not reach its source.
BACKOFF_S: Final = (0.5, 2.0, 8.0)
# How often a worker may die while a step runs: one that is killed for want of memory will be again.
MOST_DEATHS: Final = 4


class AttemptEnded(Exception):
    """`sentence`: why it failed; empty where it was ended elsewhere, or this process has to end."""

    def __init__(self, sentence: str = "") -> None:
        super().__init__(sentence)
        self.sentence = sentence


class Steps:
    """Some steps of one attempt over the pool. `stop`: set where this process has to end."""

    def __init__(self, wanted: list[Step], pool: WorkerPool, stop: threading.Event, show: Callable[[], None]) -> None:
        self._waiting = deque(wanted)
        self._later: list[tuple[float, Step]] = []
        self._running: dict[Future[Outcome], Step] = {}
        self._failures: Counter[Step] = Counter()
        self._deaths: Counter[Step] = Counter()
        self._values: list[Any] = []
        self._pool = pool
        self._stop = stop
        self._show = show

    def run(self) -> list[Any]:
        """What each step gave, in no order. Raises AttemptEnded, with some still running."""
        while self._waiting or self._running or self._later:
            self._check()
            now = time.monotonic()
            self._waiting.extend(step for due, step in self._later if due <= now)
            self._later = [(due, step) for due, step in self._later if due > now]
            # No more than the workers are busy with: other jobs get their turns.
            while self._waiting and len(self._running) <= self._pool.workers:
                step = self._waiting.popleft()
                self._running[self._submit(step)] = step
            pause = min(due for due, _ in self._later) - now if self._later else None
            if not self._running:
                self._stop.wait(pause)
                continue
            for future in wait(self._running, pause, FIRST_COMPLETED).done:
                self._take(self._running.pop(future), _outcome(future))
        return self._values

    def drain(self) -> None:
        """Wait until none runs any more: each sees within a slab that its attempt is over."""
        wait(self._running)

    def _take(self, step: Step, outcome: Outcome | None) -> None:
        if outcome is None:
            self._died(step)
        elif outcome.kind == "done":
            self._values.append(outcome.value)
            self._show()
        elif outcome.kind == "again" and self._failures[step] < len(BACKOFF_S):
            _log.info("job %s: %s %d waits: %s", step.job_id, step.name, step.number, outcome.reason)
            self._later.append((time.monotonic() + BACKOFF_S[self._failures[step]], step))
            self._failures[step] += 1
        else:
            raise AttemptEnded(outcome.sentence)

    def _died(self, step: Step) -> None:
        self._check()
        _log.info("job %s: a worker died at %s %d", step.job_id, step.name, step.number)
        self._deaths[step] += 1
        if self._deaths[step] >= MOST_DEATHS:
            raise AttemptEnded(
                "the processes that work on it are ended again and again, for want of memory perhaps: choose a smaller "
                "box or a coarser mag"
            )
        self._waiting.append(step)

    def _submit(self, step: Step) -> Future[Outcome]:
        try:
            return self._pool.submit(step)
        except BrokenProcessPool:
            self._check()
            raise

    def _check(self) -> None:
        if self._stop.is_set():
            raise AttemptEnded


def _outcome(future: Future[Outcome]) -> Outcome | None:
    """None where the worker died."""
    try:
        return future.result()
    except (BrokenProcessPool, CancelledError):
        return None
