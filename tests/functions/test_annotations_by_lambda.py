"""Annotations through the functions: from upload to voxels to download, small and large, over S3 and DynamoDB."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import numcodecs
import numpy as np
import pytest
import requests

from builders.annotation_stack import SEGMENTS, AnnotationStack, annotation_stack, form
from builders.annotation_zips import TREE, Volume, annotation_zip, nml, voxels, wkw_data, zip_of
from builders.moto_aws import MotoAws
from zarrlink.annotations import import_job, large_uploads, s3_downloads
from zarrlink.errors import CorruptFile, SourceUnavailable
from zarrlink.formats.nml import parse

UPLOAD, UPLOADS = "/api/v14/annotations/upload", "/api/annotations/uploads"


@pytest.fixture
def cloud(aws: MotoAws) -> Iterator[AnnotationStack]:
    with annotation_stack(aws) as cloud:
        yield cloud


def painted(seed: int = 1, blocks: int = 1) -> bytes:
    """A download with blocks painted from (1, 0, 0) on, over the layer `segmentation`."""
    data = zip_of(wkw_data({"1": {(1, number, 0): voxels(seed + number) for number in range(blocks)}}))
    return annotation_zip(Volume(data=data, fallback_layer="segmentation"))


def upload(cloud: AnnotationStack, file: bytes, name: str = "cells.zip", **fields: str) -> str:
    made = cloud.json("POST", UPLOAD, form(file, name, **fields))
    assert made["annotation"]["typ"] == "Explorational"
    return str(made["annotation"]["id"])


def assert_streamed(cloud: AnnotationStack, annotation: str, seed: int = 1) -> None:
    """Painted block, and the dataset's own beside it."""
    link = cloud.json("POST", "/api/zarrPrivateLinks", {"annotation": annotation})
    assert link["scope"]["layers"] == ["Volume", "segmentation"]
    expected = SEGMENTS.copy()
    expected[:32, :32, 32:] = np.frombuffer(voxels(seed), "<u4").reshape(32, 32, 32)
    for place, part in (("0/0/1", expected[:32, :32, 32:]), ("0/0/0", expected[:32, :32, :32])):
        status, _, chunk = cloud.ask("GET", f"/zarr/{link['accessToken']}/v2/Volume.zarr/0/{place}")
        assert status == 200, chunk
        assert bytes(numcodecs.Blosc().decode(chunk)) == part.tobytes()


def download(cloud: AnnotationStack, annotation: str, **query: str) -> tuple[int, dict[str, str], bytes]:
    return cloud.ask("GET", f"/api/annotations/{annotation}/download", query=query)


def names(zipped: bytes) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(zipped)) as archive:
        assert archive.testzip() is None
        return archive.namelist()


# --- small ones ---


def test_from_upload_to_voxels_and_back(cloud: AnnotationStack) -> None:
    annotation = upload(cloud, painted(), datasetId=cloud.dataset)
    (listed,) = cloud.json("GET", "/api/annotations/readable")
    assert (listed["id"], listed["dataSetId"]) == (annotation, cloud.dataset)
    assert_streamed(cloud, annotation)
    for data_format in ("wkw", "zarr3"):
        status, headers, body = download(cloud, annotation, volumeDataZipFormat=data_format)
        assert (status, headers["content-type"]) == (200, "application/zip")
        assert headers["content-disposition"] == 'attachment; filename="sample__explorational.zip"'
        assert names(body) == ["sample__explorational.nml", "data_Volume.zip"]
        assert_streamed(cloud, upload(cloud, body, datasetId=cloud.dataset))
        # The second time it is the one that was kept.
        assert download(cloud, annotation, volumeDataZipFormat=data_format) == (status, headers, body)
    assert names(download(cloud, annotation, skipVolumeData="true")[2]) == ["sample__explorational.nml"]
    assert cloud.events == []


def test_an_nml_names_our_ids_for_whoever_opens_it_from_here(cloud: AnnotationStack) -> None:
    file = nml(skeleton=TREE)
    annotation = upload(cloud, file, "cells.nml", datasetId=cloud.dataset)
    for _ in range(2):
        found = parse(download(cloud, annotation, skipVolumeData="true")[2])
        assert (found.meta("annotationId"), found.dataset_id) == (annotation, cloud.dataset)
        assert download(cloud, annotation, skipVolumeData="true", ids="uploaded")[2] == file
        assert download(cloud, annotation)[2] == file


