"""How the cost of a request grows: with files, jump tables, layers, links, and readers at once."""

from __future__ import annotations

import random
import resource
import statistics
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import servers
import wrk
from data import BLOCK, voxels
from grown import CHUNKS, KEYS, Origin, fill, new_link, origin, write_layer
from measure import Scale, interleaved, medians
from report import Aim, Part, Plot, Table
from serving import Case, copy_chunks

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from builders.moto_aws import moto_aws
from zarrlink.aws_tables import LINKS
from zarrlink.formats.wkw import BlockType
from zarrlink.links.dynamodb import DynamoLinks
from zarrlink.links.sqlite import SqliteLinks
from zarrlink.sqlite_file import SqliteFile

LINKS_AIM, TAIL_AIM = 1.1, 10.0
TAIL_AT = 16
WHY_LINKS = (
    "a look-up goes down two B-trees, of ids and of rows, which are deeper and no longer in the processor's cache: alone it takes"
    " 6.9 us instead of 5.7, with the pages in SQLite's own cache; nothing grows with the rows but that"
)
WHY_TAIL = "the column of nginx says what the machine itself does to a request: readers, server and whatever else runs share two cores"
_FULL = {
    "files": (1, 64, 4096),
    "table": (1, 8, 32, 64),
    "layer": (256, 4096, 65536, 1048576),
    "links": (10, 1_000, 1_000_000),
    "readers": (1, 4, TAIL_AT, 64, 256, 1000),
}
_QUICK = {"files": (1, 8), "table": (1, 8), "layer": (256, 4096), "links": (10, 1000), "readers": (1, TAIL_AT)}


def run(dataset: Path, scale: Scale) -> Part:
    steps = _FULL if scale.seconds > 1 else _QUICK
    part = Part(
        "How cost grows",
        "The data path in this process, without sockets, v2 chunks of 32^3 in 32 grey levels, files in the page cache, all in turns:"
        f" us of CPU time a request, medians of {scale.rounds} rounds. Readers at once: `zarrlink serve` under `wrk`.",
    )
    block = np.ascontiguousarray(voxels(dataset, "grey32")[:BLOCK, :BLOCK, :BLOCK]).tobytes()
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for unit, made in (
            ("files", _of_files(folder / "files", block, steps["files"])),
            ("blocks in a jump table", _of_tables(folder / "tables", block, steps["table"])),
            ("voxels along each axis", _of_layers(folder / "layers", block, steps["layer"])),
            ("links (SQLite)", _of_links(folder / "links", block, steps["links"])),
        ):
            table, plot, aims = _measured(unit, made, scale)
            part.tables.append(table)
            part.plots.append(plot)
            part.aims += aims
        part.tables.append(_dynamodb(folder / "dynamodb", block, steps["links"][:2]))
        part.tables.append(_reads(folder / "reads", block))
        table, plot, aim = _readers(dataset, steps["readers"], scale, folder)
    part.tables.append(table)
    part.plots.append(plot)
    part.aims.append(aim)
    part.notes = [
        "Files, tables, layers: each has 64 chunks or more that hold something, and these are asked for, at random.",
        "Links: each request comes by one of at most 1000 links, chosen at random among all.",
        "Requests to DynamoDB were counted at botocore's client, with moto behind it.",
        "Requests to the source are what S3 would be asked, counted where the library calls its `ByteSource`.",
    ]
    return part


# The origins of each size, with tokens and keys to ask for.
Made = dict[int, tuple[Origin, list[str], list[str]]]


