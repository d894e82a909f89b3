"""Other servers that give Zarr chunks over HTTP, beside a link: requests a second, and what a chunk costs them."""

from __future__ import annotations

import http.client
import random
import statistics
import subprocess
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numcodecs
import numpy as np
import servers
import tensorstore as ts
import wrk
from data import BLOCK, SHARD, voxels
from measure import Scale, interleaved
from report import Aim, Part, Plot, Table
from servers import Server
from wrk import Sample

AIM = 5.0
LAYER = "grey32"
PYTHON = Path(__file__).parents[1] / ".venv-peers" / "bin" / "python"
LINK = "zarrlink"
TRANSCODING = ("tiled", "xpublish", "re-encoder", "re-encoder, cached")
PASSING = ("zarr-http-server", "ome_zarr view")
_BLOSC = numcodecs.Blosc()
_ZSTD = numcodecs.Zstd()
_CHECKED = 4
BY_ROUNDS = (
    "Aims: the median of each round's ratio, whose two contestants were next to each other in time. `times zarrlink's` in the"
    " tables of the results: the ratio of the medians of all rounds, which may be another figure, by some per cent."
)
LEFT_OUT = (
    "Left out: simple-zarr-server 0.2.0 (fails at every request: it subscripts a store, which a store of Zarr 3 does not"
    " allow), omero-ms-zarr (needs an OMERO server), WEBKNOSSOS itself (Scala; its server is in no package registry)."
)
WHY = (
    "half of what a chunk of 32^3 costs is uvicorn and its sockets (`Where the time goes` in the results), which the re-encoder"
    " pays as well, on the same uvicorn, without checking a token, looking up a link or sending an ETag; an application there"
    " that does nothing but read a file and send it (`bare probe`) needs 35 to 39 us at concurrency 16, a fifth to a sixth of"
    " the re-encoder's time, so the aim leaves nothing for what a private link has to do. On the bytes alone pass-through is"
    " 17 to 25 times as fast, where LZ4 can compress them (first part of the results)"
)


@dataclass(frozen=True, slots=True)
class Case:
    """Chunks or shards, asked for by so many readers at once."""

    side: int
    concurrency: int

    def __str__(self) -> str:
        what = "shards" if self.side == SHARD else "chunks"
        return f"{what} of {self.side}^3, concurrency {self.concurrency}"


CASES = (Case(BLOCK, 1), Case(BLOCK, 16), Case(SHARD, 1), Case(SHARD, 4))


@dataclass(frozen=True, slots=True)
class Peer:
    """A server, where it has a chunk, and what its answer decodes to: bytes of voxels; None for a shard of ours."""

    server: Server
    path: Callable[[int, str], str]
    decode: Callable[[bytes], bytes]


def run(dataset: Path, scale: Scale, cases: tuple[Case, ...] = CASES) -> Part:
    volume = voxels(dataset, LAYER)
    part = Part(
        "Other servers of Zarr",
        f"One process each, as its own command or documentation starts it, loopback, `wrk -t1`, {scale.rounds} rounds of"
        f" {scale.seconds} s in turns. {' x '.join(map(str, volume.shape))} uint8 of EM in 32 grey levels; the same random chunks"
        " in the same order. zarrlink reads WKW and checks the link at every request; nginx, zarr-http-server and `ome_zarr view`"
        " pass on files, which were fetched through the link; tiled and xpublish encode voxels that are mapped into memory, so that"
        " they decode nothing; the re-encoder, ours, reads a Zarr copy in the same chunks by tensorstore and packs them by"
        " Blosc (lz4), on the same uvicorn, and does nothing else (`cached`: with all voxels decoded in its cache). A shard of a"
        f" server that knows none is a chunk of {SHARD}^3. Of each server {_CHECKED} chunks of each kind are decoded and compared"
        " first. CPU: user + system time of all its processes, a request.",
    )
    with TemporaryDirectory() as scratch, ExitStack() as running:
        folder = Path(scratch)
        sides = sorted({case.side for case in cases})
        places = {side: _places(volume, side) for side in sides}
        peers = _start(dataset, volume, folder, places, running)
        for peer, side in product(peers, sides):
            check(peer, volume, side, places[side])
        medians: dict[Case, dict[str, Sample]] = {}
        for case in cases:
            paths = {peer.server.name: [peer.path(case.side, key) for key in places[case.side]] for peer in peers}
            loads = {
                peer.server.name: wrk.random_paths(
                    peer.server,
                    paths[peer.server.name],
                    concurrency=case.concurrency,
                    seconds=scale.seconds,
                )
                for peer in peers
            }
            found = interleaved(loads, scale.rounds)
            medians[case] = {name: wrk.median(samples) for name, samples in found.items()}
            part.tables.append(_table(case, medians[case]))
            part.aims += _aims(case, found)
    part.plots = [_plot(side, medians) for side in sides]
    part.notes = [BY_ROUNDS, _versions(), LEFT_OUT]
    return part