def test_a_skeleton_is_downloaded_as_it_came(cloud: AnnotationStack) -> None:
    file = nml(skeleton='<thing id="1" name="t"><nodes><node id="1" x="1" y="2" z="3"/></nodes><edges/></thing>')
    status, headers, body = download(cloud, upload(cloud, file, "my skeleton.nml"))
    assert (status, body) == (200, file)
    assert headers["content-disposition"] == 'attachment; filename="my%20skeleton.nml"'
    assert headers["content-type"] == "application/xml"


def test_an_annotation_is_its_owners_alone(cloud: AnnotationStack) -> None:
    annotation = upload(cloud, painted())
    assert cloud.ask("GET", f"/api/annotations/{annotation}/download", user="bob")[0] == 404
    assert cloud.ask("DELETE", f"/api/annotations/{annotation}", user="bob")[0] == 404
    assert cloud.json("GET", "/api/annotations/readable", user="bob") == []


def test_a_removed_annotation_leaves_nothing(cloud: AnnotationStack) -> None:
    annotation = upload(cloud, painted())
    assert download(cloud, annotation)[0] == 200
    assert [key for key in cloud.objects if "/downloads/" in key]
    assert cloud.ask("DELETE", f"/api/annotations/{annotation}")[0] == 200
    assert list(cloud.objects) == []
    assert download(cloud, annotation)[0] == 404


def test_a_bad_upload_is_refused_and_leaves_nothing(cloud: AnnotationStack) -> None:
    damaged = annotation_zip(Volume(data=zip_of({"1/z0/y0/x0.wkw": b"no WKW"})))
    for file in (damaged, b"PK\3\4nonsense"):
        status, _, body = cloud.ask("POST", UPLOAD, form(file))
        assert status == 400, body
    assert list(cloud.objects) == []
    assert cloud.json("GET", "/api/annotations/readable") == []


def test_what_lambda_could_not_take_is_refused_in_words(cloud: AnnotationStack) -> None:
    status, _, body = cloud.ask("POST", UPLOAD, form(bytes(cloud.functions["api"].MAX_UPLOAD_BYTES)))
    assert status == 413
    assert b"4500000 bytes" in body


# --- downloads that an answer cannot carry ---


def test_a_large_download_lies_at_an_address_of_its_own(
    cloud: AnnotationStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_downloads, "DIRECT_BYTES", 100)
    annotation = upload(cloud, painted(), datasetId=cloud.dataset)
    status, headers, body = download(cloud, annotation)
    assert (status, body) == (303, b"")
    assert headers["cache-control"] == "no-store"
    assert "X-Amz-Expires=300" in headers["location"]
    answer = requests.get(headers["location"], timeout=10)
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"] == 'attachment; filename="sample__explorational.zip"'
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert_streamed(cloud, upload(cloud, answer.content, datasetId=cloud.dataset))


def test_one_that_takes_long_is_made_elsewhere_once(cloud: AnnotationStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_downloads, "AT_ONCE_BLOCKS", 0)
    annotation = upload(cloud, painted())
    for _ in range(3):
        status, headers, body = download(cloud, annotation, volumeDataZipFormat="zarr3")
        assert (status, headers["retry-after"]) == (503, "5")
        assert "being made" in json.loads(body)["detail"]
    assert cloud.events == [{"download": annotation, "format": "zarr3"}]
    (made,) = cloud.work()
    status, _, body = download(cloud, annotation, volumeDataZipFormat="zarr3")
    assert (status, made["bytes"]) == (200, str(len(body)))
    assert "data_Volume.zip" in names(body)
    assert not [key for key in cloud.objects if key.endswith(".being-made")]


def test_one_that_could_not_be_made_is_begun_again(cloud: AnnotationStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_downloads, "AT_ONCE_BLOCKS", 0)
    annotation = upload(cloud, painted())
    assert download(cloud, annotation)[0] == 503
    packs = [key for key in cloud.objects if key.endswith(".blocks")]
    kept = {key: cloud.objects.pop(key) for key in packs}
    with pytest.raises(CorruptFile):
        cloud.work()
    cloud.objects.update(kept)
    assert (download(cloud, annotation)[0], len(cloud.events)) == (503, 1)
    cloud.work()
    assert download(cloud, annotation)[0] == 200


