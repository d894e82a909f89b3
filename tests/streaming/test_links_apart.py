"""Links of different boxes and mags to one dataset, read on one library: none is given what another opens."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from builders.door import Door, open_door
from builders.foreign_arrays import BLOSC_V2, numbered, write_zarr2
from builders.foreign_datasets import describe, door_on, entry, shown
from builders.reading import read_level
from builders.wkw_files import LayerFiles, dataset
from zarrlink.geometry import BoundingBox, Mag
from zarrlink.links.model import Link
from zarrlink.links.service import LinkRequest

ONE, TWO = Mag(1, 1, 1), Mag(2, 2, 2)
SIZE = (48, 40, 32)
# No voxel is zero, so that whatever shows through is seen.
VOLUMES = {ONE: numbered(SIZE[::-1], "uint16") | 1, TWO: numbered((16, 20, 24), "uint16", 1) | 1}
WISHES = {
    "all": LinkRequest(),
    "box": LinkRequest(("a",), BoundingBox((13, 8, 16), (20, 19, 9))),
    "coarse": LinkRequest(("a", "b"), BoundingBox((0, 16, 0), (30, 24, 16)), TWO),
}
ORDERS = list(itertools.permutations(WISHES, 2))


def wkw_door() -> Door:
    return open_door(dataset(LayerFiles("a", VOLUMES), LayerFiles("b", VOLUMES)))


def foreign_door(folder: Path) -> Door:
    for name in ("a", "b"):
        for mag, volume in VOLUMES.items():
            write_zarr2(folder / name / mag.literal, volume, (8, 8, 8), compressor=BLOSC_V2)
    layers = [
        entry(name, "zarr", "uint16", SIZE, order="zyx", mags={mag: f"{name}/{mag.literal}" for mag in VOLUMES})
        for name in ("a", "b")
    ]
    return door_on(describe(folder, *layers))


def assert_shown(door: Door, link: Link, wish: LinkRequest) -> None:
    """All that a link opens, voxel by voxel, and nothing else."""
    door.link = link
    mags = [mag for mag in VOLUMES if wish.finest is None or mag.x >= wish.finest.x]
    for name in wish.layers or ("a", "b"):
        layer = door.opened(name).layer
        assert [level.mag for level in layer.levels] == mags
        for number, level in enumerate(layer.levels):
            expected = shown(layer, level, VOLUMES[level.mag])
            box = wish.box or BoundingBox((0, 0, 0), SIZE)
            inside = box.in_mag(level.mag)
            assert (level.box_start, level.box_end) == (inside.top_left, inside.bottom_right)
            for dialect in ("v2", "v3"):
                np.testing.assert_array_equal(read_level(door, name, dialect, number), expected)
                grid = level.grid(dialect)[::-1]
                beyond = (grid[0], 0, 0)
                place = "/".join(map(str, beyond))
                key = f"{dialect}/{name}.zarr/{number}/{'c/' if dialect == 'v3' else ''}{place}"
                assert door.get(key).status == 404
        assert door.get(f"v2/{name}.zarr/{len(mags)}/0/0/0").status == 410
    for name in {"a", "b"} - set(wish.layers or ("a", "b")):
        assert door.get(f"v2/{name}.zarr/0/0/0/0").status == 410


@pytest.mark.parametrize("first, second", ORDERS)  # noqa: PT006
@pytest.mark.parametrize("form", ["wkw", "foreign"])
def test_a_link_is_given_nothing_of_another(form: str, first: str, second: str, tmp_path: Path) -> None:
    """In whatever order they are made and first read."""
    door = wkw_door() if form == "wkw" else foreign_door(tmp_path)
    links = {}
    for name in (first, second):
        door.make_link(WISHES[name])
        links[name] = door.link
    door.library._open.clear()
    for name in (second, first, second):
        assert_shown(door, links[name], WISHES[name])
