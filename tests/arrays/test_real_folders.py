"""WEBKNOSSOS's own test data, every voxel, against tensorstore opened by a spec of this file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorstore as ts

from builders.foreign_layers import opened, read
from zarrlink.formats.datasource import FILE_NAME, parse_description

TESTDATA = Path(__file__).parents[3] / "shared" / "testdata"
# The order in which tensorstore shows the axes, to (c, z, y, x).
FOLDERS = {
    "simple_zarr_dataset": ("zarr", "color/1-1-1", {}, (0, 3, 2, 1), "uint8"),
    "simple_zarr3_dataset": ("zarr3", "color/1", {}, (0, 3, 2, 1), "uint8"),
    "simple_n5_dataset": ("n5", "color/1", {}, (0, 3, 2, 1), "uint32"),
    "simple_ng_dataset": ("neuroglancer_precomputed", "color", {"scale_index": 0}, (3, 2, 1, 0), "uint8"),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_every_voxel_of_a_real_folder(name: str) -> None:
    root = TESTDATA / name
    if not root.is_dir():
        pytest.skip(f"{root} is not there")
    driver, folder, more, turn, dtype = FOLDERS[name]
    (layer,) = parse_description((root / FILE_NAME).read_bytes()).layers
    array = opened(root, layer)

    spec = {"driver": driver, "kvstore": {"driver": "file", "path": f"{root / folder}/"}, **more}
    expected = ts.open(spec, read=True, open=True).result().read().result().transpose(turn)

    voxels = read(array, (0, 0, 0), layer.box.bottom_right)
    assert (array.stored.dtype, array.stored.channels, array.stored.shape) == (dtype, 3, (24, 24, 24))
    assert voxels.dtype == expected.dtype
    assert voxels.any()
    np.testing.assert_array_equal(voxels, expected)


def test_the_real_folders_hold_the_same_volume() -> None:
    volumes = []
    for name in FOLDERS:
        root = TESTDATA / name
        if not root.is_dir():
            pytest.skip(f"{root} is not there")
        (layer,) = parse_description((root / FILE_NAME).read_bytes()).layers
        volumes.append(read(opened(root, layer), (0, 0, 0), (24, 24, 24)))
    for volume in volumes[1:]:
        np.testing.assert_array_equal(volume, volumes[0])
