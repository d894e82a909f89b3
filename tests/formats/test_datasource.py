"""`datasource-properties.json`: old forms, new forms, hostile ones."""

from __future__ import annotations

import json
import posixpath
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from zarrlink.errors import InvalidRequest
from zarrlink.formats.agglomerates import Attachment
from zarrlink.formats.datasource import (
    ELEMENT_CLASSES,
    FILE_NAME,
    MAX_BYTES,
    MAX_LAYERS,
    MAX_MAGS,
    AxisOrder,
    DatasetDescription,
    ExtraAxis,
    LayerDescription,
    parse_description,
)
from zarrlink.geometry import BoundingBox, Mag, VoxelSize

Json = dict[str, Any]
TESTDATA = Path(__file__).parents[3] / "shared" / "testdata"
NEW_LAYER: Json = {
    "name": "em",
    "category": "color",
    "boundingBox": {"topLeft": [10, 20, 30], "width": 1000, "height": 800, "depth": 300},
    "elementClass": "uint8",
    "numChannels": 1,
    "dataFormat": "wkw",
    "mags": [{"mag": [1, 1, 1], "path": "./em/1"}, {"mag": [2, 2, 1], "path": "./em/2-2-1"}],
}
NEW: Json = {
    "version": 1,
    "id": {"name": "sample", "team": ""},
    "scale": {"factor": [11.24, 11.24, 28], "unit": "nanometer"},
    "dataLayers": [NEW_LAYER],
}
OLD: Json = {
    "id": {"name": "old", "team": "t"},
    "scale": [11.24, 11.24, 28],
    "dataLayers": [
        {
            "name": "seg",
            "category": "segmentation",
            "boundingBox": {"topLeft": [0, 0, 0], "width": 64, "height": 64, "depth": 64},
            "elementClass": "uint32",
            "wkwResolutions": [{"resolution": 2, "cubeLength": 1024}, {"resolution": [1, 1, 1], "cubeLength": 1024}],
        }
    ],
}


def parsed(document: object) -> DatasetDescription:
    return parse_description(json.dumps(document).encode())


def changed(**fields: Any) -> Json:
    """The new form with other fields of its layer; those that are None are left out."""
    layer = {key: value for key, value in {**NEW_LAYER, **fields}.items() if value is not None}
    return {**NEW, "dataLayers": [layer]}


def only_layer(document: Json) -> LayerDescription:
    found = parsed(document)
    assert not found.unreadable
    (layer,) = found.layers
    return layer


def reason(document: Json, name: str = "em") -> str:
    found = parsed(document)
    assert not found.layers
    return found.unreadable[name]


# --- forms ---


def test_the_new_form() -> None:
    found = parsed(NEW)
    assert (found.name, found.voxel_size) == ("sample", VoxelSize((11.24, 11.24, 28.0), "nanometer"))
    (layer,) = found.layers
    assert (layer.name, layer.category, layer.dtype, layer.channels) == ("em", "color", "uint8", 1)
    assert layer.box == BoundingBox((10, 20, 30), (1000, 800, 300))
    assert [(mag.mag, mag.folders) for mag in layer.mags] == [
        (Mag(1, 1, 1), ("em/1",)),
        (Mag(2, 2, 1), ("em/2-2-1",)),
    ]


def test_the_old_form() -> None:
    found = parsed(OLD)
    assert found.voxel_size == VoxelSize((11.24, 11.24, 28.0), "nanometer")
    (layer,) = found.layers
    assert (layer.category, layer.dtype, layer.channels, layer.data_format) == ("segmentation", "uint32", None, "wkw")
    assert [mag.mag for mag in layer.mags] == [Mag(1, 1, 1), Mag(2, 2, 2)]


def test_mags_without_a_path_are_looked_for_in_both_forms() -> None:
    document = changed(mags=[{"mag": [2, 2, 1]}, {"mag": [4, 4, 4]}])
    assert [mag.folders for mag in only_layer(document).mags] == [("em/2-2-1",), ("em/4", "em/4-4-4")]


def test_where_both_lists_of_mags_are_there_the_new_one_counts() -> None:
    document = changed(wkwResolutions=[{"resolution": [8, 8, 8], "cubeLength": 32}])
    assert [mag.mag for mag in only_layer(document).mags] == [Mag(1, 1, 1), Mag(2, 2, 1)]


def test_a_new_entry_may_carry_an_old_cube_length() -> None:
    document = changed(mags=[{"mag": [1, 1, 1], "cubeLength": 1024}])
    assert only_layer(document).mags[0].mag == Mag(1, 1, 1)