def test_nothing_is_made_of_what_was_removed_meanwhile(cloud: AnnotationStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_downloads, "AT_ONCE_BLOCKS", 0)
    annotation = upload(cloud, painted())
    download(cloud, annotation)
    cloud.ask("DELETE", f"/api/annotations/{annotation}")
    (answer,) = cloud.work()
    assert answer["state"] == "failed"
    assert list(cloud.objects) == []


# --- large ones ---


def begin(cloud: AnnotationStack, file: bytes, name: str = "cells.zip", **fields: Any) -> dict[str, Any]:
    opened: dict[str, Any] = cloud.json("POST", UPLOADS, {"name": name, "bytes": len(file), **fields})
    return opened


def send(opened: dict[str, Any], file: bytes) -> list[dict[str, Any]]:
    """Every part to its address, as a client without any of our code does."""
    parts = []
    for part in opened["parts"]:
        start = (part["number"] - 1) * opened["partBytes"]
        answer = requests.put(part["url"], data=file[start : start + opened["partBytes"]], timeout=10)
        assert answer.status_code == 200, answer.text
        parts.append({"number": part["number"], "etag": answer.headers["ETag"]})
    return parts


def complete(cloud: AnnotationStack, opened: dict[str, Any], parts: list[dict[str, Any]]) -> tuple[int, Any]:
    status, _, body = cloud.ask("POST", f"{UPLOADS}/{opened['id']}/complete", {"parts": parts})
    return status, json.loads(body)


