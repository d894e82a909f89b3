"""WEBKNOSSOS's own test data, every voxel through the door in both dialects, against readers opened here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tensorstore as ts

from builders.door import Door
from builders.foreign_datasets import door_on
from builders.reading import fetch_level, read_level_twice
from builders.wkw_files import read_by_reference
from zarrlink.formats.datasource import FILE_NAME

TESTDATA = Path(__file__).parents[3] / "shared" / "testdata"
# Driver, folder, more of the spec, and the order in which tensorstore shows the axes, to (c, z, y, x).
FOREIGN = {
    "simple_zarr_dataset": ("zarr", "color/1-1-1", {}, (0, 3, 2, 1)),
    "simple_zarr3_dataset": ("zarr3", "color/1", {}, (0, 3, 2, 1)),
    "simple_n5_dataset": ("n5", "color/1", {}, (0, 3, 2, 1)),
    "simple_ng_dataset": ("neuroglancer_precomputed", "color", {"scale_index": 0}, (3, 2, 1, 0)),
}
WKW = ["wkw_reference_raw", "wkw_reference_lz4", "wkw_reference_lz4hc"]


def real(name: str) -> Path:
    if not (TESTDATA / name).is_dir():
        pytest.skip(f"no real files: {TESTDATA / name} is not there")
    return TESTDATA / name


def in_box(door: Door, layer: str, dialect: str) -> np.ndarray:
    """The finest level within the layer's box; what lies before it is nothing."""
    level = door.opened(layer).layer.levels[0]
    found = read_level_twice(door, layer, dialect)
    box = (..., *(slice(a - o, None) for a, o in zip(level.box_start[::-1], level.origin[::-1], strict=True)))
    outside = found.copy()
    outside[box] = 0
    assert not outside.any()
    return found[box]


@pytest.mark.parametrize("name", FOREIGN)
def test_zarr_n5_and_precomputed(name: str) -> None:
    folder = real(name)
    driver, below, more, turn = FOREIGN[name]
    spec = {"driver": driver, "kvstore": {"driver": "file", "path": f"{folder / below}/"}, **more}
    expected = ts.open(spec, read=True, open=True).result().read().result().transpose(turn)
    door = door_on(folder)
    assert expected.any()
    for dialect in ("v2", "v3"):
        found = in_box(door, "color", dialect)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected, err_msg=dialect)


def test_wkw_holds_the_same_volume() -> None:
    door = door_on(real("simple_wkw_dataset"))
    expected = read_by_reference(TESTDATA / "simple_wkw_dataset/color/1", (0, 0, 0), (24, 24, 24))
    for dialect in ("v2", "v3"):
        np.testing.assert_array_equal(in_box(door, "color", dialect), np.moveaxis(expected, 3, 0))


@pytest.mark.parametrize("name", WKW)
def test_reference_wkw(name: str) -> None:
    folder = real(name)
    door = door_on(folder)
    for layer in door.link.view.layers:
        expected = np.load(folder / f"{layer}_expected_cxyz.npy").transpose(0, 3, 2, 1)
        for dialect in ("v2", "v3"):
            found = in_box(door, layer, dialect)
            np.testing.assert_array_equal(found if found.ndim == 4 else found[None], expected)


def test_a_dataset_of_which_there_are_only_headers() -> None:
    """Voxels that were never written, under all the properties that a description can have.

    The layers say 1024^3 voxels: what a reader would ask for is asked for, and nobody paints gigabytes of nothing.
    """
    folder = real("complex_property_ds")
    door = door_on(folder)
    described = {layer["name"]: layer for layer in json.loads((folder / FILE_NAME).read_text())["dataLayers"]}
    assert set(door.link.view.layers) == set(described)
    for name in described:
        layer = door.opened(name).layer
        assert [level.mag.literal for level in layer.levels] == ["1"]
        assert layer.levels[0].shape == (1024, 1024, 1024)
        for dialect in ("v2", "v3"):
            objects = fetch_level(door, name, dialect)
            assert set(objects) == set(door.opened(name).documents(dialect)), "there is no chunk with voxels"
