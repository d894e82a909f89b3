"""Measuring on a noisy machine: contestants take turns, and medians speak."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured. `size_xyz` in voxels, in whole shards; `seconds`: of load a round, server and case;
    `calls`: of a function in a round."""

    size_xyz: tuple[int, int, int]
    rounds: int
    seconds: int
    calls: int


FULL = Scale((512, 512, 256), rounds=5, seconds=4, calls=20_000)
QUICK = Scale((128, 128, 128), rounds=1, seconds=1, calls=500)


def interleaved(contestants: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """What each contestant gave in each round; all take part in every round, each round begun by another one."""
    names = list(contestants)
    found: dict[str, list[T]] = {name: [] for name in names}
    for turn in range(rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            found[name].append(contestants[name]())
    return found


def microseconds(work: Callable[[], object], count: int) -> Callable[[], float]:
    """A contestant: us of CPU time for each of the `count` things that one call of `work` does."""

    def timed() -> float:
        started = time.process_time()
        work()
        return (time.process_time() - started) / count * 1e6

    return timed


def medians(found: Mapping[str, list[float]]) -> dict[str, float]:
    return {name: statistics.median(values) for name, values in found.items()}
