"""Load on a server, by wrk."""

from __future__ import annotations

import json
import statistics
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass

from servers import HERE, Server


@dataclass(frozen=True, slots=True)
class Sample:
    """One round of one server. `cpu_ms`: of its processes, a request."""

    rate: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float
    answer_bytes: float


def random_chunks(
    server: Server, path: str, grid: Sequence[int], *, concurrency: int, seconds: int, refused: bool = False
) -> Callable[[], Sample]:
    """A contestant: one round of random chunks `path`/z/y/x out of a grid (z, y, x). `refused`: all of them are to be.

    Raises AssertionError where a request fails or is not answered with 2xx.
    """
    options = ["-t1", f"-c{concurrency}", f"-d{seconds}s", "--latency", "-s", str(HERE / "random_chunks.lua")]
    where = [f"http://127.0.0.1:{server.port}", "--", server.prefix + path, *map(str, grid)]

    def one_round() -> Sample:
        before = server.cpu_s()
        printed = subprocess.run(["wrk", *options, *where], check=True, capture_output=True, text=True).stdout
        cpu_s = server.cpu_s() - before
        said = json.loads(printed.splitlines()[-1])
        count = said["requests"]
        expected = count if refused else 0
        assert count > 0 == said["failed"], f"{server.name}: {printed}"
        assert said["refused"] == expected, f"{server.name}: {printed}"
        rate = count / said["us"] * 1e6
        return Sample(rate, said["p50_us"] / 1e3, said["p99_us"] / 1e3, cpu_s / count * 1e3, said["bytes"] / count)

    return one_round


def median(samples: Sequence[Sample]) -> Sample:
    """The median of each number."""
    return Sample(*(statistics.median(numbers) for numbers in zip(*map(astuple, samples), strict=True)))
