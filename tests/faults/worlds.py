"""The worlds: each dataset, annotation or foreign folder that storms read."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from builders.door import door_to
from builders.foreign_arrays import BLOSC_V2, LITTLE, numbered, write_n5, write_precomputed, write_zarr2, write_zarr3
from builders.foreign_datasets import describe, entry
from builders.painted import REVERTED, PaintedLayer, annotation, painted_over
from builders.wkw_files import LayerFiles, Objects, Volume, dataset, noise, pyramid
from faults.faulty import FaultySource, described_bytes
from faults.world import (
    COARSE,
    FRESHNESS_S,
    MAIN,
    ONE,
    PART,
    TWIN,
    TWO,
    Other,
    Volumes,
    World,
    add_link,
    ask_all,
    learn,
    prefix_of,
    stored_world,
    webknossos_app,
)
from zarrlink.formats.wkw import BlockType
from zarrlink.geometry import BoundingBox, Vec3
from zarrlink.links.service import LinkRequest
from zarrlink.storage.files import LocalFiles


def wkw_world(seed: int = 1) -> World:
    """Compressed, raw, three channels, small values; a table far longer than a read; files that were never written; and
    two more versions, of which one has another geometry."""
    random = Random(seed)
    corner = (5, 0, 9)

    def volumes(seed: int) -> Volumes:
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

    def objects(of: Volumes, *, block_side: int = 8) -> Objects:
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

    def without(of: Volumes) -> Volumes:
        """With zeros for the files that were left out: voxels 32 to 64 of x and y, below 32 of z."""
        x, y, z = (32 - at for at in corner)
        for name in ("electrons", "raw"):
            volume = of[name][ONE] = of[name][ONE].copy()
            volume[:z, y : y + 32, x : x + 32] = 0
        return of

    first, second, third = volumes(1), volumes(2), volumes(7)
    twin = {name: third[name] for name in ("electrons", "raw")}
    wishes = {
        # Its first block is one where aligned runs along x are longer than along y: shards of 32 x 16 x 16 and 16 x 8 x 8.
        PART: LinkRequest(layers=("electrons", "segments"), box=BoundingBox((32, 16, 16), (40, 30, 24))),
        COARSE: LinkRequest(layers=("electrons",), finest=TWO),
    }
    stored, beside = [objects(first), objects(second)], Other(objects(twin), without(twin))
    half = {key: stored[random.randrange(2)][key] if key.endswith(".wkw") else data for key, data in stored[0].items()}
    other = objects(volumes(3), block_side=16)
    # What half of the files of each show is learnt, not known: every chunk is of one file.
    world = stored_world("wkw", [*stored, half, other], [without(first), without(second)], random, top_left=corner,
                         wishes=wishes, twin=beside)  # fmt: skip
    whole = world.answers
    for version in (2, 3):
        world.show(version)
        world.forget()
        # Nobody holds metadata of the WEBKNOSSOS dialect by a link: whoever asks is given what is there.
        always = ("/data/", prefix_of(TWIN))
        asked = [address for address in whole[0] if version == 2 or address.startswith(always)]
        answers = asyncio.run(ask_all(world, asked))
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
    wishes = {PART: LinkRequest(layers=("electrons",), box=BoundingBox((16, 16, 8), (20, 14, 20)), finest=TWO)}
    return stored_world("small", [dataset(*layers)], [dict(volumes)], Random(seed), top_left=corner, wishes=wishes)


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

    def version(seed: int) -> tuple[Objects, Volumes]:
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
    wishes = {PART: LinkRequest(layers=("alone", "cells"), box=BoundingBox((16, 8, 8), (19, 30, 9)))}
    return stored_world("annotation", [objects for objects, _ in versions], [seen for _, seen in versions], random,
                        painted=painted, wishes=wishes)  # fmt: skip


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
    door = door_to(source, freshness_s=FRESHNESS_S, wish=LinkRequest())
    world = World("foreign", door, [source], webknossos_app(door), None, [{}], direct=False)
    world.links = {MAIN: door.link}
    add_link(world, PART, door.subject, LinkRequest(("blosc", "bzip"), BoundingBox((5, 8, 8), (20, 16, 11))))
    volumes = {name: {ONE: data} for name in ("blosc", "bzip", "shards", "old", "pre")}
    asyncio.run(learn(world, [volumes], (0, 0, 0), random, {}))
    return world
