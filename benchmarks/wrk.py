"""Load on a server, by wrk."""

from __future__ import annotations

import json
import statistics
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from itertools import product

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
    paths = ["/".join([path, *map(str, place)]) for place in product(*map(range, grid))]
    return random_paths(server, paths, concurrency=concurrency, seconds=seconds, refused=refused)


def random_paths(
    server: Server, paths: Sequence[str], *, concurrency: int, seconds: int, refused: bool = False
) -> Callable[[], Sample]:
    """As `random_chunks`, of any paths below the server's prefix."""
    # Of one thread, which reads the list of them from the standard input.
    options = f"-t1 -c{concurrency} -d{seconds}s --timeout 30s --latency".split()
    command = ["wrk", *options, "-s", str(HERE / "random_paths.lua"), f"http://127.0.0.1:{server.port}"]
    listed = "".join(f"{server.prefix}{path}\n" for path in paths)

    def one_round() -> Sample:
        before = server.cpu_s()
        printed = subprocess.run(command, input=listed, check=True, capture_output=True, text=True).stdout
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
