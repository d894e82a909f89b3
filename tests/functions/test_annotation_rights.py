"""What the functions ask of the bucket of annotations is what their roles are granted."""

from __future__ import annotations

from typing import Any

import pytest

from builders.annotation_stack import AnnotationStack, annotation_stack, form
from builders.annotation_zips import Volume, annotation_zip, voxels, wkw_data, zip_of
from builders.moto_aws import MotoAws
from builders.template import load_template
from functions.test_annotations_by_lambda import UPLOAD, begin, complete, download, send
from infra.test_privileges import BUCKET, LISTING, grants
from zarrlink.annotations import s3_downloads
from zarrlink.aws_parts import LazyClient

ACTION = {
    "get_object": "GetObject",
    "head_object": "GetObject",
    "put_object": "PutObject",
    "create_multipart_upload": "PutObject",
    "upload_part": "PutObject",
    "complete_multipart_upload": "PutObject",
    "abort_multipart_upload": "AbortMultipartUpload",
    "delete_object": "DeleteObject",
    "delete_objects": "DeleteObject",
}
Used = set[tuple[str, str]]


def noting(used: Used) -> type[LazyClient]:
    """A client that notes what S3 is asked for, as IAM calls it."""

    class Noting(LazyClient):
        def __getattr__(self, name: str) -> Any:
            asked = super().__getattr__(name)
            if self._service != "s3" or name in ("_client", "exceptions"):
                return asked

            def ask(*words: str, **request: Any) -> Any:
                used.add(right(*((words[0], request["Params"]) if words else (name, request))))
                return asked(*words, **request)

            return ask

    return Noting


def right(operation: str, request: dict[str, Any]) -> tuple[str, str]:
    if operation == "list_objects_v2":
        return LISTING
    key = request["Key"] if "Key" in request else request["Delete"]["Objects"][0]["Key"]
    return f"s3:{ACTION[operation]}", f"${{{BUCKET}.Arn}}/{key.split('/')[0]}/*"


def use(cloud: AnnotationStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that touches the bucket."""
    data = zip_of(wkw_data({"1": {(1, 0, 0): voxels(1)}}))
    file = annotation_zip(Volume(data=data))
    annotation = cloud.json("POST", UPLOAD, form(file))["annotation"]["id"]
    cloud.ask("POST", UPLOAD, form(annotation_zip(Volume(data=zip_of({"1/z0/y0/x0.wkw": b"no WKW"})))))
    assert download(cloud, annotation)[0] == 200
    monkeypatch.setattr(s3_downloads, "DIRECT_BYTES", 10)
    assert download(cloud, annotation)[0] == 303
    monkeypatch.setattr(s3_downloads, "AT_ONCE_BLOCKS", 0)
    assert download(cloud, annotation, volumeDataZipFormat="zarr3")[0] == 503
    for upload in (file, b"PK\3\4nonsense"):
        opened = begin(cloud, upload)
        assert complete(cloud, opened, send(opened, upload))[0] == 200
    assert cloud.ask("DELETE", f"/api/annotations/uploads/{begin(cloud, file)['id']}")[0] == 200
    cloud.work()
    assert cloud.ask("DELETE", f"/api/annotations/{annotation}")[0] == 200


def test_every_right_is_used_and_nothing_else(aws: MotoAws, monkeypatch: pytest.MonkeyPatch) -> None:
    template = load_template()
    used: dict[str, Used] = {"api": set(), "annotation_import": set()}
    with annotation_stack(aws) as cloud:
        for name, notes in used.items():
            monkeypatch.setattr(cloud.functions[name], "LazyClient", noting(notes))
        use(cloud, monkeypatch)
    # Only where writing a large object, which goes in parts, comes to an error.
    given_up = {("s3:AbortMultipartUpload", f"${{{BUCKET}.Arn}}/annotations/*")}
    # Reading packs goes by obstore, with the same two rights.
    read = {LISTING, ("s3:GetObject", f"${{{BUCKET}.Arn}}/annotations/*")}
    results = {grant for grant in grants(template, "ApiRole", "s3") if "ExportBucket" in grant[1]}
    assert grants(template, "ApiRole", "s3") - results == used["api"] | given_up | read
    assert grants(template, "AnnotationImportRole", "s3") == used["annotation_import"] | given_up | read
