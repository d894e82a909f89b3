"""A dataset whose every answer is known, behind a door whose store can be made to fail; and how the answers are learnt."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

import numpy as np
from fastapi import FastAPI
from fastapi.responses import Response as HttpAnswer

from builders.door import NOW_MS, CountingSource, Door, door_to
from builders.foreign_datasets import shown
from builders.reading import chunk_positions, expected_level
from builders.wkw_files import Objects, Volume
from builders.zarr_readers import voxels_by_zarr
from faults.clients import Form
from faults.faulty import FaultySource, Shelf, described_bytes
from zarrlink.errors import ZarrlinkError
from zarrlink.formats.zarr_keys import Dialect, chunk_key
from zarrlink.geometry import Mag, Vec3
from zarrlink.http import found, problems
from zarrlink.http.message import Request
from zarrlink.http.webknossos_zarr import create_zarr_routes
from zarrlink.library import Library, Subject
from zarrlink.links.model import Link
from zarrlink.links.service import LinkRequest, create_link
from zarrlink.storage.interface import ByteSource

ONE, TWO = Mag(1, 1, 1), Mag(2, 2, 1)
# Of a level with more chunks than that some are asked for, by chance.
MOST_CHUNKS: Final = 150
SIDE: Final = 32
MOST_CLOSED: Final = 12
FRESHNESS_S: Final = 1.0
Answers = dict[str, bytes | None]
"""What each address must say, None for a 404."""
MAIN, PART, COARSE, TWIN = "", "part", "coarse", "twin"
"""Links to all of a dataset, to a box of some of its layers, to its coarser mag, and to a dataset with files of the same names."""
LINK_END: Final = "|"
Volumes = dict[str, dict[Mag, Volume]]
"""Of each layer and mag, (z, y, x[, c]) from the world's `top_left` on."""


def prefix_of(link: str) -> str:
    return f"{link}{LINK_END}" if link else ""


