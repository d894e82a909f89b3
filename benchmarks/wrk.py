"""Load on a server, by wrk."""

from __future__ import annotations

import json
import statistics
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

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
    arguments = [server.prefix + path, *map(str, grid)]
    return _load(server, "random_chunks.lua", arguments, concurrency=concurrency, seconds=seconds, refused=refused)


def random_paths(
    server: Server, paths: Sequence[str], folder: Path, *, concurrency: int, seconds: int
) -> Callable[[], Sample]:
    """As `random_chunks`, of any paths below the server's prefix. `folder`: a place for the list of them."""
    listed = folder / f"{server.name.replace(' ', '-')}-{server.port}.paths"
    listed.write_text("".join(f"{server.prefix}{path}\n" for path in paths))
    return _load(server, "random_paths.lua", [str(listed)], concurrency=concurrency, seconds=seconds)


def _load(
    server: Server, script: str, arguments: Sequence[str], *, concurrency: int, seconds: int, refused: bool = False
) -> Callable[[], Sample]:
    options = ["-t1", f"-c{concurrency}", f"-d{seconds}s", "--timeout", "30s", "--latency", "-s", str(HERE / script)]
    where = [f"http://127.0.0.1:{server.port}", "--", *arguments]

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
