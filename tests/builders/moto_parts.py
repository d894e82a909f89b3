"""Where moto's multipart uploads are kinder, or stranger, than S3's."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from moto.s3.exceptions import InvalidPartOrder, NoSuchUpload, S3ClientError
from moto.s3.models import S3Backend
from moto.s3.responses import S3Response

_UPLOAD = S3Backend.upload_part
_COMPLETE = S3Backend.complete_multipart_upload
_ANSWER = S3Response.upload_part


class BadDigest(S3ClientError):
    code = "BadDigest"

    def __init__(self) -> None:
        super().__init__("The CRC32 you specified did not match what we received.")


@contextmanager
def multipart_as_s3() -> Iterator[None]:
    """moto with S3's own rules (API reference: UploadPart, CompleteMultipartUpload, CompletedPart).

    An upload that has ended is 404 NoSuchUpload, and no server error; a part is compared with its checksum; and parts
    with checksums are numbered from 1 without holes.
    """

    def upload_part(self: S3Backend, bucket_name: str, multipart_id: str, part_id: int, value: bytes) -> Any:
        if multipart_id not in self.get_bucket(bucket_name).multiparts:
            raise NoSuchUpload(upload_id=multipart_id)
        return _UPLOAD(self, bucket_name, multipart_id, part_id, value)

    def answer(self: S3Response) -> Any:
        told = self.headers.get("x-amz-checksum-crc32")
        if told and told != base64.b64encode(zlib.crc32(self.body).to_bytes(4, "big")).decode():
            raise BadDigest
        return _ANSWER(self)

    def complete(self: S3Backend, bucket_name: str, multipart_id: str, body: Iterator[tuple[int, str]]) -> Any:
        if multipart_id not in self.get_bucket(bucket_name).multiparts:
            raise NoSuchUpload(upload_id=multipart_id)
        parts = list(body)
        if [number for number, _ in parts] != list(range(1, len(parts) + 1)):
            raise InvalidPartOrder
        return _COMPLETE(self, bucket_name, multipart_id, iter(parts))

    with (
        patch.object(S3Backend, "upload_part", upload_part),
        patch.object(S3Response, "upload_part", answer),
        patch.object(S3Backend, "complete_multipart_upload", complete),
    ):
        yield