@dataclass
class World:
    """A door over sources that fail. `versions`: what may lie in the store, one at a time; of `answers` the one is right
    that belongs to the version. What is missing there is of another geometry than the link: nobody may be shown it.
    `links`: all that are read, on one library; an address begins with the name of its link (`MAIN`: with none), or is one
    below /data. `closed`: addresses of layers and mags that their link does not open. `direct`: all that is done for a reader
    is done in its own task, or in one that this has begun.
    """

    name: str
    door: Door
    sources: list[FaultySource]
    app: FastAPI
    shelf: Shelf | None
    versions: list[Objects]
    answers: list[Answers] = field(default_factory=list)
    forms: dict[str, Form] = field(default_factory=dict)
    present: int = 0
    links: dict[str, Link] = field(default_factory=dict)
    closed: list[str] = field(default_factory=list)
    direct: bool = True

    async def ask(self, method: str, below: str, headers: Mapping[bytes, bytes]) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of an address below the link, or below /data."""
        if below.startswith("/data/"):
            return await _ask_app(self.app, method, below)
        name, _, rest = below.rpartition(LINK_END)
        base = f"/zarr/{self.door.path.keys.token(self.links[name].id)}"
        response = await self.door.path.respond(Request(method, f"{base}/{rest}", headers))
        return response.status, response.text_headers(), response.body

    def fail(self, rate: float, faults: tuple[str, ...] | None = None) -> None:
        for source in self.sources:
            source.rate = rate
            source.faults = faults or source.faults

    @contextmanager
    def calm(self) -> Iterator[None]:
        """Nothing fails, but some is late, so that reads come in between one another."""
        before = [(source.rate, source.faults) for source in self.sources]
        for source in self.sources:
            source.rate, source.faults = 0.5, ("late",)
        try:
            yield
        finally:
            for source, (rate, faults) in zip(self.sources, before, strict=True):
                source.rate, source.faults = rate, faults

    @property
    def touched(self) -> bool:
        """Whether something that is remembered may be of bytes that were flipped on their way."""
        return any(source.touched for source in self.sources)

    def twins(self, address: str) -> list[str]:
        """The same address below every link."""
        rest = address.rpartition(LINK_END)[2]
        prefixes = [prefix_of(name) for name in self.links]
        return [prefix + rest for prefix in prefixes if prefix + rest in self.answers[self.present]]

    def show(self, version: int) -> None:
        """Have another version in the store, from this moment on."""
        if self.shelf is not None:
            self.shelf.exchange(self.versions[version])
        self.present = version

    def forget(self) -> None:
        """As if the process had just begun: nothing is remembered."""
        old = self.door.library
        new = Library(
            old._catalogue,
            old._open_source,
            monotonic=old._monotonic,
            freshness_s=old._freshness_s,
            annotations=old._annotations,
        )
        # What holds the old one is given all that is the new one's.
        old.__dict__.update(new.__dict__)
        for source in self.sources:
            source.touched.clear()


async def _ask_app(app: FastAPI, method: str, path: str) -> tuple[int, dict[str, str], bytes]:
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path,
        "raw_path": path.encode(), "query_string": b"", "headers": [], "scheme": "http", "root_path": "",
        "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 9),
    }  # fmt: skip
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, b"".join(message.get("body", b"") for message in sent[1:])


def webknossos_app(door: Door) -> FastAPI:
    """The routes of the WEBKNOSSOS dialect, open to whoever asks."""
    app = FastAPI()
    app.include_router(create_zarr_routes(door.library))
    app.dependency_overrides[found._streamed_dataset] = lambda: door.subject
    app.dependency_overrides[found._streamed_annotation] = lambda: door.subject

    async def failed(_: Any, error: Exception) -> HttpAnswer:
        return HttpAnswer(str(error), problems.problem_of(error).status)

    app.add_exception_handler(ZarrlinkError, failed)
    return app


# --- how a world is made ---


@dataclass(frozen=True)
class Other:
    """A second dataset on the same library, whose files have the same names: what lies there, and what it shows."""

    objects: Objects
    volumes: Volumes


def stored_world(name: str, versions: list[Objects], expected: list[Volumes], random: Random, *, top_left: Vec3 = (0, 0, 0),
                 painted: Objects | None = None, wishes: Mapping[str, LinkRequest] | None = None,
                 twin: Other | None = None) -> World:  # fmt: skip
    """`expected`: of the first versions. `wishes`: of further links to the same dataset (annotation), by name."""
    shelf = Shelf(versions[0])
    lengths = {key: described_bytes(key, data) for version in versions for key, data in version.items()}
    sources = [FaultySource(shelf, random, lambda key: lengths.get(key, 0))]
    over: ByteSource | None = None
    if painted is not None:
        sources.append(_source_of(painted, "memory/annotation", random))
        over = sources[1]
    door = door_to(sources[0], painted=over, freshness_s=FRESHNESS_S)
    world = World(name, door, sources, webknossos_app(door), shelf, versions)
    world.links = {MAIN: door.link}
    for wished, wish in (wishes or {}).items():
        add_link(world, wished, door.subject, wish)
    if twin is not None:
        sources.append(_source_of(twin.objects, "memory/twin", random))
        door.places["memory/twin"] = CountingSource(sources[-1])
        subject = Subject(door.catalogue.register("twin", "memory/twin", NOW_MS))
        add_link(world, TWIN, subject, LinkRequest())
    asyncio.run(learn(world, expected, top_left, random, {} if twin is None else twin.volumes))
    return world


def _source_of(objects: Objects, name: str, random: Random) -> FaultySource:
    lengths = {key: described_bytes(key, data) for key, data in objects.items()}
    return FaultySource(Shelf(objects, name), random, lambda key: lengths.get(key, 0))


def add_link(world: World, name: str, subject: Subject, wish: LinkRequest) -> None:
    door = world.door
    made = create_link(door.library, door.links, subject, "ann", wish, door.clock.now_ms)
    world.links[name] = asyncio.run(made).link


async def learn(world: World, expected: list[Volumes], top_left: Vec3, random: Random, twin: Volumes) -> None:
    """What the addresses say while nothing fails, held against the volumes voxel by voxel."""
    addresses = await _addresses(world, random)
    for version, volumes in enumerate(expected):
        world.show(version)
        world.forget()
        answers = await ask_all(world, addresses)
        for name, link in world.links.items():
            for layer in link.view.layers:
                mags = (twin if name == TWIN else volumes)[layer]
                await _compare(world, name, layer, mags, answers, top_left)
        world.answers.append(answers)
    await _learn_closed(world)
    world.show(0)
    world.forget()


async def _learn_closed(world: World) -> None:
    """What a link does not open, of all that the main one does."""
    for name, link in world.links.items():
        prefix = prefix_of(name)
        if name in (MAIN, TWIN):
            continue
        for address in world.answers[0]:
            if LINK_END in address or address.startswith("/data/"):
                continue
            layer, _, key = address.partition("/")[2].partition(".zarr/")
            level = key.partition("/")[0]
            if layer not in link.view.layers or (level.isdigit() and int(level) >= await _levels(world, link, layer)):
                world.closed.append(prefix + address)
    # A few of each are enough: none of them may ever be answered.
    world.closed = world.closed[:: max(1, len(world.closed) // MOST_CLOSED)]


async def _levels(world: World, link: Link, layer: str) -> int:
    return len((await world.door.library.layer(link.view, layer)).layer.levels)


async def _addresses(world: World, random: Random) -> list[str]:
    """Documents, chunks and shards by every link, and those of the WEBKNOSSOS dialect; of large levels a part."""
    addresses = []
    for link in world.links:
        addresses += await _addresses_by(world, link, random)
    for name in world.door.link.view.layers:
        layer = (await world.door.library.layer(world.door.link.view, name)).layer
        for level in layer.levels if not layer.leading else ():
            ends = [-(-end // SIDE) for end in level.box_end]
            if max(ends) > 4:
                continue
            for x, y, z in itertools.product(*(range(end) for end in ends)):
                root = "annotations/zarr" if world.door.subject.annotation else "zarr"
                address = f"/data/{root}/{'a' * 24}/{name}/{level.mag.literal}/0.{x}.{y}.{z}"
                addresses.append(address)
                world.forms[address] = Form(0, SIDE**3 * layer.channels * layer.item_bytes, blosc=False)
    return addresses


async def _addresses_by(world: World, link: str, random: Random) -> list[str]:
    addresses, view = [], world.links[link].view
    for name in view.layers:
        opened = await world.door.library.layer(view, name)
        layer = opened.layer
        for dialect in ("v2", "v3"):
            root = f"{prefix_of(link)}{dialect}/{name}.zarr"
            addresses += [f"{root}/{key}" for key in opened.documents(dialect)]
            for number, level in enumerate(layer.levels):
                places = chunk_positions(layer, level, dialect)
                if len(places) > MOST_CHUNKS:
                    places = random.sample(places, MOST_CHUNKS)
                form = _form(layer, level, dialect)
                for place in places:
                    address = f"{root}/{chunk_key(dialect, number, place)}"
                    addresses.append(address)
                    world.forms[address] = form
    return addresses


def _form(layer: Any, level: Any, dialect: Dialect) -> Form:
    channels = level.chunk_channels or layer.channels
    chunk_bytes = int(np.prod(level.chunk)) * layer.item_bytes * channels
    inner = 0
    if dialect == "v3" and level.shard is not None:
        inner = int(np.prod([a // b for a, b in zip(level.shard, level.chunk, strict=True)]))
    blosc = (level.v2 if dialect == "v2" else level.v3) is None
    return Form(inner, chunk_bytes, blosc)


async def _compare(
    world: World, link: str, name: str, mags: dict[Mag, Volume], answers: Answers, top_left: Vec3
) -> None:
    """Hold the answers of a layer against its volumes: as zarr-python reads them, where all of a level was asked for."""
    opened = await world.door.library.layer(world.links[link].view, name)
    for number, level in enumerate(opened.layer.levels):
        corner = tuple(at // side for at, side in zip(top_left, level.mag.xyz, strict=True))
        volume = mags[level.mag]
        wanted = expected_level(volume, corner, level) if world.shelf else shown(opened.layer, level, volume)
        for dialect in ("v2", "v3"):
            places = chunk_positions(opened.layer, level, dialect)
            prefix = f"{prefix_of(link)}{dialect}/{name}.zarr/"
            objects = {
                key.removeprefix(prefix): data for key, data in answers.items() if key.startswith(prefix) and data
            }
            if any(f"{prefix}{chunk_key(dialect, number, place)}" not in answers for place in places):
                for place in places:
                    address = f"{prefix}{chunk_key(dialect, number, place)}"
                    if address not in answers:
                        _, _, data = reply = await world.ask("GET", address, {})
                        if reply[0] == 200:
                            objects[address.removeprefix(prefix)] = data
            np.testing.assert_array_equal(voxels_by_zarr(objects, dialect, str(number)), wanted, f"{prefix}{number}")


async def ask_all(world: World, addresses: list[str]) -> Answers:
    answers: Answers = {}
    for address in addresses:
        status, _, body = await world.ask("GET", address, {})
        if status not in (200, 404):
            raise AssertionError((world.name, address, status, body))
        answers[address] = body if status == 200 else None
    return answers
