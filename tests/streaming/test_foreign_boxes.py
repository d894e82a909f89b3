"""Links to a part of a foreign layer: inside is what is stored, and nothing of the outside is ever sent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders.door import Door
from builders.foreign_arrays import (
    BLOSC_V2,
    LITTLE,
    numbered,
    write_n5,
    write_precomputed,
    write_zarr2,
    write_zarr3,
)
from builders.foreign_datasets import ONE, assert_served, beyond, describe, door_on, entry
from zarrlink.decoded_chunks import DecodedChunks
from zarrlink.geometry import BoundingBox, Mag, VoxelSize
from zarrlink.layer import Coding, Layer, LeadingAxis, Level
from zarrlink.links.service import LinkRequest
from zarrlink.proxied_chunks import ProxiedChunks

TWO = Mag(2, 2, 1)
SIZE = (48, 40, 24)
MAGS = {ONE: (24, 40, 48), TWO: (24, 20, 24)}
ZSTD = {"name": "zstd", "configuration": {"level": 1, "checksum": False}}
NAMES = ("v2", "v3", "sharded", "n5", "precomputed", "channels")
CORNER = (-5, 3, 16)


def stored_mags(name: str) -> dict[Mag, np.ndarray]:
    front = (2,) if name == "channels" else ()
    # No voxel is zero, so that whatever shows through is seen.
    return {mag: numbered((*front, *shape), "uint16", number) | 1 for number, (mag, shape) in enumerate(MAGS.items())}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A layer of two mags in every format; the Precomputed one starts elsewhere."""
    home = tmp_path_factory.mktemp("boxes")
    layers = []
    for name in NAMES:
        for mag, data in stored_mags(name).items():
            place = home / name / mag.literal
            match name:
                case "v2":
                    write_zarr2(place, data, (8, 8, 8), compressor=BLOSC_V2)
                case "v3":
                    write_zarr3(place, data, (8, 10, 12) if mag == ONE else (8, 8, 8), codecs=[LITTLE, ZSTD])
                case "sharded":
                    write_zarr3(place, data, (4, 4, 4), shard=(8, 8, 8), codecs=[LITTLE, ZSTD])
                case "channels":
                    write_zarr2(place, data, (1, 8, 8, 8))
                case "n5":
                    write_n5(place, np.ascontiguousarray(data.T), (8, 8, 8))
        if name == "precomputed":
            first, second = (data.T[..., None] for data in stored_mags(name).values())
            write_precomputed(home / name, {ONE.literal: first}, offset=CORNER, chunk=(8, 8, 8))
            write_precomputed(home / f"{name}2", {TWO.literal: second}, offset=(-2, 2, 16), chunk=(6, 8, 8))
        form = {"v2": "zarr", "channels": "zarr", "n5": "n5", "precomputed": "neuroglancerPrecomputed"}.get(
            name, "zarr3"
        )
        order = {"n5": "xyz", "channels": "czyx", "precomputed": None}.get(name, "zyx")
        mags = {mag: f"{name}/{mag.literal}" for mag in MAGS}
        if name == "precomputed":
            mags[TWO] = f"{name}2/{TWO.literal}"
        corner = CORNER if name == "precomputed" else (0, 0, 0)
        channels = 2 if name == "channels" else 1
        layers.append(entry(name, form, "uint16", SIZE, corner=corner, order=order, mags=mags, numChannels=channels))
    return describe(home, *layers)


def assert_nothing_else(door: Door, name: str, offsets: dict[Mag, tuple[int, int, int]]) -> None:
    """Beyond the box no chunk holds a voxel that is stored."""
    for number, level in enumerate(door.opened(name).layer.levels):
        depth, height, width = MAGS[level.mag]
        last = [a + b for a, b in zip(offsets[level.mag], (width, height, depth), strict=True)]
        for dialect in ("v2", "v3"):
            found = beyond(door, name, dialect, number)
            grids = np.meshgrid(*[np.arange(length) for length in found.shape[-3:]], indexing="ij")
            z, y, x = (grid + corner for grid, corner in zip(grids, level.origin[::-1], strict=True))
            in_box, is_stored = np.ones(x.shape, bool), np.ones(x.shape, bool)
            for axis, at in enumerate((x, y, z)):
                in_box &= (at >= level.box_start[axis]) & (at < level.box_end[axis])
                is_stored &= (at >= offsets[level.mag][axis]) & (at < last[axis])
            assert not found[..., is_stored & ~in_box].any(), (dialect, number)


