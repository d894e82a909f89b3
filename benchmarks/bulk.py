"""A whole volume read by programs over a network: a link against the chunks that nginx has as files."""

from __future__ import annotations

import hashlib
import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import servers
import tensorstore as ts
from data import BLOCK, voxels, write_array
from measure import Scale, interleaved
from report import Aim, Part, Plot, Table
from servers import Network, Server

AIM, AIM_MS = 3.0, 5
ROUND_TRIPS_MS = (0, 5, 50)
READERS = ("zarr-python", "tensorstore")
LINK_V2, LINK_V3 = "link, v2", "link, v3"
RAW, PACKED = "nginx, 32^3, uncompressed", "nginx, 32^3, blosc"
ORIGINS = (LINK_V2, LINK_V3, RAW, PACKED)
_SIDE = 512
_LAYER = "bulk"
_BLOSC = {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 0, "blocksize": 0}
WHY = {
    "zarr-python": (
        "with shards zarr-python hardly waits for the network any more (profiled: 4% of its event loop's time, 28% with chunks):"
        " it makes some tasks for every chunk inside a shard, 0.28 ms of its processor, so that 512^3 takes it more than a"
        " second however near the server is, and that much the chunks' round trips of 5 ms cost only twice; at 50 ms shards win"
        " as they should"
    ),
    "tensorstore": (
        "it keeps 32 requests on their way, so that all round trips of 4096 chunks at 5 ms are 0.64 s; reader, proxy and servers"
        " need as much of the two cores, which other work shared in this run; at 50 ms shards win as they should"
    ),
}


@dataclass(frozen=True, slots=True)
class Read:
    """One reading of the whole volume. `server_s`: CPU time of the server."""

    waited_s: float
    client_s: float
    server_s: float
    connections: int
    bytes_up: int
    bytes_down: int
    network_us: int


@dataclass(frozen=True, slots=True)
class Origin:
    """A server, the network before it, and where the array is. `sha256`: of the voxels, z slowest."""

    server: Server
    network: Network
    path: str
    sha256: str

    def read(self, reader: str, round_trip_ms: float, *, direct: bool = False) -> Read:
        """Raises CalledProcessError where voxels differ."""
        port = self.server.port if direct else self.network.port
        command = [sys.executable, str(servers.HERE / "bulk_reader.py"), reader]
        self.network.restart(round_trip_ms)
        before = self.server.cpu_s()
        address = f"http://127.0.0.1:{port}{self.path}"
        done = subprocess.run([*command, address, self.sha256], check=True, stdout=subprocess.PIPE, text=True)
        said = json.loads(done.stdout)
        server_s = self.server.cpu_s() - before
        passed = self.network.restart(0)
        return Read(
            said["waited_s"],
            said["cpu_s"],
            server_s,
            passed["connections"],
            passed["bytes_up"],
            passed["bytes_down"],
            passed["cpu_us"],
        )


def run(
    dataset: Path,
    scale: Scale,
    readers: Sequence[str] = READERS,
    round_trips_ms: Sequence[int] = ROUND_TRIPS_MS,
) -> Part:
    volume = _cube(voxels(dataset, "em"), min(_SIDE, scale.size_xyz[0]))
    size = " x ".join(map(str, volume.shape))
    part = Part(
        f"Bulk: a volume read whole, over networks of 0, {AIM_MS} and 50 ms",
        f"{size} uint8 of EM in 32 grey levels, read by zarr-python and tensorstore with their own"
        f" settings, rounds: {_rounds(scale)} (medians); each reader is a process of its own, and the voxels are compared"
        " each time. A proxy of ours"
        " between them delays every byte by half a round trip, each way, and a new connection by one round trip; bandwidth is not"
        " limited. It counts the bytes on the wire. The link is `zarrlink serve`; nginx has the same array as files, Zarr v2,"
        " chunks of 32^3: uncompressed, which is what WEBKNOSSOS sends, and as blosc-lz4. Waiting holds the opening, not the"
        " start of the interpreter.",
    )
    with TemporaryDirectory() as scratch, ExitStack() as running:
        origins = _origins(dataset, volume, Path(scratch), running)
        contestants = {
            (reader, ms, name): _reading(origin, reader, ms)
            for reader in readers
            for ms in round_trips_ms
            for name, origin in origins.items()
        }
        names = {json.dumps(key): work for key, work in contestants.items()}
        rounds = interleaved(names, _rounds(scale))
        found = {key: _median(rounds[json.dumps(key)]) for key in contestants}
        part.tables = [_waiting(found, reader, round_trips_ms) for reader in readers]
        part.tables.append(_wire(found, readers, volume.nbytes))
        part.tables.append(_overhead(origins, found, _rounds(scale)))
    part.plots = [_plot(found, reader, round_trips_ms) for reader in readers]
    for reader in readers:
        ratio = found[reader, AIM_MS, RAW].waited_s / found[reader, AIM_MS, LINK_V3].waited_s
        what = f"bulk read by {reader} at {AIM_MS} ms: v3 link over nginx's uncompressed 32^3 chunks, times as fast"
        part.aims.append(Aim(what, ratio, AIM, least=True, reason=WHY[reader]))
    part.notes = [
        "Client's and server's CPU: user + system time; on two cores, client, server and proxy wait for each other at 0 ms.",
        "The shard's index costs a request of its own, and readers ask for chunks of a shard in as many ranges as they like.",
    ]
    return part


