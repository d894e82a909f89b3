"""Metadata of N5, Precomputed and OME-NGFF that others wrote."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zarrlink.errors import CorruptFile, UnsupportedLayer
from zarrlink.formats import source_n5, source_ngff, source_precomputed
from zarrlink.formats.source_ngff import Axis, ImageLevel

N5: dict[str, Any] = {
    "dimensions": [100, 90, 80],
    "blockSize": [64, 64, 32],
    "dataType": "uint16",
    "compression": {"type": "gzip", "level": -1, "useZlib": False},
}
SCALE: dict[str, Any] = {
    "key": "4_4_40",
    "size": [100, 90, 80],
    "resolution": [4, 4, 40],
    "voxel_offset": [1, -2, 3],
    "chunk_sizes": [[64, 64, 16], [32, 32, 32]],
    "encoding": "raw",
}
INFO: dict[str, Any] = {
    "@type": "neuroglancer_multiscale_volume",
    "type": "segmentation",
    "data_type": "uint64",
    "num_channels": 1,
    "scales": [SCALE],
}
IMAGE: dict[str, Any] = {
    "multiscales": [
        {
            "version": "0.4",
            "name": "em",
            "axes": [
                {"name": "c", "type": "channel"},
                *[{"name": n, "type": "space", "unit": "micrometer"} for n in "zyx"],
            ],
            "datasets": [
                {
                    "path": "0",
                    "coordinateTransformations": [
                        {"type": "scale", "scale": [1, 0.04, 0.004, 0.004]},
                        {"type": "translation", "translation": [0, 1, 2, 3]},
                    ],
                },
                {"path": "deep/1", "coordinateTransformations": [{"type": "scale", "scale": [1, 0.04, 0.008, 0.008]}]},
            ],
        }
    ],
    "omero": {"channels": [{"color": "FF8000", "window": {"start": 10, "end": 200, "min": 0, "max": 255}}]},
}


# --- N5 ---


def n5(**fields: Any) -> source_n5.N5Array:
    return source_n5.parse_array(json.dumps({**N5, **fields}).encode())


def test_an_n5_array() -> None:
    array = n5(axes=["X", "y", "z"])
    assert (array.shape, array.chunk, array.dtype) == ((100, 90, 80), (64, 64, 32), "uint16")
    assert array.axes == ("x", "y", "z")
    assert source_n5.chunk_key((0, 10, 2)) == "0/10/2"


def test_the_old_form_of_n5_compression() -> None:
    assert n5(compression=None, compressionType="raw").document["compression"] == {"type": "raw"}


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"dataType": "object"}, "object"),
        ({"compression": {"type": "lz4"}}, "lz4"),
        ({"compression": None}, "None"),
        ({"dimensions": [0, 1, 1]}, "no voxels"),
    ],
    ids=str,
)
def test_n5_that_zarrlink_does_not_read_is_named(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(UnsupportedLayer) as caught:
        n5(**fields)
    assert named in str(caught.value)


@pytest.mark.parametrize(
    "fields",
    [{"dimensions": [1]}, {"dimensions": "x"}, {"blockSize": [0, 1, 1]}, {"blockSize": [2**40, 1, 1]}],
    ids=str,
)
def test_n5_that_makes_no_sense_is_damage(fields: dict[str, Any]) -> None:
    with pytest.raises(CorruptFile):
        n5(**fields)


def test_groups_of_the_n5_viewer() -> None:
    attributes = {"scales": [[1, 1, 1], [2, 2, 1]], "pixelResolution": {"unit": "nm", "dimensions": [4, 4, 40]}}
    group = source_n5.parse_group(attributes)
    assert [(scale.folder, scale.factors) for scale in group.scales] == [("s0", (1, 1, 1)), ("s1", (2, 2, 1))]
    assert (group.resolution, group.unit) == ((4, 4, 40), "nm")


def test_groups_of_big_data_viewer() -> None:
    group = source_n5.parse_group(
        {"downsamplingFactors": [[1, 1, 1], [4, 4, 2]], "resolution": [1, 1, 2], "units": ["um"]}
    )
    assert [scale.factors for scale in group.scales] == [(1, 1, 1), (4, 4, 2)]
    assert (group.resolution, group.unit) == ((1, 1, 2), "um")


def test_groups_of_cosem() -> None:
    """Their lists are in C order, the array's axes are the other way round."""
    transform = {"axes": ["z", "y", "x"], "scale": [40, 4, 4], "translate": [0, 0, 0], "units": ["nm"] * 3}
    datasets = [{"path": "s0", "transform": transform}, {"path": "s1", "transform": {**transform, "scale": [40, 8, 8]}}]
    group = source_n5.parse_group({"multiscales": [{"datasets": datasets}]})
    assert group.axes == ("x", "y", "z")
    assert group.resolution == (4, 4, 40)
    assert [scale.factors for scale in group.scales] == [(1, 1, 1), (2, 2, 1)]


# --- Precomputed ---


def info(**fields: Any) -> source_precomputed.PrecomputedVolume:
    return source_precomputed.parse_info(json.dumps({**INFO, **fields}).encode())


def test_a_precomputed_volume() -> None:
    volume = info()
    (scale,) = volume.scales
    assert (volume.kind, volume.dtype, volume.channels) == ("segmentation", "uint64", 1)
    assert (scale.size, scale.offset, scale.chunk) == ((100, 90, 80), (1, -2, 3), (64, 64, 16))
    assert volume.scale("4_4_40") is scale
    assert volume.scale("8_8_40") is None
    assert source_precomputed.chunk_key(scale, (1, 1, 4)) == "4_4_40/65-101_62-88_67-83"


