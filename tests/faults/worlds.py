"""Datasets whose every answer is known, each behind a door whose store can be made to fail."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

import numpy as np
from fastapi import FastAPI
from fastapi.responses import Response as HttpAnswer

from builders.door import Door, door_to
from builders.foreign_arrays import BLOSC_V2, LITTLE, numbered, write_n5, write_precomputed, write_zarr2, write_zarr3
from builders.foreign_datasets import describe, entry, shown
from builders.painted import REVERTED, PaintedLayer, annotation, painted_over
from builders.reading import chunk_positions, expected_level
from builders.wkw_files import LayerFiles, Objects, Volume, dataset, noise, pyramid
from builders.zarr_readers import voxels_by_zarr
from faults.clients import Form
from faults.faulty import FaultySource, Shelf, described_bytes
from zarrlink.errors import ZarrlinkError
from zarrlink.formats.wkw import BlockType
from zarrlink.formats.zarr_keys import Dialect, chunk_key
from zarrlink.geometry import Mag, Vec3
from zarrlink.http import found, problems
from zarrlink.http.message import Request
from zarrlink.http.webknossos_zarr import create_zarr_routes
from zarrlink.library import Library
from zarrlink.links.service import LinkRequest
from zarrlink.storage.files import LocalFiles
from zarrlink.storage.interface import ByteSource

ONE, TWO = Mag(1, 1, 1), Mag(2, 2, 1)
# Of a level with more chunks than that some are asked for, by chance.
MOST_CHUNKS: Final = 150
SIDE: Final = 32
Answers = dict[str, bytes | None]
"""What each address must say, None for a 404."""


@dataclass
class World:
    """A door over sources that fail. `versions`: what may lie in the store, one at a time; of `answers` the one is right
    that belongs to the version. What is missing there is of another geometry than the link: nobody may be shown it.
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

    async def ask(self, method: str, below: str, headers: Mapping[bytes, bytes]) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of an address below the link, or below /data."""
        if below.startswith("/data/"):
            return await _ask_app(self.app, method, below)
        response = await self.door.path.respond(Request(method, f"{self.door.base}/{below}", headers))
        return response.status, response.text_headers(), response.body

    def fail(self, rate: float, faults: tuple[str, ...] | None = None) -> None:
        for source in self.sources:
            source.rate = rate
            source.faults = faults or source.faults

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


# --- the worlds ---


def stored_world(name: str, versions: list[Objects], expected: list[dict[str, dict[Mag, Volume]]], random: Random,
                 *, top_left: Vec3 = (0, 0, 0), painted: Objects | None = None) -> World:  # fmt: skip
    """`expected`: of the first versions the volumes of their layers, (z, y, x[, c]) from `top_left` on."""
    shelf = Shelf(versions[0])
    lengths = {key: described_bytes(key, data) for version in versions for key, data in version.items()}
    sources = [FaultySource(shelf, random, lambda key: lengths.get(key, 0))]
    over: ByteSource | None = None
    if painted is not None:
        own = {key: described_bytes(key, data) for key, data in painted.items()}
        sources.append(FaultySource(Shelf(painted, "memory/annotation"), random, lambda key: own.get(key, 0)))
        over = sources[1]
    door = door_to(sources[0], painted=over, freshness_s=1.0)
    world = World(name, door, sources, webknossos_app(door), shelf, versions)
    asyncio.run(_learn(world, expected, top_left, random))
    return world


async def _learn(world: World, expected: list[dict[str, dict[Mag, Volume]]], top_left: Vec3, random: Random) -> None:
    """What the addresses say while nothing fails, held against the volumes voxel by voxel."""
    addresses = await _addresses(world, random)
    for version, volumes in enumerate(expected):
        world.show(version)
        world.forget()
        answers = await _ask_all(world, addresses)
        for layer, mags in volumes.items():
            await _compare(world, layer, mags, answers, top_left)
        world.answers.append(answers)
    world.show(0)
    world.forget()


async def _addresses(world: World, random: Random) -> list[str]:
    """Documents, chunks and shards, and those of the WEBKNOSSOS dialect; of large levels a part."""
    addresses = []
    for name in world.door.link.view.layers:
        opened = await world.door.library.layer(world.door.link.view, name)
        layer = opened.layer
        for dialect in ("v2", "v3"):
            addresses += [f"{dialect}/{name}.zarr/{key}" for key in opened.documents(dialect)]
            for number, level in enumerate(layer.levels):
                places = chunk_positions(layer, level, dialect)
                if len(places) > MOST_CHUNKS:
                    places = random.sample(places, MOST_CHUNKS)
                form = _form(layer, level, dialect)
                for place in places:
                    address = f"{dialect}/{name}.zarr/{chunk_key(dialect, number, place)}"
                    addresses.append(address)
                    world.forms[address] = form
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


def _form(layer: Any, level: Any, dialect: Dialect) -> Form:
    channels = level.chunk_channels or layer.channels
    chunk_bytes = int(np.prod(level.chunk)) * layer.item_bytes * channels
    inner = 0
    if dialect == "v3" and level.shard is not None:
        inner = int(np.prod([a // b for a, b in zip(level.shard, level.chunk, strict=True)]))
    blosc = (level.v2 if dialect == "v2" else level.v3) is None
    return Form(inner, chunk_bytes, blosc)


async def _compare(world: World, name: str, mags: dict[Mag, Volume], answers: Answers, top_left: Vec3) -> None:
    """Hold the answers of a layer against its volumes: as zarr-python reads them, where all of a level was asked for."""
    opened = await world.door.library.layer(world.door.link.view, name)
    for number, level in enumerate(opened.layer.levels):
        corner = tuple(at // side for at, side in zip(top_left, level.mag.xyz, strict=True))
        volume = mags[level.mag]
        wanted = expected_level(volume, corner, level) if world.shelf else shown(opened.layer, level, volume)
        for dialect in ("v2", "v3"):
            places = chunk_positions(opened.layer, level, dialect)
            prefix = f"{dialect}/{name}.zarr/"
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
            np.testing.assert_array_equal(voxels_by_zarr(objects, dialect, str(number)), wanted, f"{name} {dialect}")


def wkw_world(seed: int = 1) -> World:
    """Compressed, raw, three channels, small values; a table far longer than a read; files that were never written; and
    two more versions, of which one has another geometry."""
    random = Random(seed)
    corner = (5, 0, 9)

    def volumes(seed: int) -> dict[str, dict[Mag, Volume]]:
        flat = np.kron(noise((9, 7, 5), "uint32", seed=seed) % 3, np.ones((8, 8, 8), "uint32")).astype("uint32")
        em = noise((70, 50, 40), seed=seed)
        em[:, :32] %= 7
        return {
            "electrons": pyramid(em, (ONE, TWO), corner),
            "raw": {ONE: noise((40, 70, 30), "uint16", seed=seed)},
            "colours": {ONE: noise((35, 20, 20), channels=3, seed=seed)},
            "segments": {ONE: flat[:38, :55, :70]},
            "wide": {ONE: noise((132, 40, 24), seed=seed) % 50},
        }

    def objects(of: dict[str, dict[Mag, Volume]], *, block_side: int = 8) -> Objects:
        kinds: dict[str, dict[str, Any]] = {
            "raw": {"block_type": BlockType.RAW},
            "segments": {"block_type": BlockType.LZ4HC, "category": "segmentation"},
            "wide": {"block_side": block_side // 2, "file_side": 32},
        }
        layers = [
            LayerFiles(name, mags, corner, **{"block_side": block_side, **kinds.get(name, {})})
            for name, mags in of.items()
        ]
        found = dataset(*layers)
        for key in [key for key in found if key.endswith("z0/y1/x1.wkw") and ("electrons/1" in key or "raw" in key)]:
            del found[key]
        return found

    def without(of: dict[str, dict[Mag, Volume]]) -> dict[str, dict[Mag, Volume]]:
        """With zeros for the files that were left out: voxels 32 to 64 of x and y, below 32 of z."""
        x, y, z = (32 - at for at in corner)
        for name in ("electrons", "raw"):
            volume = of[name][ONE] = of[name][ONE].copy()
            volume[:z, y : y + 32, x : x + 32] = 0
        return of

    first, second = volumes(1), volumes(2)
    stored = [objects(first), objects(second)]
    half = {key: stored[random.randrange(2)][key] if key.endswith(".wkw") else data for key, data in stored[0].items()}
    other = objects(volumes(3), block_side=16)
    # What half of the files of each show is learnt, not known: every chunk is of one file.
    world = stored_world("wkw", [*stored, half, other], [without(first), without(second)], random, top_left=corner)
    whole = world.answers
    for version in (2, 3):
        world.show(version)
        world.forget()
        # Nobody holds metadata of the WEBKNOSSOS dialect by a link: whoever asks is given what is there.
        asked = [address for address in whole[0] if version == 2 or address.startswith("/data/")]
        answers = asyncio.run(_ask_all(world, asked))
        for address, body in answers.items():
            if version == 2 and address in world.forms and not address.startswith("/data/"):
                assert body in (whole[0][address], whole[1][address]), address
        world.answers.append(answers)
    world.show(0)
    world.forget()
    return world


def small_world(seed: int = 4) -> World:
    """One layer in two mags and one of raw blocks, for stores that take milliseconds."""
    corner = (3, 0, 5)
    volumes = {
        "electrons": pyramid(noise((40, 36, 30), seed=seed) % 50, (ONE, TWO), corner),
        "raw": {ONE: noise((40, 20, 30), "uint16", seed=seed)},
    }
    kinds = {"electrons": BlockType.LZ4, "raw": BlockType.RAW}
    layers = [LayerFiles(name, mags, corner, block_type=kinds[name]) for name, mags in volumes.items()]
    return stored_world("small", [dataset(*layers)], [dict(volumes)], Random(seed), top_left=corner)


async def _ask_all(world: World, addresses: list[str]) -> Answers:
    answers: Answers = {}
    for address in addresses:
        status, _, body = await world.ask("GET", address, {})
        if status not in (200, 404):
            raise AssertionError((world.name, address, status, body))
        answers[address] = body if status == 200 else None
    return answers


def annotation_world(seed: int = 2) -> World:
    """Painted over a layer of the same blocks, over one of others, and over nothing."""
    random = Random(seed)
    size, side = (40, 40, 24), 8
    rng = np.random.default_rng(seed)

    def block(dtype: str) -> Volume:
        return rng.integers(1, 200, (side,) * 3).astype(dtype)

    places = [(x, y, z) for x in range(5) for y in range(5) for z in range(3)]

    def blocks(dtype: str) -> dict[Vec3, Volume | str]:
        chosen = random.sample(places, 30)
        kinds = [block(dtype) for _ in range(20)] + [np.zeros((side,) * 3, dtype)] * 5 + [REVERTED] * 5
        return dict(zip(chosen, kinds, strict=True))

    same, wide, alone = blocks("uint32"), blocks("uint64"), blocks("uint32")
    painted = annotation(
        PaintedLayer("cells", {ONE: same}, "segments"),
        PaintedLayer("large", {ONE: wide}, "segments", dtype="uint64"),
        PaintedLayer("alone", {ONE: alone}),
    )

    def version(seed: int) -> tuple[Objects, dict[str, dict[Mag, Volume]]]:
        below = noise(size, "uint32", seed=seed) % 1000
        layer = LayerFiles("segments", {ONE: below}, category="segmentation")
        seen = {
            "segments": below,
            "cells": painted_over(below, same, side, "uint32"),
            "large": painted_over(below, wide, side, "uint64"),
            "alone": painted_over(np.zeros_like(below), alone, side, "uint32"),
        }
        return dataset(layer), {name: {ONE: volume} for name, volume in seen.items()}

    versions = [version(1), version(2)]
    return stored_world("annotation", [objects for objects, _ in versions], [seen for _, seen in versions], random,
                        painted=painted)  # fmt: skip


def foreign_world(folder: Path, seed: int = 3) -> World:
    """Zarr v2 and v3, N5 and Precomputed: passed through and decoded."""
    random = Random(seed)
    size = (37, 29, 21)
    data = numbered(size[::-1], "uint16")
    gzip = {"name": "gzip", "configuration": {"level": 1}}
    write_zarr2(folder / "blosc/1", data, (8, 8, 16), compressor=BLOSC_V2)
    write_zarr2(folder / "bzip/1", data, (8, 8, 16), compressor={"id": "bz2", "level": 1}, fill_value=7)
    write_zarr3(folder / "shards/1", data, (8, 8, 16), codecs=[LITTLE, gzip], shard=(16, 16, 32))
    write_n5(folder / "old/1", data.T.copy(), (16, 8, 8))
    write_precomputed(folder / "pre", {"1": data.T[..., None].copy()}, chunk=(16, 8, 8))
    layers = [
        entry("blosc", "zarr", "uint16", size, order="zyx"),
        entry("bzip", "zarr", "uint16", size, order="zyx"),
        entry("shards", "zarr3", "uint16", size, order="zyx"),
        entry("old", "n5", "uint16", size, order="xyz"),
        entry("pre", "neuroglancerPrecomputed", "uint16", size),
    ]
    describe(folder, *layers)
    lengths = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    described = {key: described_bytes(key, path.read_bytes()) for key, path in lengths.items()}
    source = FaultySource(LocalFiles(folder), random, lambda key: described.get(key, 0))
    door = door_to(source, freshness_s=1.0, wish=LinkRequest())
    world = World("foreign", door, [source], webknossos_app(door), None, [{}])
    volumes = {name: {ONE: data} for name in ("blosc", "bzip", "shards", "old", "pre")}
    asyncio.run(_learn(world, [volumes], (0, 0, 0), random))
    return world