def _rounds(scale: Scale) -> int:
    return min(3, scale.rounds)


def _cube(volume: Any, side: int) -> Any:
    """A cube of voxels, mirrored where the volume is too short."""
    grey = np.asarray(volume) >> 3
    return np.concatenate([grey, grey[::-1]])[:side, :side, :side]


def _reading(origin: Origin, reader: str, round_trip_ms: float) -> Callable[[], Read]:
    return lambda: origin.read(reader, round_trip_ms)


def _origins(dataset: Path, volume: Any, folder: Path, running: ExitStack) -> dict[str, Origin]:
    sha256 = hashlib.sha256(np.ascontiguousarray(volume)).hexdigest()
    made = write_array(dataset, _LAYER, volume)
    link = running.enter_context(servers.zarrlink_serve(made, folder / "state.sqlite"))
    for name, compressor in (("raw", None), ("packed", _BLOSC)):
        _write_zarr(folder / "files" / name, volume, compressor)
    static = running.enter_context(servers.nginx(folder / "files", folder))
    to_link, to_static = (running.enter_context(servers.network(server)) for server in (link, static))
    return {
        LINK_V2: Origin(link, to_link, f"{link.prefix}/v2/{_LAYER}.zarr/0", sha256),
        LINK_V3: Origin(link, to_link, f"{link.prefix}/v3/{_LAYER}.zarr/0", sha256),
        RAW: Origin(static, to_static, "/raw", sha256),
        PACKED: Origin(static, to_static, "/packed", sha256),
    }


def _write_zarr(place: Path, volume: Any, compressor: dict[str, Any] | None) -> None:
    metadata = {
        "shape": list(volume.shape),
        "chunks": [BLOCK] * 3,
        "dtype": "|u1",
        "compressor": compressor,
        "dimension_separator": "/",
        "fill_value": 0,
    }
    spec = {"driver": "zarr", "kvstore": {"driver": "file", "path": f"{place}/"}, "metadata": metadata}
    ts.open(spec, create=True).result().write(volume).result()


def _median(reads: list[Read]) -> Read:
    return Read(*(statistics.median(getattr(read, name) for read in reads) for name in Read.__slots__))


Found = dict[tuple[str, int, str], Read]


def _waiting(found: Found, reader: str, round_trips_ms: Sequence[int]) -> Table:
    rows = []
    for ms in round_trips_ms:
        slowest = found[reader, ms, RAW].waited_s
        for name in ORIGINS:
            one = found[reader, ms, name]
            rows.append(
                [
                    f"{ms} ms",
                    name,
                    f"{one.waited_s:.2f}",
                    f"{slowest / one.waited_s:.2f}",
                    f"{one.client_s:.2f}",
                    f"{one.server_s:.2f}",
                ]
            )
    head = ("round trip", "origin", "waited s", "times as fast as uncompressed", "client's CPU s", "server's CPU s")
    return Table(f"{reader}", head, rows)


def _wire(found: Found, readers: Sequence[str], raw_bytes: int) -> Table:
    rows = []
    for reader in readers:
        plain = found[reader, 0, RAW].bytes_down
        for name in ORIGINS:
            one = found[reader, 0, name]
            shown = [f"{one.bytes_down / 1e6:.1f}", f"{plain / one.bytes_down:.2f}", f"{one.bytes_up / 1e3:.0f}"]
            rows.append([reader, name, *shown, f"{one.connections:.0f}"])
    head = ("reader", "origin", "MB down", "times fewer than uncompressed", "kB up", "connections")
    return Table(f"Bytes on the wire, of {raw_bytes / 1e6:.0f} MB of voxels", head, rows)


def _overhead(origins: dict[str, Origin], found: Found, rounds: int) -> Table:
    """What the proxy itself takes."""
    rows = []
    for name in (LINK_V3, RAW):
        read = found["tensorstore", 0, name]
        direct = _median([origins[name].read("tensorstore", 0, direct=True) for _ in range(rounds)])
        us = read.network_us / read.bytes_down * 1e6
        rows.append([name, f"{direct.waited_s:.2f}", f"{read.waited_s:.2f}", f"{us:.0f}"])
    head = ("origin", "without it, s", "through it at 0 ms, s", "its CPU, us a MB")
    return Table("What the proxy itself costs, tensorstore", head, rows)


def _plot(found: Found, reader: str, round_trips_ms: Sequence[int]) -> Plot:
    series = {name: [(f"{ms} ms", found[reader, ms, name].waited_s) for ms in round_trips_ms] for name in ORIGINS}
    return Plot(f"bulk-{reader}", f"A volume read whole by {reader}", "round trip", "s waited", series)