@given(st.permutations([[1, 1, 1], [2, 2, 1], [4, 4, 2], [16, 16, 16]]))
def test_mags_come_finest_first(mags: list[list[int]]) -> None:
    document = changed(mags=[{"mag": mag} for mag in mags])
    assert [mag.mag.literal for mag in only_layer(document).mags] == ["1", "2-2-1", "4-4-2", "16"]


@pytest.mark.parametrize("name", ELEMENT_CLASSES)
def test_every_element_class_of_the_specification_is_known(name: str) -> None:
    assert only_layer(changed(elementClass=name)).dtype == ELEMENT_CLASSES[name][0]


@pytest.mark.parametrize(("alias", "name"), [("float32", "float"), ("float64", "double")])
def test_floats_by_the_names_of_other_programs(alias: str, name: str) -> None:
    assert only_layer(changed(elementClass=alias)).element_class == name


def test_uint24_means_three_channels() -> None:
    layer = only_layer(changed(elementClass="uint24", numChannels=None))
    assert (layer.dtype, layer.channels) == ("uint8", 3)


def test_without_an_id_the_dataset_has_the_name_it_is_given() -> None:
    document = {key: value for key, value in NEW.items() if key != "id"}
    assert parse_description(json.dumps(document).encode(), name="given").name == "given"


def test_a_voxel_size_keeps_its_unit() -> None:
    assert parsed({**NEW, "scale": {"factor": [1, 2, 3], "unit": "micrometer"}}).voxel_size.unit == "micrometer"


def test_formats_that_are_not_streamed_are_described_all_the_same() -> None:
    assert only_layer(changed(dataFormat="zarr3")).data_format == "zarr3"


def test_axes_channel_and_additional_axes() -> None:
    layer = only_layer(
        changed(
            dataFormat="zarr",
            mags=[{"mag": 1, "axisOrder": {"c": 0, "x": 4, "y": 3, "z": 2}, "channelIndex": 1}],
            additionalAxes=[
                {"name": "v", "bounds": [2, 5], "index": 5},
                {"name": "t", "bounds": [0, 3], "index": 1},
            ],
        )
    )
    assert (layer.mags[0].axis_order, layer.mags[0].channel_index) == (AxisOrder(0, 4, 3, 2), 1)
    assert layer.extra_axes == (ExtraAxis("t", 0, 3, 1), ExtraAxis("v", 2, 5, 5))
    assert layer.extra_axes[1].length == 3


def test_an_axis_order_may_lack_channels_and_depth() -> None:
    layer = only_layer(changed(dataFormat="n5", mags=[{"mag": 1, "axisOrder": {"x": 0, "y": 1}}]))
    assert layer.mags[0].axis_order == AxisOrder(None, 0, 1, None)


def test_mappings_agglomerates_and_transformations_are_kept_in_mind() -> None:
    agglomerates = [
        {"name": "a", "path": "./seg/agglomerates/a", "dataFormat": "zarr3"},
        {"name": "b", "path": "s3://bucket/b.hdf5", "dataFormat": "hdf5"},
        {"name": "c", "path": "../out", "dataFormat": "hdf5"},
        {"name": "d", "path": "d", "dataFormat": "exe"},
        7,
    ]
    layer = only_layer(
        changed(
            category="segmentation",
            mappings=["one", 2, "two"],
            attachments={"agglomerates": agglomerates},
            largestSegmentId=12,
            coordinateTransformations=[{"type": "affine"}],
        )
    )
    assert layer.mappings == ("one", "two")
    assert layer.agglomerates == (
        Attachment("a", "./seg/agglomerates/a", "zarr3"),
        Attachment("b", "s3://bucket/b.hdf5", "hdf5"),
        Attachment("c", "../out", "hdf5"),
        Attachment("d", "d", "exe"),
    )
    assert (layer.largest_segment_id, layer.transformed) == (12, True)
    assert layer.notes == ("its coordinateTransformations are not applied",)


def test_a_real_description_with_everything() -> None:
    file = TESTDATA / "complex_property_ds" / FILE_NAME
    if not file.exists():
        pytest.skip(f"{file} is not there")
    color, segmentation = parse_description(file.read_bytes()).layers
    assert (color.transformed, len(color.mags)) == (True, 6)
    assert segmentation.mappings[0] == "larger5um1"
    assert segmentation.largest_segment_id == 10**9


# --- one bad layer ---


