"""`stream` as built: every voxel, and every kind of answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from builders.emulator import Runtime, emulated, skip_unless_built
from builders.lambda_door import rest_event
from builders.wkw_files import LayerFiles, dataset, ramp
from zarrlink.geometry import Mag
from zarrlink.http.message import Request
from zarrlink.links.token import TOKEN_LENGTH

skip_unless_built()

ONE = Mag(1, 1, 1)
METADATA, CHUNK, SHARD = "v3/em.zarr/zarr.json", "v2/em.zarr/0/0/0/0", "v3/em.zarr/0/c/0/0/0"
OBJECTS = [METADATA, "v2/em.zarr/.zattrs", CHUNK, SHARD]


@pytest.mark.parametrize("dialect", ["v2", "v3"])
@pytest.mark.parametrize("layer", ["em", "reference", "rgb", "lz4", "raw"])
def test_every_voxel_is_what_was_stored(deployment: Any, link: str, address: str, layer: str, dialect: str) -> None:
    group = zarr.open_group(f"{address}{link}/{dialect}/{layer}.zarr", mode="r")
    for level, volume in enumerate(deployment.volumes[layer].values()):
        z, y, x = volume.shape[:3]
        expected = np.moveaxis(volume, 3, 0) if volume.ndim == 4 else volume
        np.testing.assert_array_equal(group[str(level)][..., :z, :y, :x], expected)


@pytest.mark.parametrize("path", [METADATA, "v2/em.zarr/.zmetadata", "v3/em.zarr/1/zarr.json", "v2/em.zarr/1/.zarray"])
def test_metadata_of_groups_and_arrays(deployment: Any, link: str, path: str) -> None:
    answer = deployment.send("GET", f"{link}/{path}")
    assert answer["statusCode"] == 200
    document = json.loads(answer["body"])
    assert document.get("zarr_format", 2) == int(path[1])
    if path.endswith((".zarray", "1/zarr.json")):
        assert document["shape"] == [25, 30, 35]


@pytest.mark.parametrize("path", OBJECTS)
@pytest.mark.parametrize(
    ("asked", "first", "last"), [("10-19", 10, 19), ("10-", 10, None), ("-7", -7, None), ("0-0", 0, 0)]
)
def test_ranges(deployment: Any, link: str, path: str, asked: str, first: int, last: int | None) -> None:
    whole = deployment.send("GET", f"{link}/{path}")["body"]
    answer = deployment.send("GET", f"{link}/{path}", range=f"bytes={asked}")
    start = first % len(whole)
    end = len(whole) if last is None else last + 1
    assert answer["statusCode"] == 206
    assert answer["body"] == whole[start:end]
    assert answer["headers"]["content-range"] == f"bytes {start}-{end - 1}/{len(whole)}"
    assert answer["headers"]["content-length"] == str(end - start)


@pytest.mark.parametrize("path", OBJECTS)
def test_a_range_behind_the_end_is_416(deployment: Any, link: str, path: str) -> None:
    whole = deployment.send("GET", f"{link}/{path}")["body"]
    answer = deployment.send("GET", f"{link}/{path}", range=f"bytes={len(whole)}-")
    assert answer["statusCode"] == 416
    assert answer["headers"]["content-range"] == f"bytes */{len(whole)}"
    assert answer["headers"]["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("path", OBJECTS)
def test_a_known_etag_is_304(deployment: Any, link: str, path: str) -> None:
    etag = deployment.send("GET", f"{link}/{path}")["headers"]["etag"]
    answer = deployment.send("GET", f"{link}/{path}", if_none_match=etag)
    assert (answer["statusCode"], answer["body"]) == (304, b"")


@pytest.mark.parametrize("path", OBJECTS)
def test_head_is_answered_as_get_for_the_gateway_to_strip(deployment: Any, link: str, path: str) -> None:
    get, head = (deployment.send(method, f"{link}/{path}") for method in ("GET", "HEAD"))
    assert head == get
    assert head["headers"]["content-length"] == str(len(get["body"]))


def test_head_without_a_body_says_the_same(runtime: Runtime, deployment: Any, link: str, tmp_path: Path) -> None:
    environment = deployment.stack.environment("StreamFunction", HeadWithBody="false")
    with emulated(runtime, runtime.folders("StreamFunction"), environment, tmp_path / "log") as stream:
        for path in OBJECTS:
            head = stream.invoke(rest_event(Request("HEAD", f"{link}/{path}", {})))
            get = deployment.send("GET", f"{link}/{path}")
            assert (head["statusCode"], head["body"]) == (200, "")
            assert head["headers"] == get["headers"]


def test_absent_is_404_and_refused_is_410(deployment: Any, link: str) -> None:
    """With CORS headers, or a reader in a browser sees neither status."""
    fake = "a" + "A" * (TOKEN_LENGTH - 1)
    for path, status in {
        f"{link}/v3/em.zarr/0/c/0/0/9": 404,
        f"{link}/v3/em.zarr/0/.zattrs": 404,
        f"{link}/v3/other.zarr/zarr.json": 410,
        f"{link}/v3/em.zarr/7/zarr.json": 410,
        f"/zarr/{fake}/{METADATA}": 410,
        f"/zarr/short/{CHUNK}": 410,
        f"{link}/v3/em.zarr/0/c/00/0/0": 400,
    }.items():
        answer = deployment.send("GET", path)
        assert answer["statusCode"] == status, path
        assert answer["headers"]["access-control-allow-origin"] == "*"
        assert answer["headers"]["content-type"] == "application/problem+json"
        if status == 410:
            assert answer["headers"]["cache-control"] == "no-store"


def test_a_chunk_whose_file_was_never_written_is_404_and_a_failing_store_is_not(deployment: Any) -> None:
    """One link: once with its bucket there, once without."""
    objects = dataset(LayerFiles("a", {ONE: ramp((40, 40, 40))}))
    del objects["a/1/z1/y1/x1.wkw"]
    record = deployment.stack.register("sparse", objects)
    status, made = deployment.api("POST", "/api/zarrPrivateLinks", {"dataset": record.id})
    assert status == 200
    base = f"/zarr/{made['accessToken']}"
    assert deployment.send("GET", f"{base}/v2/a.zarr/0/4/4/4")["statusCode"] == 404
    bucket = record.location.split("/")[2]
    s3 = deployment.stack.aws.client("s3")
    for key in objects:
        s3.delete_object(Bucket=bucket, Key=f"volumes/sparse/{key}")
    s3.delete_bucket(Bucket=bucket)
    answer = deployment.send("GET", f"{base}/v2/a.zarr/0/0/0/0")
    assert answer["statusCode"] == 503
    assert answer["headers"]["retry-after"]


@pytest.mark.parametrize("end", ["expired", "revoked"])
def test_a_dead_link_is_410_from_the_next_request_on(deployment: Any, end: str) -> None:
    made = deployment.make_link()
    path = f"/zarr/{made['accessToken']}/{SHARD}"
    assert deployment.send("GET", path)["statusCode"] == 200
    if end == "revoked":
        assert deployment.api("DELETE", f"/api/zarrPrivateLinks/{made['id']}")[0] == 200
    else:
        deployment.stack.links().change(made["id"], "ann", expires_ms=1)
    answer = deployment.send("GET", path)
    assert answer["statusCode"] == 410
    assert answer["headers"]["access-control-allow-origin"] == "*"
    assert answer["headers"]["cache-control"] == "no-store"


def test_options_and_other_methods(deployment: Any, link: str) -> None:
    preflight = deployment.send("OPTIONS", f"{link}/{CHUNK}", origin="https://example.org")
    assert preflight["statusCode"] == 204
    assert "Range" in preflight["headers"]["access-control-allow-headers"]
    refused = deployment.send("POST", f"{link}/{CHUNK}")
    assert (refused["statusCode"], refused["headers"]["allow"]) == (405, "GET, HEAD, OPTIONS")


def test_the_links_page_as_html_and_as_json(deployment: Any, link: str) -> None:
    page = deployment.send("GET", f"{link}/", accept="text/html")
    facts = deployment.send("GET", f"{link}/", accept="application/json")
    assert page["headers"]["content-type"].startswith("text/html")
    assert [layer["name"] for layer in json.loads(facts["body"])["layers"]] == ["em", "lz4", "raw", "reference", "rgb"]
    assert deployment.send("GET", "/web/link.js")["statusCode"] == 200
