"""The metadata documents of a served layer."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from builders.wkw_files import LayerFiles, dataset, pyramid
from builders.zarr_trees import open_layer
from zarrlink.errors import InvalidRequest
from zarrlink.formats.zarr_keys import ArrayKey, Dialect, GroupKey, parse_key
from zarrlink.geometry import BoundingBox, Mag
from zarrlink.layer import Layer
from zarrlink.metadata import documents, shown_window

MAGS = (Mag(1, 1, 1), Mag(2, 2, 1))
DIALECTS: tuple[Dialect, ...] = ("v2", "v3")
numbers = st.integers() | st.floats() | st.sampled_from([0, 1, 255, 10**400, -(10**400), 1e308])
values = st.none() | st.booleans() | numbers | st.text(max_size=3) | st.lists(numbers | st.text(max_size=2), max_size=4)
view_configurations = st.dictionaries(
    st.sampled_from(["color", "intensityRange", "min", "max", "isInverted", "alpha"]), values, max_size=6
)


def layer_of(
    dtype: str = "uint8", *, channels: int = 1, scale: object = None, box: BoundingBox | None = None, **described: Any
) -> Layer:
    volume = np.zeros((8, 16, 24) if channels == 1 else (8, 16, 24, channels), dtype)
    files = LayerFiles("em", pyramid(volume, MAGS, (16, 0, 8)), (16, 0, 8), described=described)
    return open_layer(dataset(files, scale=scale), "em", box=box)


def parsed(layer: Layer, dialect: Dialect) -> dict[str, Any]:
    return {key: json.loads(document) for key, document in documents(layer, dialect).items()}


def omero(layer: Layer) -> dict[str, Any] | None:
    shown = parsed(layer, "v3")["zarr.json"]["attributes"]["ome"].get("omero")
    assert shown == parsed(layer, "v2")[".zattrs"].get("omero") or shown is None or shown["version"] == "0.5"
    return shown


@pytest.mark.parametrize(
    ("dialect", "keys"),
    [
        ("v2", {".zgroup", ".zattrs", ".zmetadata", "0/.zarray", "0/.zattrs", "1/.zarray", "1/.zattrs"}),
        ("v3", {"zarr.json", "0/zarr.json", "1/zarr.json"}),
    ],
)
def test_these_are_all_documents_of_a_layer(dialect: Dialect, keys: set[str]) -> None:
    assert set(documents(layer_of(), dialect)) == keys


@pytest.mark.parametrize(("channels", "axes"), [(1, ["z", "y", "x"]), (3, ["c", "z", "y", "x"])])
def test_xarray_finds_the_axes_of_both_versions(channels: int, axes: list[str]) -> None:
    """Without them it opens no array."""
    layer = layer_of(channels=channels)
    old, new = parsed(layer, "v2"), parsed(layer, "v3")
    for level in range(len(layer.levels)):
        assert (
            old[f"{level}/.zattrs"] == old[".zmetadata"]["metadata"][f"{level}/.zattrs"] == {"_ARRAY_DIMENSIONS": axes}
        )
        assert new[f"{level}/zarr.json"]["dimension_names"] == axes


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_document_has_an_address(dialect: Dialect) -> None:
    for key in documents(layer_of(), dialect):
        assert isinstance(parse_key(dialect, key), GroupKey | ArrayKey)


def test_consolidated_metadata_of_v2_are_its_documents() -> None:
    found = parsed(layer_of(), "v2")
    assert found.pop(".zmetadata") == {"zarr_consolidated_format": 1, "metadata": found}


def test_consolidated_metadata_of_v3_are_its_arrays() -> None:
    found = parsed(layer_of(), "v3")
    consolidated = found["zarr.json"]["consolidated_metadata"]["metadata"]
    assert consolidated == {level: found[f"{level}/zarr.json"] for level in ("0", "1")}


@pytest.mark.parametrize("channels", [1, 3])
def test_both_dialects_describe_the_same_arrays(channels: int) -> None:
    layer = layer_of("uint16", channels=channels)
    old, new = parsed(layer, "v2"), parsed(layer, "v3")
    for level in ("0", "1"):
        assert old[f"{level}/.zarray"]["shape"] == new[f"{level}/zarr.json"]["shape"]
    assert (
        old[".zattrs"]["multiscales"][0]["datasets"]
        == new["zarr.json"]["attributes"]["ome"]["multiscales"][0]["datasets"]
    )


def test_a_level_names_its_mag() -> None:
    found = parsed(layer_of(), "v3")
    assert [found[f"{level}/zarr.json"]["attributes"]["mag"] for level in ("0", "1")] == [[1, 1, 1], [2, 2, 1]]


def test_where_a_layer_is_from_stands_beside_its_levels() -> None:
    layer = layer_of(box=BoundingBox((17, 2, 8), (5, 5, 5)))
    assert parsed(layer, "v2")[".zattrs"]["multiscales"][0]["metadata"] == {
        "mags": ["1", "2-2-1"],
        "boundingBox": [17, 2, 8, 5, 5, 5],
        "origin": [16, 0, 8],
        "elementClass": "uint8",
    }


def test_viewers_start_in_the_middle_of_the_box() -> None:
    shown = omero(layer_of(box=BoundingBox((16, 0, 12), (8, 8, 4))))
    assert shown is not None
    assert shown["rdefs"]["defaultZ"] == 14 - 8


@pytest.mark.parametrize(
    ("dtype", "window"), [("uint8", [0, 255]), ("int8", [-128, 127]), ("uint16", None), ("float32", None)]
)
def test_a_window_is_shown_only_where_it_is_known(dtype: str, window: list[float] | None) -> None:
    assert shown_window(layer_of(dtype)) == window
    assert (omero(layer_of(dtype)) is None) == (window is None)


def test_a_segmentation_is_shown_without_a_window() -> None:
    assert shown_window(layer_of("uint8", category="segmentation")) is None
    assert omero(layer_of("uint8", category="segmentation")) is None


def test_the_window_of_the_view_configuration_counts() -> None:
    layer = layer_of("uint16", defaultViewConfiguration={"intensityRange": [100, 4000], "min": 0, "max": 4095})
    shown = omero(layer)
    assert shown is not None
    assert shown["channels"][0]["window"] == {"start": 100, "end": 4000, "min": 0, "max": 4095}


@pytest.mark.parametrize("window", [[5, 5], [5, 4], [1], [1, 2, 3], ["0", "1"], "01", {}, [True, 7], [None, 1]])
def test_a_window_that_makes_no_sense_does_not_count(window: object) -> None:
    assert shown_window(layer_of("uint16", defaultViewConfiguration={"intensityRange": window})) is None


def test_the_colour_and_the_inversion_of_the_view_configuration_count() -> None:
    shown = omero(layer_of(defaultViewConfiguration={"color": [255, 128, 0], "isInverted": True}))
    assert shown is not None
    assert (shown["channels"][0]["color"], shown["channels"][0]["inverted"]) == ("FF8000", True)


def test_the_channels_of_rgb_are_red_green_and_blue() -> None:
    shown = omero(layer_of(channels=3))
    assert shown is not None
    assert [(channel["label"], channel["color"]) for channel in shown["channels"]] == [
        ("red", "FF0000"),
        ("green", "00FF00"),
        ("blue", "0000FF"),
    ]


@given(st.sampled_from(["uint8", "uint16", "float32"]), view_configurations)
@example("uint16", {"intensityRange": [0, 10**400]})
@example("uint8", {"intensityRange": [0, 1], "max": 10**400})
@example("uint16", {"intensityRange": [-1e308, 1e308]})
def test_whatever_a_view_configuration_holds_the_documents_are_json(dtype: str, view: dict[str, Any]) -> None:
    layer = layer_of(dtype, defaultViewConfiguration=view)
    for dialect in DIALECTS:
        for document in documents(layer, dialect).values():
            json.loads(document, parse_constant=pytest.fail)


@pytest.mark.parametrize("length", [1e-300, 5e-324, 1e300, 1.7e308])
def test_a_voxel_size_is_refused_or_its_documents_are_json(length: float) -> None:
    try:
        layer = layer_of(scale=[length, 1, 1])
    except InvalidRequest:
        return
    for dialect in DIALECTS:
        for document in documents(layer, dialect).values():
            json.loads(document, parse_constant=pytest.fail)