def test_a_bad_layer_does_not_take_the_others_with_it() -> None:
    found = parsed({**NEW, "dataLayers": [{"name": "bad"}, NEW_LAYER]})
    assert [layer.name for layer in found.layers] == ["em"]
    assert set(found.unreadable) == {"bad"}


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"category": "colour"}, "category"),
        ({"elementClass": "uint128"}, "elementClass"),
        ({"elementClass": None}, "elementClass"),
        ({"elementClass": ["uint8"]}, "elementClass"),
        ({"elementClass": {}}, "elementClass"),
        ({"numChannels": 0}, "numChannels"),
        ({"numChannels": 256}, "numChannels"),
        ({"numChannels": 1.5}, "numChannels"),
        ({"numChannels": True}, "numChannels"),
        ({"boundingBox": None}, "boundingBox"),
        ({"boundingBox": {"topLeft": [0, 0], "width": 1, "height": 1, "depth": 1}}, "boundingBox"),
        ({"boundingBox": {"topLeft": [0, 0, 0], "width": 1, "height": 1}}, "boundingBox"),
        ({"boundingBox": {"topLeft": [0, 0, 0], "width": 1, "height": 1, "depth": 0.5}}, "boundingBox"),
        ({"boundingBox": {"topLeft": [0, 0, 0], "width": 1, "height": 1, "depth": 0}}, "positive side"),
        ({"boundingBox": {"topLeft": [0, 0, 0], "width": 1, "height": 1, "depth": 2**41}}, "too large a number"),
        ({"boundingBox": {"topLeft": [0, 0, 2**41], "width": 1, "height": 1, "depth": 1}}, "too large a number"),
        ({"mags": None}, "mags"),
        ({"mags": []}, "no mags"),
        ({"mags": [{}]}, "mag"),
        ({"mags": [7]}, "mag"),
        ({"mags": [{"mag": [1, 1]}]}, "mag"),
        ({"mags": [{"mag": [0, 1, 1]}]}, "mag"),
        ({"mags": [{"mag": [1, 1, 10**6]}]}, "mag"),
        ({"mags": [{"mag": True}]}, "mag"),
        ({"mags": [{"mag": 1}, {"mag": [1, 1, 1]}]}, "listed twice"),
        ({"mags": [{"mag": 1}] * (MAX_MAGS + 1)}, "at most"),
        ({"mags": [{"mag": 1, "path": 7}]}, "path"),
        ({"mags": [{"mag": 1, "axisOrder": [0, 1, 2]}]}, "axisOrder"),
        ({"mags": [{"mag": 1, "axisOrder": {"c": 0, "x": 1}}]}, "axisOrder"),
        ({"mags": [{"mag": 1, "axisOrder": {"x": 1, "y": 1, "z": 2}}]}, "axisOrder"),
        ({"mags": [{"mag": 1, "axisOrder": {"x": -1, "y": 1, "z": 2}}]}, "axisOrder"),
        ({"mags": [{"mag": 1, "axisOrder": {"x": True, "y": 1, "z": 2}}]}, "axisOrder"),
        ({"mags": [{"mag": 1, "axisOrder": {"x": 99, "y": 1, "z": 2}}]}, "axisOrder"),
        ({"mags": [{"mag": 1, "channelIndex": -1}]}, "channelIndex"),
        ({"mags": [{"mag": 1, "channelIndex": "1"}]}, "channelIndex"),
        ({"dataFormat": "tiff"}, "dataFormat"),
        ({"dataFormat": ["zarr"]}, "dataFormat"),
        ({"additionalAxes": {}}, "additionalAxes"),
        ({"additionalAxes": [{}]}, "additional axis"),
        ({"additionalAxes": [{"name": "x", "bounds": [0, 1], "index": 0}]}, "additional axis"),
        ({"additionalAxes": [{"name": "t", "bounds": [1, 1], "index": 0}]}, "bounds"),
        ({"additionalAxes": [{"name": "t", "bounds": [-1, 1], "index": 0}]}, "bounds"),
        ({"additionalAxes": [{"name": "t", "bounds": [0, 1]}]}, "index"),
        ({"additionalAxes": [{"name": "t", "bounds": [0, 1], "index": 1}] * 2}, "one name"),
    ],
    ids=str,
)
def test_a_layer_is_refused_by_the_field_that_is_wrong(fields: Json, named: str) -> None:
    assert named in reason(changed(**fields))


@pytest.mark.parametrize("name", [".", "..", "a/b", "a\\b", "a\nb", "\u202e", "\ud800", "x" * 256])
def test_what_cannot_be_a_segment_of_an_address_cannot_name_a_layer(name: str) -> None:
    assert "layer name" in reason(changed(name=name), name)