def state_of(cloud: AnnotationStack, opened: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = cloud.json("GET", f"{UPLOADS}/{opened['id']}")
    return found


@pytest.fixture
def waiting(cloud: AnnotationStack) -> dict[str, Any]:
    """An upload that waits to be imported."""
    file = painted()
    opened = begin(cloud, file, datasetId=cloud.dataset)
    status, body = complete(cloud, opened, send(opened, file))
    assert (status, body["state"]) == (200, "pending")
    return opened


def test_from_large_upload_to_voxels_and_download(cloud: AnnotationStack, monkeypatch: pytest.MonkeyPatch) -> None:
    # The least that S3 takes but for the last.
    monkeypatch.setattr(large_uploads, "PART_BYTES", 5 * 2**20)
    noise = np.random.default_rng(1).integers(0, 2**32, (48, 32, 32, 32), "u4")
    blocks = {(n % 4, n // 4 % 4, n // 16): noise[n].tobytes() for n in range(48)} | {(1, 0, 0): voxels(1)}
    del blocks[0, 0, 0]
    file = annotation_zip(Volume(data=zip_of(wkw_data({"1": blocks})), fallback_layer="segmentation"))
    opened = begin(cloud, file, datasetId=cloud.dataset)
    assert [part["number"] for part in opened["parts"]] == [1, 2]
    assert state_of(cloud, opened) == {
        "id": opened["id"], "name": "cells.zip", "state": "open", "annotation": None, "message": None
    }  # fmt: skip
    status, body = complete(cloud, opened, send(opened, file))
    assert (status, body["state"], body["annotation"]) == (200, "pending", None)
    assert cloud.json("GET", "/api/annotations/readable") == []
    (answer,) = cloud.work()
    assert answer["state"] == "done"
    done = state_of(cloud, opened)
    assert (done["state"], done["annotation"]) == ("done", answer["annotation"])
    # The upload itself is gone, a download is kept already.
    assert not [key for key in cloud.objects if key.startswith("uploads/")]
    assert [key.rpartition("/")[2] for key in cloud.objects if "/downloads/" in key] == ["wkw"]
    assert_streamed(cloud, done["annotation"])
    status, headers, _ = download(cloud, done["annotation"])
    assert status == 303
    assert "data_Volume.zip" in names(requests.get(headers["location"], timeout=10).content)


def test_completing_again_does_no_harm(cloud: AnnotationStack) -> None:
    file = painted()
    opened = begin(cloud, file)
    parts = send(opened, file)
    for _ in range(2):
        assert complete(cloud, opened, parts)[0] == 200
    assert len(cloud.events) == 1
    cloud.work()
    status, body = complete(cloud, opened, parts)
    assert (status, body["state"], cloud.events) == (200, "done", [])


def test_an_event_that_comes_twice_makes_one_annotation(cloud: AnnotationStack, waiting: dict[str, Any]) -> None:
    cloud.events *= 2
    first, second = cloud.work()
    assert first == second
    assert [it["id"] for it in cloud.json("GET", "/api/annotations/readable")] == [first["annotation"]]
    assert_streamed(cloud, first["annotation"])


def test_a_start_that_fails_can_be_tried_again(cloud: AnnotationStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parts are joined then, and S3 knows of no parts any more."""
    file = painted()
    opened = begin(cloud, file)
    parts = send(opened, file)
    began = cloud.functions["api"].start

    def fails(_event: object) -> None:
        raise SourceUnavailable("Lambda Invoke: TooManyRequestsException")

    cloud.functions["api"].door.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(cloud.functions["api"], "start", fails)
        assert complete(cloud, opened, parts)[0] == 503
    assert state_of(cloud, opened)["state"] == "open"
    cloud.functions["api"].door.cache_clear()
    assert cloud.functions["api"].start is began
    assert complete(cloud, opened, parts)[0] == 200
    cloud.work()
    assert state_of(cloud, opened)["state"] == "done"


def test_a_bad_upload_fails_with_the_reason(cloud: AnnotationStack) -> None:
    file = b"PK\3\4nonsense"
    opened = begin(cloud, file)
    complete(cloud, opened, send(opened, file))
    (answer,) = cloud.work()
    failed = state_of(cloud, opened)
    assert (failed["state"], failed["annotation"]) == ("failed", None)
    assert failed["message"] == answer["sentence"]
    assert "zip" in failed["message"]
    cloud.events[:] = [
        {"upload": opened["id"], "key": "", "owner": "ann", "dataset": "", "annotation": "0" * 24, "name": "cells.zip"}
    ]
    assert cloud.work() == [answer]
    assert list(cloud.objects) == []


def test_an_import_that_takes_too_long_says_so_and_leaves_nothing(
    cloud: AnnotationStack, waiting: dict[str, Any]
) -> None:
    (answer,) = cloud.work(seconds=import_job.LAST_S - 1)
    assert "longer than a function may run" in answer["sentence"]
    assert state_of(cloud, waiting)["state"] == "failed"
    assert list(cloud.objects) == []


def test_an_upload_that_unpacks_to_more_than_there_is_room_for_is_refused(
    cloud: AnnotationStack, waiting: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_job, "_SPARE_BYTES", 10240 * 2**20 - 3000)
    (answer,) = cloud.work()
    assert answer["state"] == "failed"
    assert "would unpack to more" in answer["sentence"]


def test_an_import_that_breaks_off_is_tried_again_and_then_said_to_have_failed(
    cloud: AnnotationStack, waiting: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether by a failure of S3 or by a function that ends without a word: attempts are counted as they begin."""
    (event,) = cloud.events
    kept = cloud.objects[event["key"]]
    del cloud.objects[event["key"]]
    for _ in range(import_job.MAX_ATTEMPTS):
        cloud.events[:] = [event]
        with pytest.raises(SourceUnavailable):
            cloud.work()
        assert state_of(cloud, waiting)["state"] == "pending"
    cloud.objects[event["key"]] = kept
    cloud.objects[f"annotations/{event['annotation']}/0123/volumes/0/1.blocks"] = b"what a function left"
    cloud.events[:] = [event]
    (answer,) = cloud.work()
    assert answer["state"] == "failed"
    assert "broke off twice" in state_of(cloud, waiting)["message"]
    assert list(cloud.objects) == []


def test_an_upload_of_another_length_than_announced_is_refused(cloud: AnnotationStack) -> None:
    file = painted()
    opened = begin(cloud, file + b"more")
    status, problem = complete(cloud, opened, send(opened, file))
    assert status == 400
    assert "announced" in problem["detail"]
    assert state_of(cloud, opened)["state"] == "failed"
    assert (cloud.events, list(cloud.objects)) == ([], [])


def test_parts_that_were_not_uploaded_are_refused(cloud: AnnotationStack) -> None:
    file = painted()
    opened = begin(cloud, file)
    for parts in ([], [{"number": 1, "etag": '"0123"'}]):
        assert complete(cloud, opened, parts)[0] == 400
    parts = send(opened, file)
    assert complete(cloud, opened, [{**parts[0], "etag": '"0123456789abcdef0123456789abcdef"'}])[0] == 400
    assert complete(cloud, opened, parts)[0] == 200


def test_an_upload_can_be_given_up_until_it_is_complete(cloud: AnnotationStack, waiting: dict[str, Any]) -> None:
    opened = begin(cloud, painted())
    send(opened, painted())
    assert cloud.ask("DELETE", f"{UPLOADS}/{opened['id']}")[0] == 200
    assert cloud.ask("GET", f"{UPLOADS}/{opened['id']}")[0] == 404
    bucket = cloud.stack.made["AnnotationBucket"]
    assert "Uploads" not in cloud.stack.aws.client("s3").list_multipart_uploads(Bucket=bucket)
    assert cloud.ask("DELETE", f"{UPLOADS}/{waiting['id']}")[0] == 400


def test_an_upload_is_its_owners_alone(cloud: AnnotationStack, waiting: dict[str, Any]) -> None:
    path = f"{UPLOADS}/{waiting['id']}"
    for method, address, body in (
        ("GET", path, None),
        ("DELETE", path, None),
        ("POST", f"{path}/complete", {"parts": []}),
    ):
        assert cloud.ask(method, address, body, user="bob")[0] == 404
        assert cloud.ask(method, address, body, user="nobody")[0] == 401


def test_the_row_of_an_upload_is_no_annotation(cloud: AnnotationStack, waiting: dict[str, Any]) -> None:
    for path in (f"upload-{waiting['id']}/info", f"upload-{waiting['id']}/download"):
        assert cloud.ask("GET", f"/api/annotations/{path}")[0] == 404
    assert cloud.ask("DELETE", f"/api/annotations/upload-{waiting['id']}")[0] == 404
    assert cloud.json("GET", "/api/annotations/readable") == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"name": "cells.tif"}, "NAME.nml or NAME.zip"),
        ({"name": "a/b.zip"}, "NAME.nml or NAME.zip"),
        ({"bytes": 0}, "bytes here"),
        ({"bytes": 4096 * 2**20 + 1}, "bytes here"),
        ({"datasetId": "0" * 24}, "no dataset of this datasetId"),
        ({"more": 1}, "more"),
    ],
)
def test_uploads_that_cannot_be(cloud: AnnotationStack, change: dict[str, Any], reason: str) -> None:
    status, _, body = cloud.ask("POST", UPLOADS, {"name": "cells.zip", "bytes": 10, **change})
    assert status == 400
    assert reason in json.loads(body)["detail"]


