"""A ZIP of TIFFs: every pixel by readers that are not ours, and what ImageJ asks of a file."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import zipfile
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from builders.export_runs import SMALL, ArrayVolume, export, make_spec, random_voxels
from zarrlink.exports.stack_plan import StackPlan
from zarrlink.geometry import BoundingBox, Mag, VoxelSize

BOX = BoundingBox((13, 27, 98), (301, 229, 11))
DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "float32")
# Types that Pillow has words for.
BY_PILLOW = ("uint8", "uint16", "int16", "float32")


def stack(path: Path, dtype: str, channels: int = 1, **changes: Any) -> tuple[StackPlan, np.ndarray]:
    mag = changes.get("mag", Mag(1, 1, 1))
    inside = BOX.in_mag(mag)
    voxels = random_voxels((channels, *inside.size[::-1]), dtype)
    spec = make_spec(BOX, dtype, channels=channels, kind="tiff_stack", **changes)
    plan = export(spec, ArrayVolume(voxels, inside.top_left), path)
    assert isinstance(plan, StackPlan)
    return plan, voxels


@pytest.mark.parametrize(("dtype", "channels", "mag"), list(product(DTYPES, (1, 3), ("1", "2-2-1"))))
def test_every_plane_is_equal(dtype: str, channels: int, mag: str, tmp_path: Path) -> None:
    plan, voxels = stack(tmp_path / "a.zip", dtype, channels, mag=Mag.parse(mag))
    assert plan.units > 1 or mag != "1"
    with zipfile.ZipFile(tmp_path / "a.zip") as packed:
        assert packed.testzip() is None
        for z, channel in product(range(plan.box.size[2]), range(channels)):
            data = packed.read(plan.file_name(z, channel))
            np.testing.assert_array_equal(tifffile.imread(io.BytesIO(data)), voxels[channel, z])
            if dtype in BY_PILLOW:
                np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), voxels[channel, z])


def test_colour_planes_are_colour_pictures(tmp_path: Path) -> None:
    plan, voxels = stack(tmp_path / "a.zip", "uint8", 3, is_rgb=True, compression="none")
    with zipfile.ZipFile(tmp_path / "a.zip") as packed:
        image = Image.open(io.BytesIO(packed.read(plan.file_name(4, 0))))
        assert image.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(image), np.moveaxis(voxels[:, 4], 0, -1))


@pytest.mark.parametrize("dtype", DTYPES)
def test_files_are_what_imagej_opens(dtype: str, tmp_path: Path) -> None:
    """ImageJ 1.52i: no tiles, no predictor, no BigTIFF, no signed bytes; calibrated by its own description."""
    plan, _ = stack(tmp_path / "a.zip", dtype, voxel_size=VoxelSize((4.0, 8.0, 35.0)))
    with zipfile.ZipFile(tmp_path / "a.zip") as packed:
        data = packed.read(plan.file_name(0, 0))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        (page,) = file.pages
        tags = {tag.name: tag.value for tag in page.tags}
        assert data[2:4] == b"\x2a\0"
        assert not page.is_tiled
        assert "Predictor" not in tags
        assert tags["Compression"] == 8
        assert page.dtype != np.int8
        assert file.is_imagej
        assert file.imagej_metadata == {"ImageJ": "1.53t", "unit": "um", "spacing": 0.035}
        assert (tags["XResolution"], tags["YResolution"], tags["ResolutionUnit"]) == ((250, 1), (125, 1), 1)


def test_names_have_the_absolute_z_and_sort(tmp_path: Path) -> None:
    _plan, _ = stack(tmp_path / "a.zip", "uint8", 2, layer="em/é 1", mag=Mag(2, 2, 4))
    with zipfile.ZipFile(tmp_path / "a.zip") as packed:
        names = packed.namelist()
        told = json.loads(packed.read("metadata.json"))
    assert names[:3] == ["channel_0/em___1_z0096.tif", "channel_1/em___1_z0096.tif", "channel_0/em___1_z0100.tif"]
    assert names[-1] == "metadata.json"
    assert told["bounding_box_mag1"] == [12, 26, 96, 302, 230, 16]
    assert told["size"] == {"x": 151, "y": 115, "z": 4}
    assert told["layer"] == "em/é 1"
    assert told["channels"][1]["last"] == "channel_1/em___1_z0108.tif"


def test_padded_parts_leave_no_gap_in_the_zip(tmp_path: Path) -> None:
    """As S3 asks for them: the padding is inside of each part's last file."""
    plan, voxels = stack(tmp_path / "a.zip", "uint8", limits=replace(SMALL, least_part=2**18))
    assert plan.units > 1
    with zipfile.ZipFile(tmp_path / "a.zip") as packed:
        entries = sorted(packed.infolist(), key=lambda entry: entry.header_offset)
        for entry, following in pairwise(entries):
            assert (
                entry.header_offset + 30 + len(entry.filename.encode()) + entry.compress_size == following.header_offset
            )
        planes = [tifffile.imread(io.BytesIO(packed.read(plan.file_name(z, 0)))) for z in range(11)]
    np.testing.assert_array_equal(np.stack(planes), voxels[0])


@pytest.mark.parametrize("program", ["unzip", "7z", "bsdtar"])
def test_other_programs_take_the_zip(program: str, tmp_path: Path) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    stack(tmp_path / "a.zip", "uint8", limits=replace(SMALL, least_part=2**18))
    options = {"unzip": ["-tq"], "7z": ["t"], "bsdtar": ["-tf"]}[program]
    subprocess.run([program, *options, str(tmp_path / "a.zip")], check=True, capture_output=True)


def test_long_strips_are_cut(tmp_path: Path) -> None:
    box = BoundingBox((0, 0, 0), (3000, 900, 2))
    voxels = random_voxels((1, 2, 900, 3000), "uint8")
    spec = make_spec(box, kind="tiff_stack", limits=replace(SMALL, slab=2**20, largest_slab=2**21))
    plan = export(spec, ArrayVolume(voxels), tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as packed:
        data = packed.read(plan.file_name(1, 0))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        assert len(file.pages[0].dataoffsets) == 3
        np.testing.assert_array_equal(file.asarray(), voxels[0, 1])


def test_the_same_stack_is_the_same_file(tmp_path: Path) -> None:
    stack(tmp_path / "one", "uint16")
    stack(tmp_path / "two", "uint16")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
