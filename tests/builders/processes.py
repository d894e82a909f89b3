"""Several processes that do something at the same moment."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.synchronize import Barrier
from typing import Any, TypeVar

T = TypeVar("T")
_MEETING_LIMIT_S = 60.0


_meeting: Barrier | None = None


def run_together(function: Callable[..., T], arguments: Sequence[tuple[Any, ...]]) -> list[T]:
    """The results of one call a process, all started once every process is there. Raises what a call raises.

    `function` must be importable by name: the processes are spawned, as on every platform they can be.
    """
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(len(arguments))
    with ProcessPoolExecutor(len(arguments), mp_context=context, initializer=_start, initargs=(barrier,)) as pool:
        return [future.result() for future in [pool.submit(function, *values) for values in arguments]]


def take_signals() -> None:
    """For `preexec_fn`: what runs in the background of a script ignores Ctrl-C, and hands that on to what it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def meet() -> None:
    """Within a call of `run_together`: wait until all of them are here. Each must call it equally often."""
    if _meeting is None:
        raise RuntimeError("nobody else to meet")
    _meeting.wait(_MEETING_LIMIT_S)


def _start(barrier: Barrier) -> None:
    global _meeting  # noqa: PLW0603 (a barrier is handed over only when a process starts)
    _meeting = barrier
    meet()