@given(
    name=st.sampled_from(NAMES),
    corner=st.tuples(*[st.integers(-20, 50)] * 3),
    size=st.tuples(*[st.integers(1, 60)] * 3),
    grid=st.sampled_from([1, 1, 8]),
    coarser=st.booleans(),
)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_box_of_any_layer(folder: Path, name, corner, size, grid: int, *, coarser: bool) -> None:
    own = CORNER if name == "precomputed" else (0, 0, 0)
    box = BoundingBox(tuple(at // grid * grid for at in corner), tuple(-(-length // grid) * grid for length in size))
    if BoundingBox(own, SIZE).intersection(box) is None:
        return
    door = door_on(folder, most_bytes=2**20)
    door.make_link(LinkRequest(layers=(name,), box=box, finest=TWO if coarser else None))
    stored = stored_mags(name)
    offsets = {ONE: own, TWO: (-2, 2, 16) if name == "precomputed" else (0, 0, 0)}
    if name == "precomputed":
        assert_precomputed(door, stored, offsets)
    else:
        assert_served(door, name, stored)
    assert_nothing_else(door, name, offsets)


def assert_precomputed(door: Door, stored: dict[Mag, np.ndarray], offsets: dict[Mag, tuple[int, int, int]]) -> None:
    """Its mags start at voxels of their own."""
    from builders.foreign_datasets import shown
    from builders.reading import read_level_twice

    layer = door.opened("precomputed").layer
    for number, level in enumerate(layer.levels):
        expected = shown(layer, level, stored[level.mag], offset=offsets[level.mag])
        for dialect in ("v2", "v3"):
            np.testing.assert_array_equal(read_level_twice(door, "precomputed", dialect, number), expected)


@pytest.mark.parametrize(
    ("corner", "size", "kind"),
    [
        ((8, 16, 8), (16, 16, 16), ProxiedChunks),
        # Up to the end of what is stored.
        ((16, 16, 8), (32, 24, 16), ProxiedChunks),
        ((8, 16, 8), (16, 16, 15), DecodedChunks),
        ((9, 16, 8), (16, 16, 16), DecodedChunks),
        ((4, 16, 8), (16, 16, 16), DecodedChunks),
    ],
)
@pytest.mark.parametrize("name", ["v2", "sharded"])
def test_a_box_of_whole_chunks_is_passed_through(folder: Path, name: str, corner, size, kind: type) -> None:
    door = door_on(folder)
    door.make_link(LinkRequest(layers=(name,), box=BoundingBox(corner, size)))
    dialect = "v3" if name == "sharded" else "v2"
    assert isinstance(door.opened(name).chunks(dialect)[0], kind)
    assert_served(door, name, stored_mags(name))


def test_geometry_is_the_same_each_time_and_differs_where_a_reader_would_be_misled(folder: Path) -> None:
    doors = [door_on(folder) for _ in range(2)]
    prints = [{name: door.opened(name).fingerprint for name in NAMES} for door in doors]
    assert prints[0] == prints[1]
    assert len(set(prints[0].values())) == len(NAMES)
    cut = doors[0]
    cut.make_link(LinkRequest(box=BoundingBox((0, 8, 16), (16, 16, 8))))
    assert not {cut.opened(name).fingerprint for name in NAMES} & set(prints[0].values())


def test_fingerprints_are_what_they_were() -> None:
    """Links hold them: a change ends every link to a foreign layer."""
    level = Level(
        mag=ONE,
        box_start=(0, 0, 0),
        box_end=(9, 9, 9),
        origin=(0, 0, 0),
        chunk=(4, 4, 4),
        shard=(8, 8, 8),
        chunk_channels=1,
        v3=Coding('["x"]', "0"),
    )
    layer = Layer(
        name="a",
        category="color",
        element_class="uint8",
        dtype="uint8",
        item_bytes=1,
        channels=2,
        voxel_size=VoxelSize((1.0, 1.0, 1.0)),
        box=BoundingBox((0, 0, 0), (9, 9, 9)),
        origin=(0, 0, 0),
        levels=(level,),
        view={},
        notes=(),
        leading=(LeadingAxis("t", 1, 3),),
    )
    assert layer.fingerprint() == "8d4eb5afcc29e35dd92211"
