"""The WEBKNOSSOS dialect below /data, straight through the server's application."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import numpy as np
import pytest
from fastapi.testclient import TestClient

from builders.annotation_zips import Volume, annotation_zip, voxels, wkw_data, zip_of
from builders.machines import machine_with
from builders.wkw_files import LayerFiles, Objects, dataset, noise, pyramid, ramp, write_tree
from builders.zarr_readers import voxels_by_tensorstore, voxels_by_zarr
from zarrlink.formats.wkw import BlockType
from zarrlink.formats.zarr_keys import Dialect
from zarrlink.geometry import Mag
from zarrlink_local.machine import open_machine
from zarrlink_local.server import create_app

ANN = {"X-Auth-Token": "ann-token"}
ONE, TWO = Mag(1, 1, 1), Mag(2, 2, 1)
DOCUMENTS: dict[Dialect, tuple[str, ...]] = {"v2": (".zgroup", ".zattrs"), "v3": ("zarr.json",)}
Voxels = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Site:
    """A server over the folder `mouse`."""

    client: TestClient
    folder: Path
    id: str

    def get(self, path: str) -> httpx2.Response:
        return self.client.get(path, headers=ANN)

    def upload(self, painted: bytes) -> str:
        """The id of an annotation over layer `seg`."""
        upload = annotation_zip(Volume(data=zip_of(painted), fallback_layer="seg"))
        form = {"files": {"file": ("cells.zip", upload)}, "data": {"datasetId": self.id}}
        answer = self.client.post("/api/annotations/upload", headers=ANN, **form)
        found: str = answer.json()["annotation"]["id"]
        return found

    def tree(self, layer: str, mag: str, shape: tuple[int, ...], dialect: Dialect) -> Objects:
        """A layer (its address below the client's) as its keys, with all chunks of one mag."""
        chunks = itertools.product(*(range(-(-length // 32)) for length in shape))
        array = ".zarray" if dialect == "v2" else "zarr.json"
        keys = [*DOCUMENTS[dialect], f"{mag}/{array}", *(f"{mag}/0.{x}.{y}.{z}" for z, y, x in chunks)]
        found = {}
        for key in keys:
            reply = self.get(f"{layer}/{key}")
            assert reply.status_code in (200, 404), (key, reply.text)
            if reply.status_code == 200:
                found[key] = reply.content
        return found


def open_site(tmp_path: Path, objects: Objects) -> Site:
    machine = machine_with(tmp_path, objects, ("ann",))
    client = TestClient(create_app(machine, "http://x"), raise_server_exceptions=False)
    return Site(client, tmp_path / "data/mouse", machine.catalogue.all()[0].id)


def segmentation(volume: Voxels, file_side: int = 1, kind: BlockType = BlockType.LZ4) -> LayerFiles:
    volumes = pyramid(volume, (ONE, TWO))
    return LayerFiles("seg", volumes, category="segmentation", file_side=file_side, block_type=kind)


@pytest.mark.parametrize("kind", [BlockType.LZ4, BlockType.RAW])
@pytest.mark.parametrize("file_side", [1, 2])
def test_a_chunk_over_many_replaced_files_is_read_anew(tmp_path: Path, file_side: int, kind: BlockType) -> None:
    old, new = noise((40, 40, 40), "uint32", seed=1), noise((40, 40, 40), "uint32", seed=2)
    site = open_site(tmp_path, dataset(segmentation(old, file_side, kind)))
    annotation = site.upload(wkw_data({"1": {(1, 0, 0): voxels(1)}}))
    layers = {
        f"/data/zarr/{site.id}/seg": 1,
        f"/data/annotations/zarr/{annotation}/seg": 1,
        # Blocks of another side than those below: merged voxel by voxel.
        f"/data/annotations/zarr/{annotation}/Volume": 1,
    }
    cutout = f"/data/datasets/{site.id}/layers/seg/data?x=0&y=0&z=0&width=40&height=40&depth=40"

    def check(volume: Voxels) -> None:
        for layer in layers:
            reply = site.get(f"{layer}/1/0.0.0.0")
            assert reply.status_code == 200, (layer, reply.text)
            found = np.frombuffer(reply.content, "<u4").reshape(32, 32, 32)
            np.testing.assert_array_equal(found, volume[:32, :32, :32], err_msg=layer)
        found = np.frombuffer(site.get(cutout).content, "<u4").reshape(40, 40, 40)
        np.testing.assert_array_equal(found, volume)

    check(old)
    write_tree(dataset(segmentation(new, file_side, kind)), site.folder)
    check(new)


def test_the_version_of_an_address_says_which_zarr_it_means(tmp_path: Path) -> None:
    volume = ramp((40, 33, 35), "uint32")
    rgb = ramp((40, 33, 35), "uint8", channels=3)
    layers = segmentation(volume), LayerFiles("rgb", {ONE: rgb})
    site = open_site(tmp_path, dataset(*layers))
    annotation = site.upload(wkw_data({"1": {(1, 0, 0): voxels(1)}}))
    words: dict[str, Dialect] = {
        "/data/v10/{}zarr": "v2",
        "/data/v14/{}zarr": "v2",
        "/data/v15/{}zarr": "v3",
        "/data/v16/{}zarr": "v3",
        "/data/{}zarr": "v3",
        "/data/v14/{}zarr3_experimental": "v3",
        "/data/v16/{}zarr3_experimental": "v3",
        "/data/{}zarr3_experimental": "v3",
    }
    for word, dialect in words.items():
        for place in (f"{word.format('')}/{site.id}", f"{word.format('annotations/')}/{annotation}"):
            said = site.get(f"{place}/datasource-properties.json").json()
            assert {layer["dataFormat"] for layer in said["dataLayers"]} == {"zarr" if dialect == "v2" else "zarr3"}
            for layer, mag, expected in (("seg", "1", volume[None]), ("rgb", "1", np.moveaxis(rgb, 3, 0))):
                found = site.tree(f"{place}/{layer}", mag, expected.shape[1:], dialect)
                for read in (voxels_by_zarr, voxels_by_tensorstore):
                    np.testing.assert_array_equal(read(found, dialect, mag).transpose(0, 3, 2, 1), expected)
            other = ".zarray" if dialect == "v3" else "zarr.json"
            for absent in (f"seg/1/{other}", f"seg/{other}", "zarr.json", "seg/1/.zattrs", "seg/none"):
                assert site.get(f"{place}/{absent}").status_code == 404, (place, absent)
            root = site.get(f"{place}/.zgroup")
            assert root.status_code == (200 if dialect == "v2" else 404)
    for version, form in (("v14/", "zarr"), ("v15/", "zarr3"), ("", "zarr3")):
        said = site.get(f"/api/{version}datasets/{site.id}").json()["dataSource"]
        assert {layer["dataFormat"] for layer in said["dataLayers"]} == {form}


@pytest.mark.parametrize("dialect", ["v2", "v3"])
def test_a_layer_is_a_multiscale_image(tmp_path: Path, dialect: Dialect) -> None:
    site = open_site(tmp_path, dataset(segmentation(ramp((40, 33, 35), "uint32"))))
    place = f"/data/{'v14' if dialect == 'v2' else 'v15'}/zarr/{site.id}/seg"
    if dialect == "v2":
        assert site.get(f"{place}/.zgroup").json() == {"zarr_format": 2}
        (image,) = site.get(f"{place}/.zattrs").json()["multiscales"]
        assert image["version"] == "0.4"
    else:
        (image,) = site.get(f"{place}/zarr.json").json()["attributes"]["ome"]["multiscales"]
    assert [axis["name"] for axis in image["axes"]] == ["c", "x", "y", "z"]
    scales = {it["path"]: it["coordinateTransformations"][0]["scale"] for it in image["datasets"]}
    assert scales == {"1": [1, 8, 8, 25], "2-2-1": [1, 16, 16, 25]}
    found = site.tree(place, "2-2-1", (35, 17, 20), dialect)
    shape = voxels_by_zarr(found, dialect, "2-2-1").shape
    assert shape == (1, 20, 17, 35)


def damage(site: Site, what: str) -> None:
    place = site.folder / "broken/1/header.wkw"
    if what == "garbage":
        place.write_bytes(b"garbage" * 3)
    else:
        place.unlink()
        place.mkdir()


@pytest.mark.parametrize("what", ["garbage", "a folder"])
@pytest.mark.parametrize("known", [False, True])
def test_a_damaged_layer_is_left_out_by_name_and_the_others_stay(tmp_path: Path, what: str, known: bool) -> None:
    layers = segmentation(ramp((9, 9, 9), "uint32")), LayerFiles("broken", {ONE: ramp((9, 9, 9))})
    site = open_site(tmp_path, dataset(*layers))
    addresses = (f"/api/datasets/{site.id}", f"/data/zarr/{site.id}/datasource-properties.json")
    if known:
        assert [site.get(address).json()["unavailable"] for address in addresses] == [[], []]
    damage(site, what)
    fresh = TestClient(create_app(open_machine(tmp_path / "state.sqlite"), "http://x"))
    for address in addresses:
        reply = fresh.get(address, headers=ANN)
        assert reply.status_code == 200
        said = reply.json()
        (gone,) = said["unavailable"]
        assert gone["name"] == "broken"
        assert gone["reason"].startswith("the stored data" if what == "a folder" else "a stored file is damaged")
        assert str(tmp_path) not in reply.text
        assert [layer["name"] for layer in said.get("dataSource", said)["dataLayers"]] == ["seg"]
    assert fresh.get(f"/data/zarr/{site.id}/seg/1/0.0.0.0", headers=ANN).status_code == 200
    status = 502 if what == "garbage" else 503
    for key in ("zarr.json", "0.0.0.0"):
        assert fresh.get(f"/data/zarr/{site.id}/broken/1/{key}", headers=ANN).status_code == status


def test_a_link_to_all_that_can_be_read_leaves_a_damaged_layer_out_by_name(tmp_path: Path) -> None:
    layers = segmentation(ramp((9, 9, 9), "uint32")), LayerFiles("broken", {ONE: ramp((9, 9, 9))})
    site = open_site(tmp_path, dataset(*layers))
    damage(site, "garbage")
    client = TestClient(create_app(open_machine(tmp_path / "state.sqlite"), "http://x"))
    made = client.post("/api/zarrPrivateLinks", headers=ANN, json={"dataset": site.id}).json()
    assert [layer["name"] for layer in made["layers"]] == ["seg"]
    assert made["leftOut"][0].startswith("layer 'broken': a stored file is damaged")
    wanted = {"dataset": site.id, "scope": {"layers": ["broken", "seg"]}}
    assert client.post("/api/zarrPrivateLinks", headers=ANN, json=wanted).status_code == 502


def test_a_dataset_of_nothing_but_a_damaged_layer_is_a_failure(tmp_path: Path) -> None:
    site = open_site(tmp_path, dataset(LayerFiles("broken", {ONE: ramp((9, 9, 9))})))
    damage(site, "garbage")
    for address in (f"/api/datasets/{site.id}", f"/data/zarr/{site.id}/datasource-properties.json"):
        assert site.get(address).status_code == 502


def test_what_webknossos_has_no_words_for_is_named(tmp_path: Path) -> None:
    layers = LayerFiles("two", {ONE: ramp((9, 9, 9), channels=2)}), LayerFiles("one", {ONE: ramp((9, 9, 9))})
    site = open_site(tmp_path, dataset(*layers))
    said = site.get(f"/data/zarr/{site.id}/datasource-properties.json").json()
    assert [layer["name"] for layer in said["dataLayers"]] == ["one"]
    assert [it["name"] for it in said["unavailable"]] == ["two"]


def test_a_viewer_that_sends_no_header_may_say_its_token_in_the_address(tmp_path: Path) -> None:
    site = open_site(tmp_path, dataset(segmentation(ramp((9, 9, 9), "uint32"))))
    client = TestClient(create_app(open_machine(tmp_path / "state.sqlite"), "http://x"))
    address = f"/data/zarr/{site.id}/seg/1/0.0.0.0"
    token = ANN["X-Auth-Token"]
    assert client.get(f"{address}?token={token}").content == client.get(address, headers=ANN).content
    assert client.get(f"{address}?token=another").status_code == 401
    answer = client.get("/api/zarrPrivateLinks", headers=ANN)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")


NASTY = ("a%2Fb", "a b", "ä", "a#b", "a?b", "100%", "a%b", "zarr.json", "a;b+c")


def test_layers_with_nasty_names_are_where_they_are_said_to_be(tmp_path: Path) -> None:
    volumes = {name: noise((9, 9, 9), seed=seed) for seed, name in enumerate(NASTY)}
    site = open_site(tmp_path, dataset(*(LayerFiles(name, {ONE: volume}) for name, volume in volumes.items())))
    place = f"/data/zarr/{site.id}"
    said = site.get(f"{place}/datasource-properties.json").json()
    assert {layer["name"] for layer in said["dataLayers"]} == set(NASTY)
    for layer in said["dataLayers"]:
        name, path = layer["name"], layer["mags"][0]["path"].removeprefix("./")
        assert path == f"{quote(name, safe='')}/1"
        for document in (f"{path}/zarr.json", f"{path.removesuffix('/1')}/zarr.json"):
            assert site.get(f"{place}/{document}").status_code == 200, name
        chunk = np.frombuffer(site.get(f"{place}/{path}/0.0.0.0").content, "u1").reshape(32, 32, 32)
        np.testing.assert_array_equal(chunk[:9, :9, :9], volumes[name], err_msg=name)
    made = site.client.post("/api/zarrPrivateLinks", headers=ANN, json={"dataset": site.id}).json()
    facts = site.client.get(f"/zarr/{made['accessToken']}/", headers={"Accept": "application/json"}).json()
    shown = {layer["name"]: layer for layer in facts["layers"]}
    for layer in made["layers"]:
        name = layer["name"]
        for dialect, document in (("v2", "0/.zarray"), ("v3", "0/zarr.json")):
            address = layer[dialect].removeprefix("http://x")
            assert address == f"/zarr/{made['accessToken']}/{shown[name][dialect]}"
            assert site.client.get(f"{address}/{document}").status_code == 200, (name, dialect)
