"""A server asked for random things of many layers for a long time: what becomes of its memory."""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import statistics
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import servers
import wrk
from data import BLOCK, LAYERS, SHARD
from measure import Scale
from report import Aim, Part, Plot, Table

from zarrlink.formats.datasource import FILE_NAME

AIM = 1.05
# `make bench` soaks for an hour; SOAK_MINUTES=3 says otherwise.
_MINUTES = "SOAK_MINUTES"
_USUAL_MINUTES = 60.0
CONCURRENCY = 8
WHY = (
    "a soak of a few minutes ends before the memory that is freed and kept has found its size (its holes, and what eight"
    " readers' shards take while they are sent), and so rises in steps; in one process, without sockets, the application's memory"
    " is flat after the first thousands of requests, and tracemalloc finds nothing that grows. An hour's soak decides"
)
FREED = (
    "What rises is no cache but memory that was freed and that glibc keeps between what is used: asked by `mallinfo2` in such a soak"
    " of 9 minutes, 17.1 MiB were in use after the first minute and 17.2 at the end, 22 and 48 MiB freed and kept. The 64 MiB that"
    " `serve` sets bound the end of the heap, not these holes; nobody has seen yet where they end."
)
_COPIES = 16
_SAMPLES = 60
_PATHS = 4000


def minutes() -> float:
    """How long a soak is. Raises ValueError where SOAK_MINUTES is no such number."""
    said = os.environ.get(_MINUTES, "")
    try:
        found = float(said) if said else _USUAL_MINUTES
    except ValueError:
        found = math.nan
    if not 0 < found < math.inf:
        raise ValueError(f"{_MINUTES}={said}: minutes are a number above 0")
    return found


def run(dataset: Path, scale: Scale) -> Part:
    seconds = minutes() * 60 if scale.seconds > 1 else 4
    each = max(1, round(seconds / _SAMPLES))
    count = _COPIES * len(LAYERS)
    part = Part(
        f"A soak of {seconds / 60:.3g} minutes",
        f"`zarrlink serve`, one link to {count} layers (of {len(LAYERS)} volumes), {CONCURRENCY} readers without a pause: v2"
        f" chunks, v3 shards and metadata of all layers, at random. Memory (RSS, all processes) every {each} s.",
    )
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        many = _many_layers(dataset, folder / "many")
        with servers.zarrlink_serve(many, folder / "state.sqlite") as server:
            paths = _paths(scale, random.Random(7))
            load = wrk.random_paths(server, paths, concurrency=CONCURRENCY, seconds=each)
            points, requests, started = [(0.0, server.rss_mib())], 0.0, time.monotonic()
            while time.monotonic() - started < seconds:
                requests += load().rate * each
                points.append(((time.monotonic() - started) / 60, server.rss_mib()))
    part.tables.append(_table(points, requests))
    shown = {"RSS": points}
    part.plots.append(Plot("soak", f"Memory over {seconds / 60:.3g} minutes", "minutes", "MiB", shown))
    part.aims.append(
        Aim(
            f"memory in the soak of {seconds / 60:.3g} minutes: last quarter, of the second",
            _growth(points),
            AIM,
            least=False,
            reason=WHY,
        )
    )
    part.notes = notes(points)
    return part


def _many_layers(dataset: Path, folder: Path) -> Path:
    """A dataset with copies of all layers."""
    described = json.loads((dataset / FILE_NAME).read_text())
    layers = []
    for number, layer in product(range(_COPIES), described["dataLayers"]):
        name = f"{layer['name']}_{number}"
        shutil.copytree(dataset / layer["name"], folder / name, copy_function=os.link)
        layers.append({**layer, "name": name, "mags": [{"mag": [1, 1, 1], "path": f"./{name}/1"}]})
    (folder / FILE_NAME).write_text(json.dumps({**described, "dataLayers": layers}))
    return folder


def _paths(scale: Scale, chosen: random.Random) -> list[str]:
    """So many of everything: mostly chunks."""
    found = []
    for _ in range(_PATHS):
        name = f"{chosen.choice([*LAYERS])}_{chosen.randrange(_COPIES)}.zarr"
        kind = chosen.random()
        if kind < 0.05:
            found.append(chosen.choice([f"/v2/{name}/.zattrs", f"/v2/{name}/0/.zarray", f"/v3/{name}/zarr.json"]))
        else:
            side = BLOCK if kind < 0.85 else SHARD
            grid = [length // side for length in scale.size_xyz[::-1]]
            key = "/".join(str(chosen.randrange(length)) for length in grid)
            found.append(f"/v2/{name}/0/{key}" if side == BLOCK else f"/v3/{name}/0/c/{key}")
    return found


def notes(points: Sequence[tuple[float, float]]) -> list[str]:
    """What is said of RSS in MiB by minutes: whether it still rises, and by how much."""
    (early, before), (late, after) = _second_and_last(points)
    rise = (after - before) / (late - early) * 60
    said = (
        f"Memory still rises by {rise:.1f} MiB an hour (medians: {before:.1f} MiB in the second quarter, {after:.1f} in the last):"
        f" the aim is that this is at most {AIM - 1:.0%}, not that it is flat."
        if after > before
        else f"Memory does not rise from the second quarter to the last (medians: {before:.1f} and {after:.1f} MiB)."
    )
    return ["The first quarter fills the caches, which are bounded.", said, *([FREED] if after > before else [])]


def _second_and_last(points: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], tuple[float, float]]:
    """The medians of two quarters: minutes, MiB."""
    quarter = max(1, len(points) // 4)
    second, last = (
        (statistics.median(minute for minute, _ in part), statistics.median(mib for _, mib in part))
        for part in (points[quarter : 2 * quarter], points[-quarter:])
    )
    return second, last


def _growth(points: Sequence[tuple[float, float]]) -> float:
    (_, before), (_, after) = _second_and_last(points)
    return after / before


def _table(points: list[tuple[float, float]], requests: float) -> Table:
    quarter = max(1, len(points) // 4)
    quarters = [points[n * quarter : (n + 1) * quarter] or points[-1:] for n in range(4)]
    shown = [f"{statistics.median(mib for _, mib in part):.0f}" for part in quarters]
    most = max(mib for _, mib in points)
    head = ("requests", "at the start", "first quarter", "second", "third", "last", "most")
    return Table("RSS in MiB, medians", head, [[f"{requests:,.0f}", f"{points[0][1]:.0f}", *shown, f"{most:.0f}"]])
