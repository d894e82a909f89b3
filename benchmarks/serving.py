"""A served link against nginx serving the same chunks as static files: requests, latency and CPU.

`python benchmarks/serving.py --profile` runs the application in this process under cProfile instead.
"""

from __future__ import annotations

import argparse
import http.client
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import servers
import stages
import wrk
from data import BLOCK, SHARD, write_dataset
from measure import FULL, QUICK, Scale, interleaved
from report import Part, Table, at_least, at_most
from servers import Server
from wrk import Sample

RATE_AIM, CPU_AIM = 0.4, 3.0
NEEDED = ("nginx", "wrk")


@dataclass(frozen=True, slots=True)
class Case:
    """What is asked for, by how many readers at once."""

    layer: str
    dialect: str
    concurrency: int

    @property
    def path(self) -> str:
        """What stands before a chunk's numbers."""
        return f"/{self.dialect}/{self.layer}.zarr/0" + ("" if self.dialect == "v2" else "/c")

    def grid(self, size_xyz: Sequence[int]) -> list[int]:
        """Chunks or shards along z, y, x."""
        return [length // (BLOCK if self.dialect == "v2" else SHARD) for length in size_xyz[::-1]]

    def keys(self, size_xyz: Sequence[int]) -> list[str]:
        return [f"{self.path}/{z}/{y}/{x}" for z, y, x in product(*map(range, self.grid(size_xyz)))]

    def __str__(self) -> str:
        what = f"v2 chunks {BLOCK}^3" if self.dialect == "v2" else f"v3 shards {SHARD}^3"
        return f"{self.layer}, {what}, concurrency {self.concurrency}"


CASES = (
    Case("em", "v2", 1),
    Case("em", "v2", 16),
    Case("grey32", "v2", 1),
    Case("grey32", "v2", 16),
    Case("em", "v3", 1),
    Case("em", "v3", 4),
)


def run(dataset: Path, scale: Scale, cases: Sequence[Case] = CASES) -> Part:
    part = Part(
        "A served link against static files",
        f"One process each, loopback, `wrk -t1`, random chunks in the same order, {scale.rounds} rounds of {scale.seconds} s."
        " The files that nginx and the probe serve were fetched through the link and are compared byte for byte first."
        " CPU: user + system time of the server's processes. `of nginx`: against nginx in the same case.",
    )
    cpu_us = 0.0
    with TemporaryDirectory() as scratch, ExitStack() as running:
        folder, state = Path(scratch), Path(scratch) / "state.sqlite"
        ours = running.enter_context(servers.zarrlink_serve(dataset, state))
        files = folder / "chunks"
        keys = sorted({key for case in cases for key in case.keys(scale.size_xyz)})
        copy_chunks(ours, keys, files)
        rivals = [
            running.enter_context(servers.nginx(files, folder)),
            running.enter_context(servers.probe(files)),
            ours,
        ]
        if find_spec("granian"):
            rivals.append(running.enter_context(servers.granian(state, ours.prefix)))
        for rival in rivals:
            check_same(rival, files, keys[:: max(1, len(keys) // 8)])
        for case in cases:
            found = interleaved({rival.name: _load(rival, case, scale) for rival in rivals}, scale.rounds)
            part.tables.append(_table(case, found))
            if case == Case("em", "v2", 16) or not cpu_us:
                cpu_us = 1000 * wrk.median(found[ours.name]).cpu_ms
    part.tables.append(stages.table(dataset, scale, server_cpu_us=cpu_us))
    part.notes = [
        "nginx sends files from the page cache by sendfile; wrk and the server share two cores, so look at the CPU first.",
        "The bare probe opens, reads and sends a file on the same uvicorn: what is beyond it is ours.",
        stages.NOTE,
    ]
    return part


def copy_chunks(server: Server, keys: Sequence[str], files: Path) -> None:
    """Fetch chunks into files of the same names. Raises AssertionError where one is not there."""
    with closing(_connect(server)) as connection:
        for key in keys:
            path = files / key[1:]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_get(connection, server.prefix + key))


def check_same(server: Server, files: Path, keys: Sequence[str]) -> None:
    """Raises AssertionError where the server's chunks are not those files."""
    with closing(_connect(server)) as connection:
        for key in keys:
            body = _get(connection, server.prefix + key)
            assert body == (files / key[1:]).read_bytes(), f"{server.name} differs: {key}"


def _connect(server: Server) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", server.port)


def _get(connection: http.client.HTTPConnection, path: str) -> bytes:
    connection.request("GET", path)
    reply = connection.getresponse()
    body = reply.read()
    assert reply.status == 200, f"status {reply.status} for a chunk"
    return body


def _load(server: Server, case: Case, scale: Scale) -> Callable[[], Sample]:
    grid = case.grid(scale.size_xyz)
    return wrk.random_chunks(server, case.path, grid, concurrency=case.concurrency, seconds=scale.seconds)


def _table(case: Case, rounds: dict[str, list[Sample]]) -> Table:
    found = {name: wrk.median(samples) for name, samples in rounds.items()}
    peer = found["nginx"]
    rows = []
    for name, sample in found.items():
        rates = [one.rate for one in rounds[name]]
        rate, cpu = sample.rate / peer.rate, sample.cpu_ms / peer.cpu_ms
        aimed = case.dialect == "v2" and name.startswith("zarrlink")
        rows.append(
            [
                name,
                f"{sample.rate:.0f} ({min(rates):.0f} to {max(rates):.0f})",
                at_least(rate, RATE_AIM) if aimed else f"{rate:.3g}",
                f"{sample.p50_ms:.2f} / {sample.p99_ms:.2f}",
                f"{sample.cpu_ms:.3f}",
                at_most(cpu, CPU_AIM) if aimed else f"{cpu:.3g}",
            ]
        )
    caption = f"{case}; {peer.answer_bytes / 1000:.1f} kB an answer"
    return Table(caption, ("server", "requests/s", "of nginx", "p50 / p99 ms", "CPU s a 1000", "of nginx"), rows)


def missing() -> list[str]:
    """Programs that are needed and not installed."""
    return [program for program in NEEDED if shutil.which(program) is None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", action="store_true", required=True, help="profile the application")
    parser.add_argument("--quick", action="store_true", help="small sizes")
    scale = QUICK if parser.parse_args().quick else FULL
    with TemporaryDirectory() as scratch:
        stages.profile(write_dataset(Path(scratch), scale.size_xyz), scale)


if __name__ == "__main__":
    main()
