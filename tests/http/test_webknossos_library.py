"""Datasets as the `webknossos` library opens and downloads them, from a server on a socket; annotations by their stream."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import tensorstore as ts

from builders.annotation_zips import TREE, Volume, annotation_zip, nml, voxels, wkw_data, zip_of
from builders.foreign_arrays import numbered, write_zarr3
from builders.foreign_datasets import describe, entry
from builders.loopback import served
from builders.webknossos_library import (
    NOT_THERE,
    PYTHON,
    download_by_library,
    download_dataset_by_library,
    info_by_library,
    open_annotation_by_library,
    open_dataset_by_library,
    open_link_by_library,
    stream_by_library,
)
from builders.wkw_files import LayerFiles, dataset, pyramid, ramp, write_tree
from zarrlink.formats.nml import parse
from zarrlink.geometry import BoundingBox, Mag, Vec3
from zarrlink.users.interface import User, hash_user_token
from zarrlink_local.machine import Machine, open_machine
from zarrlink_local.scan import register_below
from zarrlink_local.server import create_app

ANN, BOB = {"X-Auth-Token": "ann-token"}, {"X-Auth-Token": "bob-token"}
ONE, TWO = Mag(1, 1, 1), Mag(2, 2, 1)
needs_library = pytest.mark.skipif(not PYTHON.exists(), reason=NOT_THERE)
Voxels = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Site:
    """A server and its state."""

    machine: Machine
    address: str

    def register(self, folder: Path) -> str:
        (record,) = register_below(folder, self.machine.catalogue, 1, pytest.fail)
        return record.id

    def get(self, path: str, headers: dict[str, str] = ANN) -> httpx2.Response:
        return httpx2.get(f"{self.address}{path}", headers=headers)

    def upload(self, name: str, data: bytes, dataset: str) -> str:
        files, to = {"file": (name, data)}, {"datasetId": dataset}
        answer = httpx2.post(f"{self.address}/api/annotations/upload", headers=ANN, files=files, data=to)
        found: str = answer.json()["annotation"]["id"]
        return found

    def array(self, path: str) -> Voxels:
        """An array below /data, (c, x, y, z), as tensorstore reads it."""
        headers = [f"{name}: {value}" for name, value in ANN.items()]
        place = {"driver": "http", "base_url": f"{self.address}/data/v16/{path}/", "headers": headers}
        found: Voxels = ts.open({"driver": "zarr3", "kvstore": place}, open=True).result().read().result()
        return found


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    machine = open_machine(tmp_path / "state.sqlite")
    for name in ("ann", "bob"):
        machine.users.add(User(name, 1), hash_user_token(f"{name}-token"))
    apps: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        # The server says where it is, and knows only when it listens.
        await apps[0](scope, receive, send)

    with served(app) as address:
        apps.append(create_app(machine, address))
        yield Site(machine, address)


CORNER: Vec3 = (37, 20, 11)


def wkw_dataset(folder: Path) -> dict[str, dict[Mag, Voxels]]:
    """Layers of one, and of three channels, off voxel 0 and the grid of blocks: voxels (z, y, x[, c]) by mag."""
    made = {
        "em": ramp((41, 30, 25), "uint16"),
        "rgb": ramp((41, 30, 25), "uint8", channels=3),
        "seg": ramp((41, 30, 25), "uint32"),
    }
    volumes = {name: pyramid(volume, (ONE, TWO), CORNER) for name, volume in made.items()}
    said = {"rgb": {"elementClass": "uint24"}}
    layers = [
        LayerFiles(
            name,
            volumes[name],
            CORNER,
            BoundingBox(CORNER, (41, 30, 25)),
            category="segmentation" if name == "seg" else "color",
            described=said.get(name, {}),
        )
        for name in made
    ]
    write_tree(dataset(*layers), folder)
    return volumes


def only_nml(data: bytes) -> bytes:
    """The NML of a zip."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".nml")]
        return archive.read(name)


def in_library(volume: Voxels) -> Voxels:
    """(z, y, x[, c]) as the library has it, (c, x, y, z)."""
    return np.moveaxis(volume.reshape(*volume.shape[:3], -1), (0, 1, 2, 3), (3, 2, 1, 0))


def assert_same(found: dict[str, dict[Mag, Voxels]], volumes: dict[str, dict[Mag, Voxels]]) -> None:
    assert {name: set(mags) for name, mags in found.items()} == {name: set(mags) for name, mags in volumes.items()}
    for name, mags in volumes.items():
        for mag, volume in mags.items():
            assert found[name][mag].dtype == volume.dtype
            np.testing.assert_array_equal(found[name][mag], in_library(volume), err_msg=f"{name} {mag.literal}")


@needs_library
def test_the_library_streams_and_downloads_a_dataset(site: Site, tmp_path: Path) -> None:
    volumes = wkw_dataset(tmp_path / "data" / "mouse")
    site.register(tmp_path / "data")
    name = site.machine.catalogue.all()[0].name
    assert_same(stream_by_library(site.address, "ann-token", name), volumes)
    assert_same(download_dataset_by_library(site.address, "ann-token", name, tmp_path / "down"), volumes)


