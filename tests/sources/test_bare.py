"""Folders without a description: what they are taken for, and that what is described can be read."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders.foreign_arrays import numbered, ome_attributes, write_n5, write_precomputed, write_zarr2, write_zarr3
from zarrlink.arrays.foreign import Stores, open_array
from zarrlink.errors import SourceUnavailable
from zarrlink.formats.datasource import DatasetDescription, ExtraAxis
from zarrlink.geometry import BoundingBox, VoxelSize
from zarrlink.sources.bare import BareDataset, describe_bare, find_kind
from zarrlink.storage.files import LocalFiles
from zarrlink.storage.memory import MemorySource

TESTDATA = Path(__file__).parents[3] / "shared" / "testdata"


def bare(root: Path, name: str = "mouse.zarr") -> BareDataset:
    found = asyncio.run(describe_bare(LocalFiles(root), name=name))
    assert found is not None
    return found


def described(root: Path, name: str = "mouse.zarr") -> DatasetDescription:
    return bare(root, name).description


def voxels(root: Path, layer: str, level: int = 0, extra: tuple[int, ...] = ()) -> np.ndarray:
    """All voxels of a level, (c, z, y, x), opened from what was described."""
    found = next(one for one in described(root).layers if one.name == layer)
    mag = found.mags[level]
    array = asyncio.run(open_array(LocalFiles(root), str(root), found, mag, Stores()))
    assert array is not None
    box = found.box.in_mag(mag.mag)
    return asyncio.run(array.volume.read(box.top_left, box.bottom_right, extra))


def group(root: Path, attributes: dict[str, Any], version: int = 2) -> None:
    root.mkdir(parents=True, exist_ok=True)
    if version == 2:
        (root / ".zgroup").write_text('{"zarr_format": 2}')
        (root / ".zattrs").write_text(json.dumps(attributes))
    else:
        document = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
        (root / "zarr.json").write_text(json.dumps(document))


# --- OME-Zarr ---


@pytest.mark.parametrize("version", [2, 3])
def test_an_ome_zarr_with_channels_times_and_labels(tmp_path: Path, version: int) -> None:
    write, ome, text = (write_zarr2, "0.4", "zarr") if version == 2 else (write_zarr3, "0.5", "zarr3")
    scales = {"0": [1, 1, 40, 4, 4.0], "1": [1, 1, 40, 8, 8]}
    window = {"omero": {"channels": [{"window": {"start": 1, "end": 9, "min": 0, "max": 255}}, {}]}}
    group(tmp_path, ome_attributes("tczyx", scales, version=ome, image_name="em", more=window), version)
    group(
        tmp_path / "labels",
        {"labels": ["cells", "gone"]} if version == 2 else {"ome": {"labels": ["cells", "gone"]}},
        version,
    )
    group(tmp_path / "labels/cells", ome_attributes("zyx", {"0": [40, 8, 8]}, version=ome), version)
    fine, coarse, cells = numbered((3, 2, 8, 12, 15)), numbered((3, 2, 8, 6, 8)), numbered((8, 6, 8), "uint32")
    write(tmp_path / "0", fine, (1, 1, 4, 4, 4))
    write(tmp_path / "1", coarse, (1, 1, 4, 4, 4))
    write(tmp_path / "labels/cells/0", cells, (4, 4, 4))

    found = described(tmp_path)

    assert found.voxel_size == VoxelSize((4.0, 4.0, 40.0), "nanometer")
    assert found.unreadable == {"gone": "it holds no image"}
    em, labels = found.layers
    assert (em.name, em.category, em.element_class, em.data_format) == ("em", "color", "uint8", text)
    assert em.box == BoundingBox((0, 0, 0), (15, 12, 8))
    assert (em.channels, em.extra_axes) == (2, (ExtraAxis("t", 0, 3, 0),))
    assert [mag.mag.literal for mag in em.mags] == ["1", "2-2-1"]
    assert (labels.name, labels.category, labels.element_class) == ("cells", "segmentation", "uint32")
    assert [mag.mag.literal for mag in labels.mags] == ["2-2-1"]
    assert labels.box == BoundingBox((0, 0, 0), (16, 12, 8))
    for at in range(3):
        np.testing.assert_array_equal(voxels(tmp_path, "em", extra=(at,)), fine[at])
        np.testing.assert_array_equal(voxels(tmp_path, "em", 1, extra=(at,)), coarse[at])
    np.testing.assert_array_equal(voxels(tmp_path, "cells"), cells[None])


def test_axes_in_another_order_and_of_one_coordinate(tmp_path: Path) -> None:
    group(tmp_path, ome_attributes("tcxyz", {"a/0": [1, 1, 1, 2, 3]}))
    data = numbered((1, 1, 6, 5, 4), "float32")
    write_zarr2(tmp_path / "a/0", data, (1, 1, 4, 4, 4), separator="/")
    (layer,) = described(tmp_path).layers
    assert (layer.name, layer.element_class, layer.extra_axes) == ("mouse", "float", ())
    np.testing.assert_array_equal(voxels(tmp_path, "mouse"), data[0].transpose(0, 3, 2, 1))


def test_a_plane(tmp_path: Path) -> None:
    group(tmp_path, ome_attributes("yx", {"0": [2, 2], "1": [4, 4]}))
    data = numbered((6, 5))
    write_zarr2(tmp_path / "0", data, (4, 4))
    write_zarr2(tmp_path / "1", data[::2, ::2], (4, 4))
    (layer,) = described(tmp_path).layers
    assert (layer.box.size, [mag.mag.literal for mag in layer.mags]) == ((5, 6, 1), ["1", "2-2-1"])
    np.testing.assert_array_equal(voxels(tmp_path, "mouse"), data[None, None])
    np.testing.assert_array_equal(voxels(tmp_path, "mouse", 1), data[None, None, ::2, ::2])


def test_levels_that_are_no_mags_are_left_out_and_said_so(tmp_path: Path) -> None:
    scales = {"0": [1, 1, 1.0], "1": [1.5, 1.5, 1.5], "2": [2.0001, 2, 2], "3": [2, 2, 2], "4": [4, 4, 4]}
    group(tmp_path, ome_attributes("zyx", scales))
    for path, side in (("0", 8), ("1", 6), ("2", 4), ("3", 4)):
        write_zarr2(tmp_path / path, numbered((side,) * 3), (4, 4, 4))
    (layer,) = described(tmp_path).layers
    assert [(mag.mag.literal, mag.folders) for mag in layer.mags] == [("1", ("0",)), ("2", ("2",))]
    notes = " / ".join(layer.notes)
    assert "level 1 is left out: it is 1.5 x 1.5 x 1.5 times coarser" in notes
    assert "level 3 is left out: mag 2 is there already" in notes
    assert "level 4 is left out: it has no array" in notes


def test_old_images_have_their_mags_from_their_shapes(tmp_path: Path) -> None:
    group(tmp_path, {"multiscales": [{"datasets": [{"path": "0"}, {"path": "1"}, {"path": "2"}]}]})
    for path, shape in (("0", (1, 1, 5, 9, 17)), ("1", (1, 1, 5, 5, 8)), ("2", (1, 1, 5, 4, 7))):
        write_zarr2(tmp_path / path, numbered(shape), (1, 1, 4, 4, 4))
    found = described(tmp_path)
    assert [mag.mag.literal for mag in found.layers[0].mags] == ["1", "2-2-1"]
    assert found.voxel_size.unit == "pixel"


def test_a_translation_is_noted(tmp_path: Path) -> None:
    attributes = ome_attributes("zyx", {"0": [1, 1, 1]})
    steps = attributes["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    steps.append({"type": "translation", "translation": [0, 5, 0]})
    group(tmp_path, attributes)
    write_zarr2(tmp_path / "0", numbered((4, 4, 4)), (4, 4, 4))
    assert "translation" in described(tmp_path).layers[0].notes[0]


def test_a_collection_has_a_layer_for_each_image(tmp_path: Path) -> None:
    group(tmp_path, {"bioformats2raw.layout": 3})
    for image in ("0", "1", "3"):
        group(tmp_path / image, ome_attributes("zyx", {"0": [1, 1, 1]}))
        write_zarr2(tmp_path / image / "0", numbered((4, 4, 4)), (4, 4, 4))
    assert [layer.name for layer in described(tmp_path).layers] == ["0", "1"]


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        (ome_attributes("zyq", {"0": [1, 1, 1]}), "without x or y"),
        (ome_attributes("yx", {"0": [1, 1]}), "other axes than its image says"),
        (ome_attributes("zyx", {"1": [1, 1, 1]}), "no array"),
        ({"multiscales": [{"datasets": []}]}, "datasets"),
    ],
    ids=["axes", "rank", "array", "datasets"],
)
def test_an_image_that_cannot_be_read_is_named(tmp_path: Path, attributes: dict[str, Any], reason: str) -> None:
    group(tmp_path, attributes)
    write_zarr2(tmp_path / "0", numbered((4, 4, 4)), (4, 4, 4))
    found = described(tmp_path)
    assert not found.layers
    assert reason in found.unreadable["mouse"]


def test_lengths_in_different_units_are_refused(tmp_path: Path) -> None:
    attributes = ome_attributes("zyx", {"0": [1, 1, 1]})
    attributes["multiscales"][0]["axes"][0]["unit"] = "micrometer"
    group(tmp_path, attributes)
    write_zarr2(tmp_path / "0", numbered((4, 4, 4)), (4, 4, 4))
    assert "different units" in described(tmp_path).unreadable["mouse"]


# --- single arrays ---


@pytest.mark.parametrize("version", [2, 3])
def test_a_single_zarr_array(tmp_path: Path, version: int) -> None:
    data = numbered((2, 4, 5, 6), "uint16")
    (write_zarr2 if version == 2 else write_zarr3)(tmp_path, data, (2, 4, 4, 4))
    (layer,) = described(tmp_path).layers
    assert (layer.name, layer.box.size, layer.channels, layer.mags[0].folders) == ("mouse", (6, 5, 4), 2, (".",))
    np.testing.assert_array_equal(voxels(tmp_path, "mouse"), data)


def test_a_zarr_array_that_names_its_axes(tmp_path: Path) -> None:
    data = numbered((6, 5, 4, 3))
    write_zarr3(tmp_path, data, (4, 4, 4, 3), names=["x", "y", "z", "t"])
    (layer,) = described(tmp_path).layers
    assert (layer.box.size, layer.extra_axes) == ((6, 5, 4), (ExtraAxis("t", 0, 3, 3),))
    np.testing.assert_array_equal(voxels(tmp_path, "mouse", extra=(2,))[0], data[..., 2].T)


def test_an_array_of_many_nameless_axes_is_refused(tmp_path: Path) -> None:
    write_zarr2(tmp_path, numbered((2,) * 6), (2,) * 6)
    assert "6 axes" in described(tmp_path).unreadable["mouse"]


# --- N5 ---


@pytest.mark.parametrize("said", ["in the group", "in each level", "nowhere", "cosem"])
def test_an_n5_pyramid(tmp_path: Path, said: str) -> None:
    fine, coarse = numbered((16, 12, 8)), numbered((8, 6, 8))
    factors = [[1, 1, 1], [2, 2, 1]]
    size = {"pixelResolution": {"dimensions": [4, 4, 40], "unit": "nm"}}
    own = said == "in each level"
    write_n5(tmp_path / "s0", fine, (8, 8, 8), more={"downsamplingFactors": factors[0], **size} if own else {})
    write_n5(tmp_path / "s1", coarse, (8, 8, 8), more={"downsamplingFactors": factors[1]} if own else {})
    transforms = [{"axes": ["z", "y", "x"], "scale": scale, "units": ["nm"] * 3} for scale in ([40, 4, 4], [40, 8, 8])]
    cosem = {"multiscales": [{"datasets": [{"path": f"s{n}", "transform": t} for n, t in enumerate(transforms)]}]}
    attributes = {"in the group": {"scales": factors, **size}, "cosem": cosem}.get(said)
    if attributes is not None:
        (tmp_path / "attributes.json").write_text(json.dumps(attributes))

    found = described(tmp_path, "mouse.n5")

    (layer,) = found.layers
    assert found.voxel_size == (
        VoxelSize((1.0, 1.0, 1.0), "pixel") if said == "nowhere" else VoxelSize((4.0, 4.0, 40.0), "nanometer")
    )
    assert (layer.name, layer.data_format, layer.box.size) == ("mouse", "n5", (16, 12, 8))
    assert [mag.mag.literal for mag in layer.mags] == ["1", "2-2-1"]
    np.testing.assert_array_equal(voxels(tmp_path, "mouse")[0], fine.T)
    np.testing.assert_array_equal(voxels(tmp_path, "mouse", 1)[0], coarse.T)


def test_a_single_n5_array(tmp_path: Path) -> None:
    data = numbered((3, 6, 5, 4))
    write_n5(tmp_path, data, (3, 4, 4, 4))
    (layer,) = described(tmp_path).layers
    assert (layer.box.size, layer.channels, layer.element_class) == ((6, 5, 4), 3, "uint24")
    np.testing.assert_array_equal(voxels(tmp_path, "mouse"), data.transpose(0, 3, 2, 1))


# --- Precomputed ---


def test_a_precomputed_volume_begins_at_its_offset(tmp_path: Path) -> None:
    fine, coarse = numbered((16, 12, 8, 1), "uint64"), numbered((8, 6, 4, 1), "uint64")
    write_precomputed(tmp_path, {"fine": fine}, offset=(20, 10, 6), kind="segmentation")
    info = json.loads((tmp_path / "info").read_bytes())
    write_precomputed(
        tmp_path / "other", {"coarse": coarse}, offset=(10, 5, 3), kind="segmentation", resolution=(8, 8, 80)
    )
    info["scales"] += json.loads((tmp_path / "other/info").read_bytes())["scales"]
    (tmp_path / "other/coarse").rename(tmp_path / "coarse")
    (tmp_path / "info").write_text(json.dumps(info))

    found = described(tmp_path)

    (layer,) = found.layers
    assert found.voxel_size == VoxelSize((4.0, 4.0, 40.0), "nanometer")
    assert (layer.category, layer.element_class) == ("segmentation", "uint64")
    assert layer.box == BoundingBox((20, 10, 6), (16, 12, 8))
    assert [mag.mag.literal for mag in layer.mags] == ["1", "2"]
    np.testing.assert_array_equal(voxels(tmp_path, "mouse")[0], fine[..., 0].T)
    np.testing.assert_array_equal(voxels(tmp_path, "mouse", 1)[0], coarse[..., 0].T)


# --- what a folder is ---


def test_an_empty_folder_is_nothing(tmp_path: Path) -> None:
    assert asyncio.run(describe_bare(LocalFiles(tmp_path), name="x")) is None


@pytest.mark.parametrize("name", [".zattrs", ".zarray", "zarr.json", "info", "attributes.json", "s0/attributes.json"])
@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"{}", b'{"attributes": 7}', b'{"scales": 7}', b'{"multiscales": [7]}']
)
def test_junk_is_nothing(name: str, data: bytes) -> None:
    assert asyncio.run(find_kind(MemorySource({name: data}))) is None


def test_a_folder_that_cannot_be_read_is_no_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "zarr.json").symlink_to("/nowhere/at/all")
    with pytest.raises(SourceUnavailable):
        asyncio.run(find_kind(LocalFiles(tmp_path)))


def test_the_documents_that_count_are_witnesses(tmp_path: Path) -> None:
    group(tmp_path, ome_attributes("zyx", {"0": [1, 1, 1]}))
    write_zarr2(tmp_path / "0", numbered((4, 4, 4)), (4, 4, 4))
    assert set(bare(tmp_path).witnesses) == {".zattrs", "0/.zarray"}


@pytest.mark.parametrize(
    ("folder", "element_class"),
    [
        ("simple_zarr3_dataset/color", "uint24"),
        ("simple_zarr_dataset/color/1-1-1", "uint24"),
        ("simple_n5_dataset/color/1", "uint32"),
        ("simple_ng_dataset/color", "uint24"),
    ],
)
def test_real_folders_without_their_description(folder: str, element_class: str) -> None:
    root = TESTDATA / folder
    if not root.is_dir():
        pytest.skip(f"{root} is not there")
    (layer,) = described(root).layers
    assert (layer.element_class, layer.channels, layer.box.size) == (element_class, 3, (24, 24, 24))
    assert voxels(root, layer.name).sum() == 5287680
