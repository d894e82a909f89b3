"""Datasets as the `webknossos` library opens and downloads them, from a server on a socket; annotations by their stream."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import tensorstore as ts

from builders.annotation_zips import Volume, annotation_zip, voxels, wkw_data, zip_of
from builders.foreign_arrays import numbered, write_zarr3
from builders.foreign_datasets import describe, entry
from builders.loopback import served
from builders.webknossos_library import NOT_THERE, PYTHON, download_dataset_by_library, stream_by_library
from builders.wkw_files import LayerFiles, dataset, pyramid, ramp, write_tree
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


def test_an_annotation_is_streamed_over_its_dataset(site: Site, tmp_path: Path) -> None:
    segments = ramp((70, 40, 33), "uint32")
    write_tree(
        dataset(LayerFiles("seg", {ONE: segments}, category="segmentation", block_side=32)), tmp_path / "data/mouse"
    )
    dataset_id = site.register(tmp_path / "data")
    painted = zip_of(wkw_data({"1": {(1, 0, 0): voxels(1)}}))
    upload = annotation_zip(Volume(data=painted, fallback_layer="seg"))
    files, to = {"file": ("cells.zip", upload)}, {"datasetId": dataset_id}
    answer = httpx2.post(f"{site.address}/api/annotations/upload", headers=ANN, files=files, data=to)
    annotation = answer.json()["annotation"]["id"]

    expected = segments.copy()
    expected[:32, :32, 32:64] = np.frombuffer(voxels(1), "<u4").reshape(32, 32, 32)
    np.testing.assert_array_equal(site.array(f"annotations/zarr/{annotation}/Volume/1"), in_library(expected))
    np.testing.assert_array_equal(site.array(f"annotations/zarr/{annotation}/seg/1"), in_library(segments))
    said = site.get(f"/data/v16/annotations/zarr/{annotation}/datasource-properties.json").json()
    assert [layer["name"] for layer in said["dataLayers"]] == ["Volume", "seg"]
    # It is its owner's alone.
    for tail in ("datasource-properties.json", "Volume/1/zarr.json", "Volume/1/0.0.0.0"):
        assert site.get(f"/data/annotations/zarr/{annotation}/{tail}").status_code == 200
        assert site.get(f"/data/annotations/zarr/{annotation}/{tail}", BOB).status_code == 404


@pytest.fixture
def mouse(site: Site, tmp_path: Path) -> str:
    wkw_dataset(tmp_path / "data" / "mouse")
    return site.register(tmp_path / "data")


def test_nobody_reads_without_a_token(site: Site, mouse: str) -> None:
    stream = f"/data/v16/zarr/{mouse}"
    for path in (
        "/api/v16/user",
        f"/api/v16/datasets/{mouse}",
        "/api/v16/datastores",
        "/api/v16/tracingstore",
        f"{stream}/datasource-properties.json",
        f"{stream}/em/1/zarr.json",
        f"{stream}/em/1/0.1.0.0",
    ):
        assert site.get(path).status_code == 200
        assert site.get(path, {}).status_code == 401
        assert site.get(path, {"X-Auth-Token": "ann-tokem"}).status_code == 401


def test_what_is_not_there_is_not_found(site: Site, mouse: str) -> None:
    stream = f"/data/zarr/{mouse}"
    for path in (
        f"/api/datasets/{'0' * 24}",
        "/api/datasets/disambiguate/zarrlink/rat/toId",
        "/api/datasets/disambiguate/others/mouse/toId",
        f"/data/zarr/{'0' * 24}/datasource-properties.json",
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