@needs_library
@pytest.mark.parametrize("word", ["annotations/zarr", "v14/annotations/zarr", "annotations/zarr3_experimental"])
def test_the_library_opens_a_link_without_any_token_of_its_own(site: Site, tmp_path: Path, word: str) -> None:
    volumes = wkw_dataset(tmp_path / "data" / "mouse")
    dataset_id = site.register(tmp_path / "data")
    wish = {"dataset": dataset_id, "scope": {"layers": ["em", "rgb"]}}
    made = httpx2.post(f"{site.address}/api/zarrPrivateLinks", headers=ANN, json=wish).json()
    (address, _) = [layer["webknossos"] for layer in made["layers"]]
    assert address == f"{site.address}/data/annotations/zarr/{made['accessToken']}/em"
    opened = address.removesuffix("/em").replace("annotations/zarr", word)
    assert_same(open_link_by_library(opened), {name: volumes[name] for name in ("em", "rgb")})


@needs_library
@pytest.mark.parametrize("chunk", [(8, 16, 16), (7, 9, 11)])
def test_the_library_streams_and_downloads_what_is_stored_as_zarr(site: Site, tmp_path: Path, chunk: Vec3) -> None:
    data = numbered((25, 30, 41), "int16")
    write_zarr3(tmp_path / "data/fly/em/1", data, chunk)
    size, corner = (30, 22, 20), (5, 4, 3)
    describe(tmp_path / "data/fly", entry("em", "zarr3", "int16", size, corner=corner, order="zyx"))
    site.register(tmp_path / "data")
    shown = {"em": {ONE: data[3:23, 4:26, 5:35]}}
    name = site.machine.catalogue.all()[0].name
    assert_same(stream_by_library(site.address, "ann-token", name), shown)
    assert_same(download_dataset_by_library(site.address, "ann-token", name, tmp_path / "down"), shown)


@dataclass(frozen=True)
class Painted:
    """An annotation over the layer `seg` of a dataset. `segments`, `expected`: what that has, and what both have."""

    id: str
    dataset: str
    segments: Voxels
    expected: Voxels


@pytest.fixture
def painted(site: Site, tmp_path: Path) -> Painted:
    segments = ramp((70, 40, 33), "uint32")
    write_tree(
        dataset(LayerFiles("seg", {ONE: segments}, category="segmentation", block_side=32)), tmp_path / "data/mouse"
    )
    dataset_id = site.register(tmp_path / "data")
    data = zip_of(wkw_data({"1": {(1, 0, 0): voxels(1)}}))
    annotation = site.upload("cells.zip", annotation_zip(Volume(data=data, fallback_layer="seg")), dataset_id)
    expected = segments.copy()
    expected[:32, :32, 32:64] = np.frombuffer(voxels(1), "<u4").reshape(32, 32, 32)
    return Painted(annotation, dataset_id, segments, expected)


@needs_library
def test_the_library_opens_an_annotation_as_a_dataset(site: Site, painted: Painted) -> None:
    found = open_annotation_by_library(site.address, "ann-token", painted.id)
    assert_same(found, {"Volume": {ONE: painted.expected}, "seg": {ONE: painted.segments}})
    assert info_by_library(site.address, "ann-token", painted.id) == (painted.id, "ann", "zarrlink", painted.dataset)


@needs_library
def test_the_library_downloads_an_annotation_over_its_dataset(site: Site, painted: Painted) -> None:
    found = download_by_library(site.address, "ann-token", painted.id)
    (volume,) = found.volumes.values()
    assert (volume.name, volume.fallback_layer) == ("Volume", "seg")
    np.testing.assert_array_equal(volume.mags[ONE][1, 0, 0], in_library(painted.expected[:32, :32, 32:64])[0])


@needs_library
def test_the_library_opens_an_annotation_of_a_skeleton(site: Site, mouse: str) -> None:
    annotation = site.upload("cells.nml", nml(skeleton=TREE), mouse)
    assert len(download_by_library(site.address, "ann-token", annotation).skeleton) == 1
    assert info_by_library(site.address, "ann-token", annotation) == (annotation, "ann", "zarrlink", mouse)


@needs_library
def test_the_library_opens_a_dataset_by_its_environment(site: Site, tmp_path: Path) -> None:
    volumes = wkw_dataset(tmp_path / "data" / "mouse")
    site.register(tmp_path / "data")
    name = site.machine.catalogue.all()[0].name
    assert_same(open_dataset_by_library(site.address, "ann-token", name), volumes)


def test_older_releases_of_the_library_find_a_dataset_by_name(site: Site, mouse: str) -> None:
    """They take no list without all that a dataset has in WEBKNOSSOS."""
    (listed,) = site.get("/api/v14/datasets?isActive=true&organizationId=zarrlink&searchQuery=mouse").json()
    assert (listed["id"], listed["dataStore"]["url"], listed["folderId"]) == (mouse, site.address, "")
    assert listed["dataSource"].keys() == {"id", "status"}
    (compact,) = site.get("/api/v16/datasets?organizationId=zarrlink&compact=true").json()
    assert "dataSource" not in compact
    assert site.get("/api/v16/datasets?organizationId=other").json() == []