def test_the_largest_upload_has_addresses_that_an_answer_carries(cloud: AnnotationStack) -> None:
    opened = cloud.json("POST", UPLOADS, {"name": "cells.zip", "bytes": 4096 * 2**20})
    assert len(opened["parts"]) * opened["partBytes"] >= 4096 * 2**20
    assert "X-Amz-Expires=3600" in opened["parts"][0]["url"]
    # No checksum that somebody else would have to know of.
    assert "checksum" not in opened["parts"][0]["url"].lower()


def test_no_secret_address_is_logged(
    cloud: AnnotationStack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = io.StringIO()
    for name in ("api", "annotation_import"):
        (handler,) = cloud.functions[name].LOGGER.handlers
        handler.setStream(out)
    monkeypatch.setattr(s3_downloads, "DIRECT_BYTES", 100)
    file = painted()
    opened = begin(cloud, file)
    complete(cloud, opened, send(opened, file))
    cloud.work()
    assert download(cloud, state_of(cloud, opened)["annotation"])[0] == 303
    captured = capsys.readouterr()
    for text in (out.getvalue(), captured.out, captured.err):
        assert "X-Amz" not in text
    jobs = [line for line in map(json.loads, out.getvalue().splitlines()) if line["message"] == "job"]
    assert [(line["kind"], line["state"]) for line in jobs] == [("import", "done")]
