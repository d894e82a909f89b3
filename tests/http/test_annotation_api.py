"""Annotations through the API, as WEBKNOSSOS's scripts and library call it."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from builders.annotation_zips import Volume, annotation_zip, nml, voxels, wkw_data, zip_of
from builders.machines import machine_with
from builders.wkw_files import LayerFiles, dataset, ramp
from zarrlink.geometry import Mag
from zarrlink_local.machine import Machine

ANN, BOB = {"X-Auth-Token": "ann-token"}, {"X-Auth-Token": "bob-token"}
SEGMENTS = ramp((64, 64, 64), "uint32")
UPLOAD = "/api/v14/annotations/upload"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    seg = LayerFiles("segmentation", {Mag(1, 1, 1): SEGMENTS}, category="segmentation", block_side=32, file_side=2)
    return machine_with(tmp_path, dataset(seg))


def painted(seed: int = 1) -> bytes:
    """A download with one block painted at (1, 0, 0), over the layer `segmentation`."""
    data = zip_of(wkw_data({"1": {(1, 0, 0): voxels(seed)}}))
    return annotation_zip(Volume(data=data, fallback_layer="segmentation"))


def upload(client: TestClient, file: bytes, name: str = "cells.zip", **fields: str) -> str:
    answer = client.post(UPLOAD, headers=ANN, files={"file": (name, file)}, data=fields)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["annotation"]["typ"] == "Explorational"
    assert "success" in body["messages"][0]
    return body["annotation"]["id"]


def test_from_upload_to_voxels_and_back(client: TestClient, dataset_id: str) -> None:
    annotation = upload(client, painted(), datasetId=dataset_id, createGroupForEachFile="false")
    (listed,) = client.get("/api/annotations/readable", headers=ANN).json()
    assert (listed["id"], listed["dataSetId"]) == (annotation, dataset_id)
    info = client.get(f"/api/v14/annotations/{annotation}/info?timestamp=1", headers=ANN).json()
    assert [layer["name"] for layer in info["annotationLayers"] if layer["typ"] == "Volume"] == ["Volume"]

    link = client.post("/api/zarrPrivateLinks", headers=ANN, json={"annotation": annotation}).json()
    assert (link["annotation"], link["dataset"], link["scope"]["layers"]) == (
        annotation,
        dataset_id,
        ["Volume", "segmentation"],
    )
    expected = SEGMENTS.copy()
    expected[:32, :32, 32:] = np.frombuffer(voxels(1), "<u4").reshape(32, 32, 32)
    assert read_chunk(client, link["accessToken"], "Volume", "0/0/1") == expected[:32, :32, 32:].tobytes()
    assert read_chunk(client, link["accessToken"], "Volume", "0/0/0") == expected[:32, :32, :32].tobytes()
    facts = client.get(f"/zarr/{link['accessToken']}/", headers={"Accept": "application/json"}).json()
    assert (facts["annotation"]["id"], facts["dataset"]["name"]) == (annotation, "mouse")

    answer = client.get(
        f"/api/v14/annotations/{annotation}/download?skipVolumeData=false&volumeDataZipFormat=zarr3", headers=ANN
    )
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"].endswith('.zip"')
    again = upload(client, answer.content, datasetId=dataset_id)
    assert again != annotation
    link = client.post("/api/zarrPrivateLinks", headers=ANN, json={"annotation": again}).json()
    assert read_chunk(client, link["accessToken"], "Volume", "0/0/1") == expected[:32, :32, 32:].tobytes()


def read_chunk(client: TestClient, token: str, layer: str, place: str) -> bytes:
    import numcodecs

    answer = client.get(f"/zarr/{token}/v2/{layer}.zarr/0/{place}")
    assert answer.status_code == 200, answer.text
    return bytes(numcodecs.Blosc().decode(answer.content))


def test_a_skeleton_is_downloaded_as_it_came(client: TestClient) -> None:
    file = nml(skeleton='<thing id="1" name="t"><nodes><node id="1" x="1" y="2" z="3"/></nodes><edges/></thing>')
    annotation = upload(client, file, "my skeleton.nml")
    for address in (f"{annotation}/download", f"Explorational/{annotation}/download?skipVolumeData=true&ids=uploaded"):
        answer = client.get(f"/api/annotations/{address}", headers=ANN)
        assert answer.headers["content-type"] == "application/xml"
        assert answer.headers["content-disposition"] == 'attachment; filename="my%20skeleton.nml"'
        assert answer.content == file


def test_volume_data_can_be_left_out(client: TestClient, dataset_id: str) -> None:
    annotation = upload(client, painted(), datasetId=dataset_id)
    answer = client.get(f"/api/annotations/{annotation}/download?skipVolumeData=true", headers=ANN)
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert [name for name in archive.namelist() if not name.endswith(".nml")] == []
        assert b"location=" not in archive.read(archive.namelist()[0])


def test_an_annotation_is_its_owners_alone(client: TestClient, dataset_id: str) -> None:
    annotation = upload(client, painted(), datasetId=dataset_id)
    assert client.get("/api/annotations/readable", headers=BOB).json() == []
    for method, address in (("GET", "info"), ("GET", "download"), ("DELETE", "")):
        path = f"/api/annotations/{annotation}/{address}".removesuffix("/")
        assert client.request(method, path, headers=BOB).status_code == 404
        assert client.request(method, path).status_code == 401
    made = client.post("/api/zarrPrivateLinks", headers=BOB, json={"annotation": annotation})
    assert made.status_code == 404
    unknown = client.post("/api/zarrPrivateLinks", headers=BOB, json={"annotation": "0" * 24})
    assert {**made.json(), "instance": ""} == {**unknown.json(), "instance": ""}


def test_a_removed_annotation_ends_its_links_and_leaves_nothing(
    client: TestClient, machine: Machine, dataset_id: str, tmp_path: Path
) -> None:
    annotation = upload(client, painted(), datasetId=dataset_id)
    link = client.post("/api/zarrPrivateLinks", headers=ANN, json={"annotation": annotation}).json()
    assert client.delete(f"/api/annotations/{annotation}", headers=ANN).status_code == 200
    assert client.delete(f"/api/annotations/{annotation}", headers=ANN).status_code == 404
    assert list((tmp_path / "state.sqlite.annotations").iterdir()) == []
    machine.library._freshness_s = 0.0
    assert client.get(f"/zarr/{link['accessToken']}/v2/Volume.zarr/.zattrs").status_code == 410


BAD = {
    "no file": ({}, {}, "one file is imported at a time"),
    "two files": ({"a": ("a.nml", nml()), "b": ("b.nml", nml())}, {}, "one file is imported at a time"),
    "another ending": ({"a": ("a.tif", b"II*")}, {}, "called NAME.nml or NAME.zip"),
    "not a zip": ({"a": ("a.zip", b"PK\3\4nonsense")}, {}, ""),
    "not an NML": ({"a": ("a.nml", b"<html/>")}, {}, ""),
    "a doctype": ({"a": ("a.nml", b"<!DOCTYPE things []><things/>")}, {}, ""),
    "an unknown dataset": ({"a": ("a.nml", nml())}, {"datasetId": "0" * 24}, "no dataset of this datasetId"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_uploads_are_refused_and_leave_nothing(client: TestClient, tmp_path: Path, case: str) -> None:
    files, fields, reason = BAD[case]
    answer = client.post(UPLOAD, headers=ANN, files=files or None, data=fields)
    assert answer.status_code == 400, answer.text
    assert reason in answer.json()["detail"]
    assert client.get("/api/annotations/readable", headers=ANN).json() == []
    folder = tmp_path / "state.sqlite.annotations"
    assert not folder.exists() or list(folder.iterdir()) == []


def test_who_is_not_signed_in_uploads_nothing(client: TestClient) -> None:
    headers = {"content-type": "multipart/form-data; boundary=x"}
    assert client.post(UPLOAD, headers=headers, content=b"--x--").status_code == 401


def test_a_cut_out_is_what_webknossos_sends(client: TestClient, dataset_id: str) -> None:
    address = f"/data/v14/datasets/{dataset_id}/layers/segmentation/data"
    box = {"x": 3, "y": 5, "z": 7, "width": 40, "height": 33, "depth": 50, "mag": "1"}
    assert client.get(address, params=box).status_code == 401
    answer = client.get(address, params=box, headers=ANN)
    assert answer.status_code == 200
    found = np.frombuffer(answer.content, "<u4").reshape((40, 33, 50), order="F")
    np.testing.assert_array_equal(found, SEGMENTS[7:57, 5:38, 3:43].transpose())
    outside = client.get(address, params=box | {"x": 60, "width": 8}, headers=ANN)
    found = np.frombuffer(outside.content, "<u4").reshape((8, 33, 50), order="F")
    assert found[4:].sum() == 0
    assert found[:4].min() > 0


@pytest.mark.parametrize(
    ("change", "status"),
    [({"mag": "2"}, 404), ({"mag": "x"}, 400), ({"width": 0}, 400), ({"width": 10**6, "height": 10**6}, 400)],
)
def test_cut_outs_that_cannot_be(client: TestClient, dataset_id: str, change: dict[str, object], status: int) -> None:
    box = {"x": 0, "y": 0, "z": 0, "width": 8, "height": 8, "depth": 8, "mag": "1"}
    address = f"/data/datasets/{dataset_id}/layers/segmentation/data"
    assert client.get(address, params=box | change, headers=ANN).status_code == status


def test_a_browser_downloads_with_the_token_in_the_address_and_nothing_else_takes_it_there(
    client: TestClient, dataset_id: str
) -> None:
    path = f"/api/annotations/{upload(client, painted(), datasetId=dataset_id)}"
    assert client.get(f"{path}/download").status_code == 401
    assert client.get(f"{path}/download?token=ann-token").status_code == 200
    assert client.get(f"{path}/download?token=bob-token").status_code == 404
    assert client.get(f"{path}/download?token=nobodys").status_code == 401
    assert client.get(f"{path}/info?token=ann-token").status_code == 401
