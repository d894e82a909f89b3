"""What the command line keeps in a stack is what its functions find: from `datasets add` to voxels."""

from __future__ import annotations

import base64
import json
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numcodecs
import pytest

from builders.annotation_zips import Volume, annotation_zip, voxels, wkw_data, zip_of
from builders.commands import Result
from builders.kept import KeptInStack
from builders.lambda_door import ENVIRONMENT, S3Objects, load_function, rest_event
from builders.moto_aws import REGION, MotoAws
from builders.moto_stack import environment
from builders.wkw_files import LayerFiles, dataset, ramp
from zarrlink.geometry import Mag
from zarrlink.http.message import Request

CONTEXT = SimpleNamespace(aws_request_id="request-1", function_name="f", memory_limit_in_mb=512)


def ask(function: Any, path: str, headers: dict[bytes, bytes]) -> tuple[int, bytes]:
    answer = function.handler(rest_event(Request("GET", path, headers)), CONTEXT)
    body = answer["body"]
    return answer["statusCode"], base64.b64decode(body) if answer["isBase64Encoded"] else body.encode()


def test_a_link_of_the_command_line_opens(capsys: Any, aws: MotoAws, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(aws).items():
        monkeypatch.setenv(name, value)
    kept = KeptInStack(aws)
    place = kept.put("lab/mouse", dataset(LayerFiles("em", {Mag(1, 1, 1): ramp((20, 20, 20))})))
    assert Result(capsys, "datasets", "add", place, *kept.options).status == 0
    token = Result(capsys, "users", "add", "ann", *kept.options, "--json").json["token"].encode()
    made = Result(capsys, "links", "create", "mouse", "--owner", "ann", *kept.options, "--json").json

    stack = kept.opened().stack  # type: ignore[attr-defined]
    names = {"LINKS_TABLE": stack.links_table, "CATALOGUE_TABLE": stack.catalogue_table}
    names |= {"ANNOTATIONS_TABLE": stack.annotations_table, "ANNOTATION_BUCKET": stack.annotation_bucket}
    names |= {"USERS_TABLE": stack.users_table, "LINK_KEYS_SECRET": stack.keys_secret}
    # A logger of its own: it holds on to the standard output of this test, which ends with it.
    names["POWERTOOLS_SERVICE_NAME"] = "command-line"
    # Lambda sets both words for the region.
    for name, value in {**ENVIRONMENT, **names, "AWS_DEFAULT_REGION": REGION}.items():
        monkeypatch.setenv(name, value)
    stream, api = load_function("stream"), load_function("api")
    path = f"/zarr/{made['token']}/v3/em.zarr/0"
    try:
        assert ask(stream, f"{path}/zarr.json", {})[0] == 200
        assert ask(stream, f"{path}/c/0/0/0", {})[0] == 200
        assert Result(capsys, "links", "revoke", made["id"], *kept.options).status == 0
        assert ask(stream, f"{path}/c/0/0/0", {})[0] == 410
    finally:
        stream.LOOP.close()
    status, listed = ask(api, "/api/datasets", {b"x-auth-token": token})
    assert (status, [entry["name"] for entry in json.loads(listed)]) == (200, ["mouse"])
    assert Result(capsys, "users", "token", "ann", *kept.options).status == 0
    assert ask(api, "/api/datasets", {b"x-auth-token": token})[0] == 401


def test_an_annotation_of_the_command_line_is_streamed_and_downloaded(
    capsys: Any, aws: MotoAws, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in environment(aws).items():
        monkeypatch.setenv(name, value)
    kept = KeptInStack(aws)
    seg = LayerFiles("seg", {Mag(1, 1, 1): ramp((64, 64, 64), "uint32")}, category="segmentation", block_side=32)
    place = kept.put("lab/mouse", dataset(seg))
    assert Result(capsys, "datasets", "add", place, *kept.options).status == 0
    file = tmp_path / "cells.zip"
    data = zip_of(wkw_data({"1": {(1, 0, 0): voxels(1)}}))
    file.write_bytes(annotation_zip(Volume(data=data, fallback_layer="seg")))
    first = Result(capsys, "annotations", "import", file, "--dataset", "mouse", *kept.options, "--json")
    made = json.loads(first.out)
    # The same one of WEBKNOSSOS: the next revision.
    again = json.loads(Result(capsys, "annotations", "import", file, "--dataset", "mouse", *kept.options, "--json").out)
    assert (again["id"], again["revision"] == made["revision"]) == (made["id"], False)
    (listed,) = Result(capsys, "annotations", "list", *kept.options, "--json").json
    assert listed == again
    link = Result(capsys, "links", "create", made["id"], *kept.options, "--json").json
    assert link["annotation"] == made["id"]

    stack = kept.opened().stack  # type: ignore[attr-defined]
    names = {"LINKS_TABLE": stack.links_table, "CATALOGUE_TABLE": stack.catalogue_table}
    names |= {"ANNOTATIONS_TABLE": stack.annotations_table, "LINK_KEYS_SECRET": stack.keys_secret}
    names["POWERTOOLS_SERVICE_NAME"] = "command-line-annotations"
    for name, value in {**ENVIRONMENT, **names, "AWS_DEFAULT_REGION": REGION}.items():
        monkeypatch.setenv(name, value)
    stream = load_function("stream")
    try:
        status, chunk = ask(stream, f"/zarr/{link['token']}/v2/Volume.zarr/0/0/0/1", {})
        assert (status, bytes(numcodecs.Blosc().decode(chunk))) == (200, voxels(1))
    finally:
        stream.LOOP.close()
    out = Result(capsys, "annotations", "download", made["id"], "--output", tmp_path / "out.zip", *kept.options)
    assert out.status == 0, out.err
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert "data_Volume.zip" in archive.namelist()
    assert Result(capsys, "annotations", "remove", made["id"], *kept.options).status == 0
    assert list(S3Objects(aws.client("s3"), stack.annotation_bucket)) == []