def _places(volume: Any, side: int) -> list[str]:
    return ["/".join(map(str, place)) for place in product(*(range(length // side) for length in volume.shape))]


def _start(dataset: Path, volume: Any, folder: Path, places: dict[int, list[str]], running: ExitStack) -> list[Peer]:
    link = running.enter_context(servers.zarrlink_serve(dataset, folder / "state.sqlite"))
    ours = replace(link, name=LINK)
    files = folder / "files"
    with closing(http.client.HTTPConnection("127.0.0.1", link.port)) as connection:
        for side, keys in places.items():
            for key in keys:
                path = files / _as_stored(side, key)[1:]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(_get(connection, link.prefix + _as_stored(side, key)))
    peers = [
        Peer(ours, _as_stored, _of_frames),
        Peer(running.enter_context(servers.nginx(files, folder)), _as_stored, _of_frames),
    ]
    if not PYTHON.exists():
        return peers
    np.save(folder / "voxels.npy", volume)
    for side in (BLOCK, SHARD):
        _write_copy(folder / "copies" / str(side), volume, side)
    forms: dict[str, tuple[Callable[[int, str], str], Callable[[bytes], bytes]]] = {
        "zarr-http-server": (_as_stored, _of_frames),
        "ome_zarr view": (_as_stored, _of_frames),
        "tiled": (lambda side, key: f"/zarr/v2/{side}/{key.replace('/', '.')}", _BLOSC.decode),
        "xpublish": (lambda side, key: f"/datasets/{side}/zarr/em/c/{key}", _ZSTD.decode),
        "re-encoder": (lambda side, key: f"/{side}/{key}", _BLOSC.decode),
        "re-encoder, cached": (lambda side, key: f"/{side}/{key}", _BLOSC.decode),
    }
    for name, (path, decode) in forms.items():
        command = [str(PYTHON), str(servers.HERE / "peer_app.py"), name, str(folder)]
        peers.append(Peer(running.enter_context(servers.announced(name, command)), path, decode))
    return peers


def _as_stored(side: int, key: str) -> str:
    return f"/v2/{LAYER}.zarr/0/{key}" if side == BLOCK else f"/v3/{LAYER}.zarr/0/c/{key}"


def _write_copy(place: Path, volume: Any, side: int) -> None:
    metadata = {
        "shape": list(volume.shape),
        "chunks": [side] * 3,
        "dtype": "|u1",
        "compressor": {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 0, "blocksize": 0},
        "dimension_separator": "/",
        "fill_value": 0,
    }
    spec = {"driver": "zarr", "kvstore": {"driver": "file", "path": f"{place}/"}, "metadata": metadata}
    ts.open(spec, create=True).result().write(np.asarray(volume)).result()


def _of_frames(body: bytes) -> bytes:
    """The voxels of a chunk; of a shard, of its first chunk, which lies at its start."""
    length = int.from_bytes(body[12:16], "little")
    return bytes(_BLOSC.decode(body[:length]))


def check(peer: Peer, volume: Any, side: int, keys: list[str]) -> None:
    """Raises AssertionError where a server gives other voxels."""
    with closing(http.client.HTTPConnection("127.0.0.1", peer.server.port)) as connection:
        for key in random.Random(7).sample(keys, min(_CHECKED, len(keys))):
            body = _get(connection, peer.server.prefix + peer.path(side, key))
            found = bytes(peer.decode(body))
            start = [int(n) * side for n in key.split("/")]
            edge = round(len(found) ** (1 / 3))
            expected = volume[tuple(slice(first, first + edge) for first in start)].tobytes()
            assert edge in (side, BLOCK), f"{peer.server.name} gives {edge}^3 voxels"
            assert found == expected, f"{peer.server.name} gives other voxels: {key} of {side}^3"


def _get(connection: http.client.HTTPConnection, path: str) -> bytes:
    connection.request("GET", path)
    reply = connection.getresponse()
    body = reply.read()
    assert reply.status == 200, f"status {reply.status} for {path.rpartition('.zarr')[2]}"
    return body


def _table(case: Case, found: dict[str, Sample]) -> Table:
    ours = found[LINK]
    rows = [
        [
            name,
            f"{one.rate:.0f}",
            f"{one.rate / ours.rate:.3g}",
            f"{one.p50_ms:.2f} / {one.p99_ms:.2f}",
            f"{one.cpu_ms * 1000:.0f}",
            f"{one.cpu_ms / ours.cpu_ms:.3g}",
            f"{one.answer_bytes / 1000:.1f}",
        ]
        for name, one in sorted(found.items(), key=lambda item: item[1].cpu_ms)
    ]
    head = ("server", "requests/s", "of zarrlink", "p50 / p99 ms", "CPU us", "times zarrlink's", "kB an answer")
    return Table(str(case), head, rows)


def _aims(case: Case, found: dict[str, list[Sample]]) -> list[Aim]:
    """The ratio to the best of those that transcode, by rounds, which are next to each other in time."""
    ratios = {
        name: statistics.median(
            theirs.cpu_ms / ours.cpu_ms for theirs, ours in zip(found[name], found[LINK], strict=True)
        )
        for name in TRANSCODING
        if name in found
    }
    return [
        Aim(
            f"{case}: CPU of {name} a chunk, times zarrlink's",
            ratio,
            AIM,
            least=True,
            reason=WHY if ratio < AIM else "",
        )
        for name, ratio in sorted(ratios.items(), key=lambda item: item[1])
    ]


def _plot(side: int, medians: dict[Case, dict[str, Sample]]) -> Plot:
    cases = [case for case in medians if case.side == side]
    series = {
        f"concurrency {case.concurrency}": [
            (name, one.cpu_ms * 1000)
            for name, one in sorted(medians[cases[0]].items(), key=lambda item: item[1].cpu_ms)
        ]
        for case in cases
    }
    for case in cases:
        order = [name for name, _ in series[f"concurrency {cases[0].concurrency}"]]
        series[f"concurrency {case.concurrency}"] = [(name, medians[case][name].cpu_ms * 1000) for name in order]
    what = "shard" if side == SHARD else "chunk"
    return Plot(f"peers-{what}", f"CPU of a {what} of {side}^3", "", "us of the server's CPU", series, log="y")


def _versions() -> str:
    if not PYTHON.exists():
        return "No peer but nginx: `make setup-peers` installs the others."
    script = "import sys, importlib.metadata as m; print(', '.join(f'{n} {m.version(n)}' for n in sys.argv[1:]))"
    names = ["zarr-http-server", "ome-zarr", "tiled", "xpublish", "xpublish-zarr", "tensorstore", "zarr", "uvicorn"]
    said = subprocess.run([str(PYTHON), "-c", script, *names], capture_output=True, text=True, check=True)
    return f"Peers: {said.stdout.strip()}; Python {_python_version()}."


def _python_version() -> str:
    said = subprocess.run([str(PYTHON), "-V"], capture_output=True, text=True, check=True)
    return said.stdout.split()[1]