@pytest.mark.parametrize("name", [None, "", 7, ["em"]])
def test_a_layer_without_a_name_is_told_by_its_place(name: object) -> None:
    found = parsed({**NEW, "dataLayers": [NEW_LAYER, {**NEW_LAYER, "name": name, "elementClass": "?"}]})
    assert set(found.unreadable) == {"#2"}


@pytest.mark.parametrize("times", [2, 3, 4])
def test_of_layers_with_one_name_none_is_served(times: int) -> None:
    found = parsed({**NEW, "dataLayers": [NEW_LAYER] * times})
    assert not found.layers
    assert found.unreadable == {"em": "its name is used twice"}


@pytest.mark.parametrize("order", [1, -1])
def test_a_name_that_a_bad_layer_has_as_well_is_not_served(order: int) -> None:
    found = parsed({**NEW, "dataLayers": [NEW_LAYER, {"name": "em"}][::order]})
    assert not found.layers
    assert set(found.unreadable) == {"em"}


@pytest.mark.parametrize(
    "path", ["../other", "..", "a/../../b", "./../b", "a\0b", "ftp://host/a", "://a", "javascript://a"]
)
def test_a_path_that_leaves_the_folder_is_refused(path: str) -> None:
    assert "em" in parsed(changed(mags=[{"mag": 1, "path": path}])).unreadable


@pytest.mark.parametrize(
    "path",
    ["/etc", "//etc", "/a/../b", "s3://bucket/a", "gs://bucket/a", "https://host/a", "HTTP://host/a", "file:///etc"],
)
@pytest.mark.parametrize("data_format", ["wkw", "zarr"])
def test_an_address_outside_the_folder_is_described_and_no_folder(path: str, data_format: str) -> None:
    """Whether it may be read is for `sources/permission.py` to say."""
    (mag,) = only_layer(changed(mags=[{"mag": 1, "path": path}], dataFormat=data_format)).mags
    assert (mag.address, mag.folders) == (path, ())


@pytest.mark.parametrize(
    ("path", "folder"), [("./em/1", "em/1"), ("em//1/", "em/1"), ("em/x/../1", "em/1"), ("..em/1", "..em/1")]
)
def test_a_path_inside_the_folder_is_written_plainly(path: str, folder: str) -> None:
    assert only_layer(changed(mags=[{"mag": 1, "path": path}])).mags[0].folders == (folder,)


@given(st.lists(st.sampled_from(["..", ".", "", "a", "b", "\\", "%2e%2e", "...", " "]), max_size=8).map("/".join))
def test_no_path_leads_out_of_the_folder(path: str) -> None:
    for layer in parsed(changed(mags=[{"mag": 1, "path": path}])).layers:
        for folder in layer.mags[0].folders:
            inside = posixpath.normpath(posixpath.join("/data/set", folder))
            assert inside == "/data/set" or inside.startswith("/data/set/")


@pytest.mark.parametrize("path", ["\ud800", "em/\udfff/1"])
def test_a_path_that_is_no_unicode_is_refused(path: str) -> None:
    assert "path" in reason(changed(mags=[{"mag": 1, "path": path}]))


# --- hostile documents ---


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"{",
        b"null",
        b"[]",
        b"7",
        b'{"dataLayers": {}}',
        b'{"dataLayers": []}',
        b'{"dataLayers": [], "scale": 1}',
        b'{"dataLayers": [], "scale": [1, 1]}',
        b'{"dataLayers": [], "scale": [1, 1, "1"]}',
        b'{"dataLayers": [], "scale": [1, 1, true]}',
        b'{"dataLayers": [], "scale": [1, 1, 0]}',
        b'{"dataLayers": [], "scale": [1, 1, -1]}',
        b'{"dataLayers": [], "scale": [1, 1, NaN]}',
        b'{"dataLayers": [], "scale": [1, 1, Infinity]}',
        b'{"dataLayers": [], "scale": [1, 1, 1e999]}',
        b'{"dataLayers": [], "scale": [1, 1, 1' + b"0" * 400 + b"]}",
        b'{"dataLayers": [], "scale": [1, 1, 1' + b"0" * 5000 + b"]}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
    ids=lambda data: data[:40].decode("latin-1"),
)
def test_what_is_no_description_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequest):
        parse_description(data)


def test_a_description_that_is_too_large_is_refused_unread() -> None:
    with pytest.raises(InvalidRequest, match="larger than"):
        parse_description(b" " * (MAX_BYTES + 1))


def test_too_many_layers_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="more than"):
        parsed({**NEW, "dataLayers": [{}] * (MAX_LAYERS + 1)})