@pytest.mark.parametrize(
    ("fields", "named"),
    [({"data_type": "complex64"}, "complex64"), ({"scales": [{**SCALE, "encoding": "crackle"}]}, "crackle")],
    ids=str,
)
def test_precomputed_that_zarrlink_does_not_read_is_named(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(UnsupportedLayer) as caught:
        info(**fields)
    assert named in str(caught.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"@type": "neuroglancer_skeletons"},
        {"type": "mesh"},
        {"num_channels": 0},
        {"scales": []},
        {"scales": [SCALE, SCALE]},
        {"scales": [{**SCALE, "key": "../x"}]},
        {"scales": [{**SCALE, "key": "/x"}]},
        {"scales": [{**SCALE, "size": [1, 2]}]},
        {"scales": [{**SCALE, "resolution": [0, 1, 1]}]},
        {"scales": [{**SCALE, "resolution": [10**400, 1, 1]}]},
        {"scales": [{**SCALE, "chunk_sizes": []}]},
        {"scales": [{**SCALE, "chunk_sizes": [[0, 1, 1]]}]},
        {"scales": [{**SCALE, "sharding": "yes"}]},
        {"scales": [7]},
    ],
    ids=str,
)
def test_precomputed_that_makes_no_sense_is_damage(fields: dict[str, Any]) -> None:
    with pytest.raises(CorruptFile):
        info(**fields)


# --- OME-NGFF ---


def test_an_ome_image() -> None:
    image = source_ngff.parse_image(IMAGE)
    assert (image.name, image.is_label) == ("em", False)
    assert image.axes[1] == Axis("z", "space", "micrometer")
    assert image.levels[0] == ImageLevel("0", (1.0, 0.04, 0.004, 0.004), (0.0, 1.0, 2.0, 3.0))
    assert image.levels[1].path == "deep/1"
    assert image.view == {"intensityRange": [10, 200], "min": 0, "max": 255, "color": [255, 128, 0]}


def test_an_ome_image_of_zarr_v3() -> None:
    attributes = {"ome": {"version": "0.5", **IMAGE, "image-label": {}}}
    assert source_ngff.is_image(attributes)
    assert source_ngff.parse_image(attributes).is_label


def test_old_images_have_no_axes_and_no_scales() -> None:
    image = source_ngff.parse_image({"multiscales": [{"datasets": [{"path": "0"}]}]})
    assert [axis.name for axis in image.axes] == list("tczyx")
    assert image.levels == (ImageLevel("0", None, None),)
    named = source_ngff.parse_image({"multiscales": [{"axes": ["y", "x"], "datasets": [{"path": "0"}]}]})
    assert named.axes == (Axis("y", "space", None), Axis("x", "space", None))


def test_a_scale_of_the_whole_image_counts_as_well() -> None:
    multiscale = {**IMAGE["multiscales"][0], "coordinateTransformations": [{"type": "scale", "scale": [1, 10, 10, 10]}]}
    assert source_ngff.parse_image({"multiscales": [multiscale]}).levels[0].scale == pytest.approx((1, 0.4, 0.04, 0.04))


@pytest.mark.parametrize(
    "fields",
    [
        {"datasets": []},
        {"datasets": None},
        {"datasets": [{"path": "../x"}]},
        {"datasets": [{"path": "/x"}]},
        {"datasets": [{}]},
        {"axes": []},
        {"axes": [7]},
        {"axes": ["x", "x"]},
    ],
    ids=str,
)
def test_an_image_that_makes_no_sense_is_damage(fields: dict[str, Any]) -> None:
    with pytest.raises(CorruptFile):
        source_ngff.parse_image({"multiscales": [{**IMAGE["multiscales"][0], **fields}]})


def test_labels_are_folders_below() -> None:
    assert source_ngff.label_names({"labels": ["a", "../b", "c/d", 7, "a", ""]}) == ("a", "c/d")


# --- anything at all ---

keys = st.sampled_from(
    [
        *N5,
        *INFO,
        *SCALE,
        "multiscales",
        "datasets",
        "path",
        "axes",
        "transform",
        "scale",
        "omero",
        "channels",
        "window",
        "ome",
    ]
)
any_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from([10**400, "x", "raw"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=10,
)


@given(any_json, st.sampled_from([(N5, key) for key in N5] + [(INFO, key) for key in INFO]))
def test_a_wrong_type_anywhere_is_an_error_of_ours(value: object, wound: tuple[dict[str, Any], str]) -> None:
    form, key = wound
    parse = source_n5.parse_array if form is N5 else source_precomputed.parse_info
    try:
        parse(json.dumps({**form, key: value}).encode())
    except (CorruptFile, UnsupportedLayer) as error:
        sentence = str(error)
        assert len(sentence) < 500


@given(any_json, st.sampled_from(list(SCALE)))
def test_a_wrong_type_in_a_scale_is_an_error_of_ours(value: object, key: str) -> None:
    try:
        info(scales=[{**SCALE, key: value}])
    except (CorruptFile, UnsupportedLayer) as error:
        sentence = str(error)
        assert len(sentence) < 500


@given(st.dictionaries(keys, any_json))
def test_any_attributes_are_a_group_or_an_image_or_damage(attributes: dict[str, Any]) -> None:
    attributes = json.loads(json.dumps(attributes))
    source_n5.parse_group(attributes)
    source_ngff.label_names(attributes)
    if source_ngff.is_image(attributes):
        try:
            source_ngff.parse_image(attributes)
        except CorruptFile as error:
            sentence = str(error)
            assert len(sentence) < 500