def test_an_nml_names_our_ids_only_for_whoever_opens_it_from_here(site: Site, painted: Painted) -> None:
    download = f"/api/v16/annotations/{painted.id}/download"
    theirs = b'<experiment name="sample_ds" organization="sample_org" datasetId="65a0c1f2e4b0a1b2c3d4e5f6"'
    for query in ("", "?skipVolumeData=true&ids=uploaded"):
        assert theirs in only_nml(site.get(f"{download}{query}").content)
    ours = parse(only_nml(site.get(f"{download}?skipVolumeData=true").content))
    assert (ours.meta("annotationId"), ours.meta("username")) == (painted.id, "ann")
    assert (ours.dataset_id, ours.dataset_name, ours.organization) == (painted.dataset, "mouse", "zarrlink")
    assert ours.meta("writer") == "NmlWriter.scala"
    assert site.get(f"{download}?skipVolumeData=true&ids=x").status_code == 400


def test_an_annotation_is_streamed_over_its_dataset(site: Site, painted: Painted) -> None:
    annotation, segments, expected = painted.id, painted.segments, painted.expected
    np.testing.assert_array_equal(site.array(f"annotations/zarr/{annotation}/Volume/1"), in_library(expected))
    np.testing.assert_array_equal(site.array(f"annotations/zarr/{annotation}/seg/1"), in_library(segments))
    said = site.get(f"/data/v16/annotations/zarr/{annotation}/datasource-properties.json").json()
    assert [layer["name"] for layer in said["dataLayers"]] == ["Volume", "seg"]
    # It is its owner's alone.
    for tail in ("datasource-properties.json", "Volume/1/zarr.json", "Volume/1/0.0.0.0"):
        assert site.get(f"/data/annotations/zarr/{annotation}/{tail}").status_code == 200
        # Not 404, which readers take for fill value.
        assert site.get(f"/data/annotations/zarr/{annotation}/{tail}", BOB).status_code == 410


@pytest.fixture
def mouse(site: Site, tmp_path: Path) -> str:
    wkw_dataset(tmp_path / "data" / "mouse")
    return site.register(tmp_path / "data")


def test_nobody_reads_without_a_token(site: Site, mouse: str) -> None:
    stream = f"/data/v16/zarr/{mouse}"
    for path, status in (
        ("/api/v16/user", 401),
        ("/api/v16/datastores", 401),
        ("/api/v16/tracingstore", 401),
        # Whether there is such a dataset is not told.
        (f"/api/v16/datasets/{mouse}", 401),
        ("/api/v16/datasets/disambiguate/zarrlink/mouse/toId", 401),
        (f"{stream}/datasource-properties.json", 401),
        (f"{stream}/em/1/zarr.json", 401),
        (f"{stream}/em/1/0.1.0.0", 401),
    ):
        assert site.get(path).status_code == 200
        assert site.get(path, {}).status_code == status
        assert site.get(path, {"X-Auth-Token": "ann-tokem"}).status_code == 401


def test_what_is_not_there_is_not_found(site: Site, mouse: str) -> None:
    stream = f"/data/zarr/{mouse}"
    for path in (
        f"/api/datasets/{'0' * 24}",
        "/api/datasets/disambiguate/zarrlink/rat/toId",
        "/api/datasets/disambiguate/others/mouse/toId",
        f"{stream}/none/1/zarr.json",
        f"{stream}/em/8/zarr.json",
        f"{stream}/em/1/.zarray",
        f"{stream}/em/1/0.00.0.0",
        f"{stream}/em/1/1.1.0.0",
        # Of WEBKNOSSOS's array outside of the box, and outside of the array.
        f"{stream}/em/1/0.0.0.0",
        f"{stream}/em/1/0.900000000.0.0",
    ):
        assert site.get(path).status_code == 404, path
    assert site.get(f"{stream}/em/x/zarr.json").status_code == 400
    # Of a dataset that was removed meanwhile no chunk must be taken for fill value.
    for path in ("datasource-properties.json", "em/1/zarr.json", "em/1/0.1.0.0"):
        assert site.get(f"/data/zarr/{'0' * 24}/{path}").status_code == 410


def test_a_dataset_says_nothing_of_its_folder(site: Site, mouse: str, tmp_path: Path) -> None:
    found = site.get(f"/api/v16/datasets/{mouse}")
    assert str(tmp_path) not in found.text
    body = found.json()
    assert body["dataStore"]["url"] == site.address
    rgb = next(layer for layer in body["dataSource"]["dataLayers"] if layer["name"] == "rgb")
    assert (rgb["elementClass"], rgb["numChannels"], rgb["dataFormat"]) == ("uint24", 3, "zarr3")


def test_a_damaged_block_is_an_error_and_never_fill_value(site: Site, mouse: str, tmp_path: Path) -> None:
    for file in (tmp_path / "data/mouse/em/1").rglob("x*.wkw"):
        data = bytearray(file.read_bytes())
        file.write_bytes(data[: len(data) - 100])
    assert site.get(f"/data/zarr/{mouse}/em/1/0.1.0.0").status_code == 502
