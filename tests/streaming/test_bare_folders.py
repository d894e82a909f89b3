"""Folders without a description, registered by `zarrlink datasets add` and `zarrlink serve`, streamed to the voxel."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest
import zarr

from builders.commands import Result
from builders.door import Door, door_to
from builders.foreign_arrays import (
    BLOSC_V2,
    numbered,
    ome_attributes,
    write_n5,
    write_precomputed,
    write_zarr2,
    write_zarr3,
)
from builders.foreign_datasets import ONE, assert_served
from zarrlink.errors import SourceUnavailable
from zarrlink.geometry import Mag
from zarrlink.library import Subject
from zarrlink.links.service import create_link
from zarrlink.storage.files import LocalFiles
from zarrlink_local.machine import open_machine

TWO, FOUR = Mag(2, 2, 1), Mag(4, 4, 2)
MAGS = (ONE, TWO, FOUR)
BASE = np.zeros((20, 40, 48), "uint16")
# A landmark of whole voxels in every mag: z 4 to 8, y 16 to 24, x 20 to 32.
BASE[4:8, 16:24, 20:32] = 1000
VOXEL = np.array([40.0, 5.0, 4.0])


def level(mag: Mag) -> np.ndarray:
    """The landmark in a mag."""
    return np.ascontiguousarray(BASE[:: mag.z, :: mag.y, :: mag.x])


def write_ome(folder: Path, version: str, labels: tuple[str, ...] = ()) -> None:
    scales = {str(number): list(VOXEL * mag.xyz[::-1]) for number, mag in enumerate(MAGS)}
    for number, mag in enumerate(MAGS):
        if version == "0.4":
            write_zarr2(folder / str(number), level(mag), (8, 8, 8), compressor=BLOSC_V2, separator="/")
        else:
            write_zarr3(folder / str(number), level(mag), (4, 8, 8), shard=(8, 16, 16), names=["z", "y", "x"])
    write_attributes(folder, version, ome_attributes("zyx", scales, version=version))
    if labels:
        write_attributes(
            folder / "labels", version, {"labels": labels} if version == "0.4" else {"ome": {"labels": labels}}
        )
    for label in labels:
        more = {"image-label": {"version": version}}
        place = folder / "labels" / label
        attributes = ome_attributes("zyx", {"0": list(VOXEL * (1, 2, 2))}, version=version, more=more)
        write_attributes(place, version, attributes)
        data = level(TWO).astype("uint32") + 7
        if version == "0.4":
            write_zarr2(place / "0", data, (8, 8, 8))
        else:
            write_zarr3(place / "0", data, (8, 8, 8))


def write_attributes(folder: Path, version: str, attributes: dict) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if version == "0.4":
        (folder / ".zgroup").write_text('{"zarr_format": 2}')
        (folder / ".zattrs").write_text(json.dumps(attributes))
    else:
        document = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
        (folder / "zarr.json").write_text(json.dumps(document))


def write(folder: Path, form: str) -> None:
    match form:
        case "0.4" | "0.5":
            write_ome(folder, form)
        case "n5":
            for number, mag in enumerate(MAGS):
                factors = {"downsamplingFactors": list(mag.xyz)}
                write_n5(folder / f"s{number}", np.ascontiguousarray(level(mag).T), (8, 8, 8), more=factors)
            group = {
                "downsamplingFactors": [list(mag.xyz) for mag in MAGS],
                "pixelResolution": {"dimensions": list(VOXEL[::-1]), "unit": "nm"},
            }
            (folder / "attributes.json").write_text(json.dumps(group))
        case "precomputed":
            levels = {mag.literal: np.ascontiguousarray(level(mag).T)[..., None] for mag in MAGS}
            write_precomputed(folder, levels, resolution=tuple(VOXEL[::-1]))
            info = json.loads((folder / "info").read_text())
            for scale, mag in zip(info["scales"], MAGS, strict=True):
                scale["resolution"] = [length * side for length, side in zip(VOXEL[::-1], mag.xyz, strict=True)]
            (folder / "info").write_text(json.dumps(info))


def door_to_added(capsys, tmp_path: Path, folder: Path) -> tuple[Door, str]:
    """A door to what `datasets add` registered, and its name."""
    state = tmp_path / "state.sqlite"
    open_machine(state)
    found = Result(capsys, "datasets", "add", folder, "--state", state, "--json").json
    (record,) = open_machine(state).catalogue.all()
    assert [entry["id"] for entry in found] == [record.id]
    door = door_to(LocalFiles(Path(record.location)), most_bytes=2**25)
    return door, record.name


FORMS = ["0.4", "0.5", "n5", "precomputed"]


@pytest.mark.parametrize("form", FORMS)
def test_a_multiscale_volume(capsys, tmp_path: Path, form: str) -> None:
    write(tmp_path / "data/mouse.zarr", form)
    door, name = door_to_added(capsys, tmp_path, tmp_path / "data")
    assert name == "mouse.zarr"
    (layer,) = door.link.view.layers
    opened = door.opened(layer).layer
    assert [level.mag for level in opened.levels] == list(MAGS)
    assert (opened.voxel_size.factor, opened.voxel_size.unit) == ((4.0, 5.0, 40.0), "nanometer")
    assert_served(door, layer, {mag: level(mag) for mag in MAGS})


@pytest.mark.parametrize("form", FORMS)
def test_one_landmark_lies_at_one_place_at_every_level(capsys, tmp_path: Path, form: str) -> None:
    from builders.reading import read_level

    write(tmp_path / "mouse", form)
    door, _ = door_to_added(capsys, tmp_path, tmp_path)
    (layer,) = door.link.view.layers
    for dialect, document in (("v2", ".zattrs"), ("v3", "zarr.json")):
        attributes = json.loads(door.get(f"{dialect}/{layer}.zarr/{document}").body)
        images = attributes if dialect == "v2" else attributes["attributes"]["ome"]
        multiscale = images["multiscales"][0]
        assert [axis.get("unit") for axis in multiscale["axes"]] == ["nanometer"] * 3
        scales = []
        for number, entry in enumerate(multiscale["datasets"]):
            scale, translation = (np.array(part[part["type"]]) for part in entry["coordinateTransformations"])
            scales.append(scale)
            found = np.argwhere(read_level(door, layer, dialect, number) == 1000)
            low = (found.min(axis=0) - 0.5) * scale + translation
            high = (found.max(axis=0) + 0.5) * scale + translation
            np.testing.assert_allclose(low, (np.array([4, 16, 20]) - 0.5) * VOXEL)
            np.testing.assert_allclose(high, (np.array([8, 24, 32]) - 0.5) * VOXEL)
        np.testing.assert_allclose(scales[0], VOXEL)
        np.testing.assert_allclose(scales[1] / scales[0], TWO.xyz[::-1])
        np.testing.assert_allclose(scales[2] / scales[0], FOUR.xyz[::-1])
        assert multiscale["metadata"]["mags"] == ["1", "2-2-1", "4-4-2"]
        assert multiscale["metadata"]["boundingBox"] == [0, 0, 0, 48, 40, 20]
        assert multiscale["metadata"]["elementClass"] == "uint16"


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_labels_are_layers_whose_mags_are_those_of_the_image(capsys, tmp_path: Path, version: str) -> None:
    write_ome(tmp_path / "mouse.ome.zarr", version, ("cells", "nuclei"))
    door, _ = door_to_added(capsys, tmp_path, tmp_path)
    # The image has no name of its own: it is called as its dataset is.
    assert door.link.view.layers == ("cells", door.record.name, "nuclei")
    for name in ("cells", "nuclei"):
        layer = door.opened(name).layer
        assert (layer.category, [level.mag for level in layer.levels]) == ("segmentation", [TWO])
        assert_served(door, name, {TWO: level(TWO).astype("uint32") + 7})


@pytest.mark.parametrize("version", [2, 3])
def test_a_single_array_that_is_named(capsys, tmp_path: Path, version: int) -> None:
    data = numbered((3, 20, 19, 18), "uint8")
    if version == 2:
        write_zarr2(tmp_path / "rgb.zarr", data, (1, 8, 8, 8))
    else:
        write_zarr3(tmp_path / "rgb.zarr", data, (1, 8, 8, 8), names=["c", "z", "y", "x"])
    door, _ = door_to_added(capsys, tmp_path, tmp_path / "rgb.zarr")
    (layer,) = door.link.view.layers
    opened = door.opened(layer).layer
    assert (opened.element_class, opened.channels) == ("uint24", 3)
    assert_served(door, layer, {ONE: data})
    # Nothing is said of lengths, so nothing is made up.
    axes = json.loads(door.get(f"v2/{layer}.zarr/.zattrs").body)["multiscales"][0]["axes"]
    assert all("unit" not in axis for axis in axes)


@pytest.mark.parametrize("version", [2, 3])
def test_a_single_array_of_truth_values(capsys, tmp_path: Path, version: int) -> None:
    data = np.random.default_rng(2).random((20, 19, 18)) < 0.3
    array = zarr.create_array(
        str(tmp_path / "mask.zarr"), shape=data.shape, chunks=(8, 8, 8), dtype="bool", zarr_format=version
    )
    array[...] = data
    door, _ = door_to_added(capsys, tmp_path, tmp_path / "mask.zarr")
    (layer,) = door.link.view.layers
    assert door.opened(layer).layer.element_class == "uint8"
    assert_served(door, layer, {ONE: data.astype("uint8")})


def test_a_precomputed_volume_that_starts_elsewhere(capsys, tmp_path: Path) -> None:
    data = numbered((30, 20, 10, 1), "uint32")
    write_precomputed(tmp_path / "seg", {"8_8_40": data}, offset=(100, -7, 33), kind="segmentation")
    door, _ = door_to_added(capsys, tmp_path, tmp_path)
    (layer,) = door.link.view.layers
    assert door.opened(layer).layer.box.to_list() == [100, -7, 33, 30, 20, 10]
    assert_served(door, layer, {ONE: data[..., 0].transpose(2, 1, 0)}, offset=(100, -7, 33))


def test_what_is_no_volume_is_said(capsys, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    state = tmp_path / "state.sqlite"
    open_machine(state)
    refusal = Result(capsys, "datasets", "add", tmp_path / "empty", "--state", state).refusal
    assert "or is a volume that zarrlink knows" in refusal


def test_a_description_in_the_folder_counts_more(capsys, tmp_path: Path) -> None:
    from builders.foreign_datasets import describe, entry

    write_ome(tmp_path / "mouse", "0.4")
    describe(tmp_path / "mouse", entry("em", "zarr", "uint16", (48, 40, 20), order="zyx", mags={ONE: "0"}))
    door, _ = door_to_added(capsys, tmp_path, tmp_path)
    assert door.link.view.layers == ("em",)
    assert_served(door, "em", {ONE: level(ONE)})


TIMES = {"t": 3, "z": 10, "y": 12, "x": 14}


@pytest.mark.parametrize("names", [("t", "z", "y", "x"), ("Time", "z", "y", "x")])
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_time_is_an_axis_of_its_own(capsys, tmp_path: Path, version: str, names: tuple[str, ...]) -> None:
    data = numbered(tuple(TIMES.values()), "uint8")
    folder = tmp_path / "movie"
    if version == "0.4":
        write_zarr2(folder / "0", data, (1, 8, 8, 8), separator="/")
    else:
        write_zarr3(folder / "0", data, (1, 4, 4, 4), shard=(1, 8, 8, 8))
    attributes = ome_attributes("tzyx", {"0": [1.0, 40.0, 5.0, 4.0]}, version=version)
    image = (attributes if version == "0.4" else attributes["ome"])["multiscales"][0]
    image["axes"][0]["name"] = names[0]
    write_attributes(folder, version, attributes)
    door, _ = door_to_added(capsys, tmp_path, tmp_path)
    (layer,) = door.link.view.layers
    assert_served(door, layer, {ONE: data})
    for dialect, document in (("v2", ".zattrs"), ("v3", "zarr.json")):
        found = json.loads(door.get(f"{dialect}/{layer}.zarr/{document}").body)
        image = (found if dialect == "v2" else found["attributes"]["ome"])["multiscales"][0]
        assert image["axes"][0] == {"name": "t", "type": "time"}
        assert [axis["name"] for axis in image["axes"]] == ["t", "z", "y", "x"]
        assert len(image["datasets"][0]["coordinateTransformations"][0]["scale"]) == 4


def test_axes_that_ome_has_no_words_for_make_plain_arrays(capsys, tmp_path: Path) -> None:
    """With names for their axes, and without multiscales."""
    data = numbered((2, 3, 9, 10, 11), "uint8")
    write_zarr3(tmp_path / "a/0", data, (1, 1, 8, 8, 8), names=["angle", "phase", "z", "y", "x"])
    attributes = ome_attributes("zyx", {"0": [1.0, 1.0, 40.0, 5.0, 4.0]}, version="0.5")
    image = attributes["ome"]["multiscales"][0]
    image["axes"] = [{"name": "angle"}, {"name": "phase"}, *image["axes"]]
    image["datasets"][0]["coordinateTransformations"][0]["scale"] = [1.0, 1.0, 40.0, 5.0, 4.0]
    write_attributes(tmp_path / "a", "0.5", attributes)
    door, _ = door_to_added(capsys, tmp_path, tmp_path)
    (layer,) = door.link.view.layers
    assert_served(door, layer, {ONE: data})
    assert json.loads(door.get(f"v2/{layer}.zarr/.zattrs").body) == {}
    assert json.loads(door.get(f"v3/{layer}.zarr/zarr.json").body)["attributes"] == {}
    array = json.loads(door.get(f"v3/{layer}.zarr/0/zarr.json").body)
    assert array["dimension_names"] == ["angle", "phase", "z", "y", "x"]


@pytest.mark.parametrize("form", ["0.4", "0.5"])
def test_a_bare_folder_that_goes_away_is_no_fill_value(capsys, tmp_path: Path, form: str) -> None:
    write(tmp_path / "data/mouse", form)
    door, _ = door_to_added(capsys, tmp_path, tmp_path / "data")
    (layer,) = door.link.view.layers
    (tmp_path / "data").rename(tmp_path / "gone")
    chunk = "0/0/0/0" if form == "0.4" else "0/c/0/0/0"
    path = f"{'v2' if form == '0.4' else 'v3'}/{layer}.zarr/{chunk}"
    assert door.get(path).status == 503
    door.library.doubt(door.link.view, layer)
    assert door.get(path).status == 503


def test_the_server_finds_them_as_well(capsys, tmp_path: Path) -> None:
    """And links are made by the command that users have."""
    for form in FORMS:
        write(tmp_path / "data" / form.replace(".", ""), form)
    state = tmp_path / "state.sqlite"
    machine = open_machine(state, ())
    from zarrlink_local.scan import register_below

    records = register_below(tmp_path / "data", machine.catalogue, 0, print)
    assert sorted(record.name for record in records) == ["04", "05", "n5", "precomputed"]
    machine.set_address("http://127.0.0.1:1")
    for record in records:
        made = Result(capsys, "links", "create", record.name, "--state", state, "--json").json
        assert len(made["layers"]) == 1


def test_a_folder_that_is_none_any_more_has_no_layers(tmp_path: Path) -> None:
    write(tmp_path / "mouse", "0.4")
    machine = open_machine(tmp_path / "state.sqlite")
    from zarrlink.links.service import LinkRequest
    from zarrlink_local.scan import register_below

    (record,) = register_below(tmp_path / "mouse", machine.catalogue, 0, print)
    (tmp_path / "mouse/.zattrs").unlink()
    wish = create_link(machine.library, machine.links, Subject(record), "ann", LinkRequest(), 0)
    with pytest.raises(SourceUnavailable):
        asyncio.run(wish)
