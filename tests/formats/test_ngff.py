"""OME-NGFF metadata, 0.4 and 0.5."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zarrlink.formats.ngff import Channel, Image, attributes_v04, attributes_v05, level_transformations
from zarrlink.geometry import LENGTH_UNITS, Mag, Vec3, VoxelSize

lengths = st.floats(0.01, 1000)
sides = st.integers(1, 64)
corners = st.integers(0, 2**20)


def image(**changed: Any) -> Image:
    facts: dict[str, Any] = {
        "name": "em",
        "voxel_size": VoxelSize((8.0, 9.0, 25.0)),
        "origin": (1024, 2048, 256),
        "mags": (Mag(1, 1, 1), Mag(2, 2, 1), Mag(4, 4, 2)),
        "channel_axis": False,
        "is_label": False,
        "channels": (),
        "default_z": 7,
        "provenance": {"note": "where it is from"},
    }
    return Image(**{**facts, **changed})


def scale_and_translation(shown: Image, mag: Mag) -> tuple[list[float], list[float]]:
    scale, translation = level_transformations(shown, mag)
    assert (scale["type"], translation["type"]) == ("scale", "translation")
    return scale["scale"], translation["translation"]


@given(st.tuples(lengths, lengths, lengths), st.tuples(corners, corners, corners), st.builds(Mag, sides, sides, sides))
def test_a_level_starts_at_the_centre_of_its_first_voxel(
    factor: tuple[float, float, float], origin: Vec3, mag: Mag
) -> None:
    scale, translation = scale_and_translation(image(voxel_size=VoxelSize(factor), origin=origin, mags=(mag,)), mag)
    for axis in range(3):
        zyx = 2 - axis
        assert scale[zyx] == pytest.approx(factor[axis] * mag.xyz[axis])
        # The mean of the mag-1 voxels that the first voxel covers.
        covered = range(origin[axis], origin[axis] + mag.xyz[axis])
        assert translation[zyx] == pytest.approx(sum(covered) / len(covered) * factor[axis])


@given(st.tuples(corners, corners, corners), st.builds(Mag, sides, sides, sides))
def test_the_outer_face_of_every_level_lies_at_one_place(origin: Vec3, mag: Mag) -> None:
    shown = image(origin=origin, mags=(Mag(1, 1, 1), mag))
    faces = []
    for level in shown.mags:
        scale, translation = scale_and_translation(shown, level)
        faces.append([start - side / 2 for side, start in zip(scale, translation, strict=True)])
    assert faces[0] == pytest.approx(faces[1])


def test_the_transformations_of_a_level_in_figures() -> None:
    scale, translation = scale_and_translation(image(), Mag(4, 4, 2))
    assert scale == [50.0, 36.0, 32.0]
    assert translation == [(256 + 0.5) * 25.0, (2048 + 1.5) * 9.0, (1024 + 1.5) * 8.0]


def test_channels_are_neither_scaled_nor_moved() -> None:
    scale, translation = scale_and_translation(image(channel_axis=True), Mag(4, 4, 2))
    assert (scale[0], translation[0]) == (1.0, 0.0)
    assert len(scale) == len(translation) == 4


@pytest.mark.parametrize("channel_axis", [False, True])
def test_the_axes_are_those_of_the_arrays(*, channel_axis: bool) -> None:
    (multiscale,) = attributes_v04(image(channel_axis=channel_axis))["multiscales"]
    assert [axis["name"] for axis in multiscale["axes"]] == ["c", "z", "y", "x"][not channel_axis :]
    assert [axis["type"] for axis in multiscale["axes"]] == ["channel"] * channel_axis + ["space"] * 3


@pytest.mark.parametrize("unit", sorted(LENGTH_UNITS))
def test_a_known_unit_is_named(unit: str) -> None:
    (multiscale,) = attributes_v05(image(voxel_size=VoxelSize((1.0, 1.0, 1.0), unit)))["ome"]["multiscales"]
    assert {axis.get("unit") for axis in multiscale["axes"]} == {unit}


@pytest.mark.parametrize("unit", ["", "nm", "Nanometer", "furlong", "pixel", "nanometer "])
def test_an_unknown_unit_is_left_out(unit: str) -> None:
    (multiscale,) = attributes_v05(image(voxel_size=VoxelSize((1.0, 1.0, 1.0), unit)))["ome"]["multiscales"]
    assert not any("unit" in axis for axis in multiscale["axes"])


def test_channels_have_no_unit() -> None:
    (multiscale,) = attributes_v05(image(channel_axis=True))["ome"]["multiscales"]
    assert multiscale["axes"][0] == {"name": "c", "type": "channel"}


def test_levels_are_named_by_number_finest_first() -> None:
    (multiscale,) = attributes_v04(image())["multiscales"]
    assert [level["path"] for level in multiscale["datasets"]] == ["0", "1", "2"]


def test_each_version_names_itself_where_its_specification_wants_it() -> None:
    old, new = attributes_v04(image()), attributes_v05(image())
    assert old["multiscales"][0]["version"] == "0.4"
    assert new["ome"]["version"] == "0.5"
    assert "version" not in new["ome"]["multiscales"][0]


def test_a_segmentation_is_a_label_image_in_version_05_and_has_no_colours() -> None:
    """In 0.4 it is not marked: napari's reader fails on a remote label image (docs/decisions/0010)."""
    old, new = attributes_v04(image(is_label=True)), attributes_v05(image(is_label=True))["ome"]
    assert "image-label" in new
    assert "image-label" not in old
    assert "omero" not in {*old, *new}


def test_what_is_not_known_of_channels_is_not_said() -> None:
    assert "omero" not in attributes_v04(image())


def test_a_channel_says_how_it_is_shown() -> None:
    channel = Channel("em", "FFFFFF", 10.0, 200.0, 0.0, 255.0, inverted=True)
    omero = attributes_v05(image(channels=(channel,)))["ome"]["omero"]
    assert omero["rdefs"] == {"defaultT": 0, "defaultZ": 7, "model": "greyscale"}
    (shown,) = omero["channels"]
    assert shown["window"] == {"start": 10.0, "end": 200.0, "min": 0.0, "max": 255.0}
    assert (shown["label"], shown["color"], shown["inverted"], shown["active"]) == ("em", "FFFFFF", True, True)