@pytest.mark.parametrize(
    "fields",
    [
        {"category": "x" * 10**6},
        {"elementClass": "x" * 10**6},
        {"numChannels": "x" * 10**6},
        {"mags": [{"mag": "x" * 10**6}]},
        {"mags": [{"mag": [10**4000, 1, 1]}]},
        {"boundingBox": {"topLeft": [10**4000, 0, 0], "width": 1, "height": 1, "depth": 1}},
        {"boundingBox": {"topLeft": [0, 0, 0], "width": 10**4000, "height": 1, "depth": 1}},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_a_reason_is_a_sentence_however_long_the_wrong_value_is(fields: Json) -> None:
    assert len(reason(changed(**fields))) < 500


field_names = st.sampled_from(
    [
        "id",
        "name",
        "scale",
        "factor",
        "unit",
        "dataLayers",
        "category",
        "boundingBox",
        "topLeft",
        "width",
        "height",
        "depth",
        "elementClass",
        "numChannels",
        "dataFormat",
        "mags",
        "mag",
        "path",
        "wkwResolutions",
        "resolution",
        "cubeLength",
        "defaultViewConfiguration",
        "color",
        "axisOrder",
        "channelIndex",
        "additionalAxes",
        "bounds",
        "index",
        "attachments",
        "agglomerates",
    ]
)
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([0, 1, 2, 3, 255, 2**40, 10**400, -(10**400)])
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["color", "uint8", "wkw", "../x", "\ud800", "nanometer"])
)
any_json = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(field_names, inner, max_size=5), max_leaves=12
)


def places(part: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document."""
    match part:
        case dict():
            inner = [place for key, value in part.items() for place in places(value, (*path, key))]
        case list():
            inner = [place for n, value in enumerate(part) for place in places(value, (*path, n))]
        case _:
            inner = []
    return [path, *inner] if path else inner


wounds = st.sampled_from([(form, place) for form in (NEW, OLD) for place in places(form)])


@given(wounds, any_json)
@example((NEW, ("dataLayers", 0, "elementClass")), [])
@example((NEW, ("scale", "factor", 0)), 10**400)
def test_a_wrong_type_anywhere_is_an_invalid_request_or_an_unreadable_layer(
    wound: tuple[Json, tuple[Any, ...]], value: object
) -> None:
    form, (*path, last) = wound
    document = deepcopy(form)
    part: Any = document
    for step in path:
        part = part[step]
    part[last] = value
    try:
        found = parsed(document)
    except InvalidRequest:
        return
    assert len(found.layers) + len(found.unreadable) <= len(document["dataLayers"])


@given(any_json)
def test_any_json_is_a_description_or_an_invalid_request(document: object) -> None:
    try:
        parsed(document)
    except InvalidRequest:
        return


@given(st.binary(max_size=100) | st.text(max_size=60).map(str.encode))
def test_any_bytes_are_a_description_or_an_invalid_request(data: bytes) -> None:
    try:
        parse_description(data)
    except InvalidRequest:
        return


@pytest.mark.parametrize("depth", range(850, 1000, 7))
def test_json_nested_to_the_limit_of_the_interpreter_is_refused(depth: int) -> None:
    nested = "[" * depth + "]" * depth
    data = json.dumps(NEW).replace('"color"', nested).encode()
    try:
        found = parse_description(data)
    except InvalidRequest:
        return
    assert set(found.unreadable) == {"em"}


# --- real files ---

REAL = {
    "complex_property_ds": {"color": "uint8", "segmentation": "uint32"},
    "simple_n5_dataset": {"color": "uint8"},
    "simple_ng_dataset": {"color": "uint8"},
    "simple_wkw_dataset": {"color": "uint8"},
    "simple_zarr3_dataset": {"color": "uint8"},
    "simple_zarr_dataset": {"color": "uint8"},
    "wkw_reference_lz4": {"color": "uint16", "segmentation": "uint32"},
    "wkw_reference_lz4hc": {"multichannel": "uint16", "segmentation": "uint64"},
    "wkw_reference_raw": {"color": "uint8", "rgb": "uint8", "float": "float32"},
}


@pytest.mark.parametrize("folder", REAL)
def test_a_real_description_is_read_to_its_last_layer(folder: str) -> None:
    path = TESTDATA / folder / FILE_NAME
    if not path.exists():
        pytest.skip(f"the real files are not here: no {path}")
    found = parse_description(path.read_bytes())
    assert not found.unreadable
    assert {layer.name: layer.dtype for layer in found.layers} == REAL[folder]
