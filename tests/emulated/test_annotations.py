"""Annotations by the functions as built: from upload to voxels to download, and a large upload imported."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import numcodecs
import requests

from builders.annotation_stack import form
from builders.annotation_zips import Volume, annotation_zip, voxels, wkw_data, zarr3_data, zip_of
from builders.emulator import skip_unless_built

skip_unless_built()

BLOCK = {"1": {(1, 0, 0): voxels(1)}}


def voxels_of(deployment: Any, annotation: str) -> bytes:
    status, link = deployment.api("POST", "/api/zarrPrivateLinks", {"annotation": annotation})
    assert status == 200, link
    answer = deployment.send("GET", f"/zarr/{link['accessToken']}/v2/Volume.zarr/0/0/0/0")
    assert answer["statusCode"] == 200, answer["body"]
    return bytes(numcodecs.Blosc().decode(answer["body"]))


def test_from_upload_to_voxels_and_back(deployment: Any) -> None:
    for data, kind in ((wkw_data(BLOCK), "wkw"), (zarr3_data(BLOCK), "zarr3")):
        file = annotation_zip(Volume(data=zip_of(data), format=kind))
        headers = {"x_auth_token": "a-personal-token", "content_type": "multipart/form-data; boundary=zarrlink"}
        answer = deployment.send("POST", "/api/annotations/upload", form(file), **headers)
        assert answer["statusCode"] == 200, answer["body"]
        annotation = json.loads(answer["body"])["annotation"]["id"]
        assert voxels_of(deployment, annotation) == voxels(1)
        answer = deployment.send("GET", f"/api/annotations/{annotation}/download", **headers)
        assert answer["headers"]["content-type"] == "application/zip"
        with zipfile.ZipFile(io.BytesIO(answer["body"])) as archive:
            assert archive.testzip() is None
            assert "data_Volume.zip" in archive.namelist()


def test_a_large_upload_is_imported(deployment: Any) -> None:
    """moto has no functions to invoke: what `api` would send is sent by hand."""
    file = annotation_zip(Volume(data=zip_of(zarr3_data(BLOCK)), format="zarr3"))
    status, opened = deployment.api("POST", "/api/annotations/uploads", {"name": "cells.zip", "bytes": len(file)})
    assert status == 200, opened
    etag = requests.put(opened["parts"][0]["url"], data=file, timeout=10).headers["ETag"]
    path = f"/api/annotations/uploads/{opened['id']}"
    assert deployment.api("POST", f"{path}/complete", {"parts": [{"number": 1, "etag": etag}]})[0] == 503
    event = {
        "upload": opened["id"],
        "key": f"uploads/{opened['id']}",
        "owner": "ann",
        "dataset": "",
        "name": "cells.zip",
    }
    answer = deployment.functions["AnnotationImportFunction"].invoke({**event, "annotation": "5" * 24})
    assert answer["state"] == "done", answer
    assert deployment.api("GET", path)[1]["state"] == "done"
    assert voxels_of(deployment, "5" * 24) == voxels(1)