def _of_files(folder: Path, block: bytes, counts: Sequence[int]) -> Made:
    made = {}
    for count in counts:
        side = round(count ** (1 / 3))
        places = [(n % side, n // side % side, n // side**2) for n in range(count)]
        keys = write_layer(folder / str(count), block, places, file_side=2)
        one = origin(folder / str(count))
        made[count] = one, [KEYS.token(new_link(one).id)], keys
    return made


def _of_tables(folder: Path, block: bytes, sides: Sequence[int]) -> Made:
    made = {}
    for side in sides:
        # As many chunks in all of them: those of small files lie in several.
        places = [(n, 0, 0) for n in range(max(1, CHUNKS // side**3))]
        keys = write_layer(folder / str(side), block, places, file_side=side)
        one = origin(folder / str(side))
        made[side**3] = one, [KEYS.token(new_link(one).id)], keys
    return made


def _of_layers(folder: Path, block: bytes, sides: Sequence[int]) -> Made:
    made = {}
    for side in sides:
        keys = write_layer(folder / str(side), block, [(0, 0, 0)], file_side=8, side=side)
        one = origin(folder / str(side))
        made[side] = one, [KEYS.token(new_link(one).id)], keys
    return made


def _of_links(folder: Path, block: bytes, counts: Sequence[int]) -> Made:
    keys = write_layer(folder / "data", block, [(0, 0, 0)], file_side=8)
    made = {}
    for count in counts:
        state = folder / f"{count}.sqlite"
        links = SqliteLinks(SqliteFile(state))
        one = origin(folder / "data", links)
        ids = fill(state, new_link(one).id, count)
        chosen = random.Random(7).sample(ids, min(1000, count))
        made[count] = one, [KEYS.token(link_id) for link_id in chosen], keys
    return made


def _measured(unit: str, made: Made, scale: Scale) -> tuple[Table, Plot, list[Aim]]:
    calls = max(64, scale.calls // 4)
    for one, tokens, keys in made.values():
        one.ask(tokens, keys, calls)
        one.timed()
    rounds = interleaved({str(count): one.timed for count, (one, _, _) in made.items()}, scale.rounds)
    us = medians(rounds)
    first, *_, last = us
    rows = [
        [f"{int(count):,}", f"{spent:.1f}", f"{spent / us[first]:.2f}", f"{min(rounds[count]):.1f}"]
        for count, spent in us.items()
    ]
    table = Table(f"{unit}: us of CPU a request", (unit, "us", "of the first", "best round"), rows)
    points = [(float(count), spent) for count, spent in us.items()]
    name = unit.split(maxsplit=1)[0]
    plot = Plot(f"growth-{name}", f"Cost of a request by {unit}", unit, "us of CPU", {"v2 chunk 32^3": points}, log="x")
    if not unit.startswith("links"):
        return table, plot, []
    ratio = us[last] / us[first]
    what = f"a request with {int(last):,} links, of one with {int(first):,}"
    return table, plot, [Aim(what, ratio, LINKS_AIM, least=False, reason=WHY_LINKS)]


class _Counting:
    """A client of DynamoDB, and how often it is called."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.calls = 0

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self._client, name)

        def counted(**request: Any) -> Any:
            self.calls += 1
            return call(**request)

        return counted


def _dynamodb(folder: Path, block: bytes, counts: Sequence[int]) -> Table:
    keys = write_layer(folder, block, [(0, 0, 0)], file_side=8)
    rows = []
    with moto_aws() as aws:
        for count in counts:
            client = _Counting(aws.client("dynamodb"))
            links = DynamoLinks(client, aws.new_table(LINKS))
            one = origin(folder, links)
            link = new_link(one)
            ids = [link.id, *(f"{random.Random(n).getrandbits(96):024x}"[:16] for n in range(count - 1))]
            for copy in ids[1:]:
                links.add(replace(link, id=copy))
            one.ask([KEYS.token(link_id) for link_id in ids], keys, 64)
            one.timed()
            client.calls = 0
            one.timed()
            rows.append([f"{count:,}", f"{client.calls / 64:.2f}"])
    return Table("links (DynamoDB): its requests a request", ("links", "requests to DynamoDB"), rows)


def _reads(folder: Path, block: bytes) -> Table:
    """Requests to the source of a chunk: from nothing, with the layer open, and again."""
    rows = []
    for stored in (BlockType.LZ4HC, BlockType.RAW):
        place = folder / stored.name
        write_layer(place, block, [(0, 0, 0)], file_side=32, block_type=stored)
        for dialect, key, what in (("v2", "0/0/0/0", "v2 chunk 32^3"), ("v3", "0/c/0/0/0", "v3 shard 128^3")):
            one = origin(place)
            one.ask([KEYS.token(new_link(one).id)], [key], 1, dialect)
            name = f"{what}, {'raw' if stored is BlockType.RAW else 'LZ4'} blocks"
            rows.append([name, *map(str, one.reads())])
    head = ("asked for", "nothing known", "layer open, file new", "known (warm)")
    return Table("Requests to the source", head, rows)


def _readers(dataset: Path, counts: Sequence[int], scale: Scale, folder: Path) -> tuple[Table, Plot, Aim]:
    # wrk and the servers hold a file for each connection.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 4096), hard), hard))
    rows: list[list[str]] = []
    tails: dict[str, list[tuple[float, float]]] = {"p50": [], "p99": [], "p50 of nginx": [], "p99 of nginx": []}
    found_ratio = 0.0
    case = Case("grey32", "v2", 1)
    grid = case.grid(scale.size_xyz)
    with ExitStack() as running:
        link = running.enter_context(servers.zarrlink_serve(dataset, folder / "readers.sqlite"))
        copy_chunks(link, case.keys(scale.size_xyz), folder / "chunks")
        static = running.enter_context(servers.nginx(folder / "chunks", folder))
        for count in counts:
            # A thousand connections take their time to be made.
            seconds = max(scale.seconds, count // 100)
            loads = {
                server.name: wrk.random_chunks(server, case.path, grid, concurrency=count, seconds=seconds)
                for server in (link, static)
            }
            samples = interleaved(loads, scale.rounds)
            ours, theirs = (wrk.median(samples[server.name]) for server in (link, static))
            ratio, static_ratio = (_tail(samples[server.name]) for server in (link, static))
            if count == TAIL_AT:
                found_ratio = ratio
            for name, ms in zip(tails, (ours.p50_ms, ours.p99_ms, theirs.p50_ms, theirs.p99_ms), strict=True):
                tails[name].append((float(count), ms))
            shown = [f"{ours.p50_ms:.2f}", f"{ours.p99_ms:.2f}", f"{ratio:.1f}", f"{static_ratio:.1f}"]
            rows.append([f"{count:,}", f"{ours.rate:.0f}", *shown, f"{ours.cpu_ms * 1000:.0f}"])
    head = ("readers", "requests/s", "p50 ms", "p99 ms", "p99 / p50", "nginx's p99 / p50", "CPU us")
    table = Table("Readers at once, v2 chunks 32^3", head, rows)
    plot = Plot("growth-readers", "Latency by readers at once", "readers", "ms", tails, log="xy")
    aim = Aim(f"p99 over p50 at {TAIL_AT} readers", found_ratio, TAIL_AIM, least=False, reason=WHY_TAIL)
    return table, plot, aim


def _tail(samples: Sequence[wrk.Sample]) -> float:
    """p99 over p50, the median of rounds."""
    return statistics.median(sample.p99_ms / sample.p50_ms for sample in samples)
