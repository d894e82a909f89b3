"""A `PartSink` that makes an object of S3, by one multipart upload."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any, BinaryIO, Final, TypeVar

from zarrlink.aws_errors import NO_OBJECT, ask
from zarrlink.errors import InvalidRequest, PartsDiffer, SourceUnavailable, UploadGone
from zarrlink.exports.part_sink import PartReceipt, checked

T = TypeVar("T")
_OWNER: Final = "zarrlink-export"
_GONE: Final = frozenset({"NoSuchUpload"})
# A part that was on its way when the upload was aborted may still arrive (S3 API, AbortMultipartUpload).
_ABORTS: Final = 5


class S3Parts:
    """The object `key` of `bucket`. `client`: boto3's of S3. `owner`: the job, kept in the object's metadata, so that
    a retry knows its own work. `headers`: `ContentType`, `ContentDisposition` and the like.

    Every part carries a CRC-32, which S3 checks; that is why part numbers must have no holes (S3 API, CompletedPart).
    Needs `s3:PutObject`, `s3:AbortMultipartUpload`, `s3:ListMultipartUploadParts` and `s3:GetObject`.
    """

    def __init__(
        self, client: Any, bucket: str, key: str, *, owner: str, headers: Mapping[str, str] | None = None
    ) -> None:
        self._client = client
        self._place = {"Bucket": bucket, "Key": key}
        self._owner = owner
        self._headers = dict(headers or {})

    def begin(self) -> str:
        facts = {"ChecksumAlgorithm": "CRC32", "Metadata": {_OWNER: self._owner}, **self._headers}
        return str(self._ask(lambda: self._client.create_multipart_upload(**self._place, **facts))["UploadId"])

    def put(self, upload: str, number: int, data: BinaryIO, part_bytes: int, crc: int) -> PartReceipt:
        facts = {"UploadId": upload, "PartNumber": number, "ContentLength": part_bytes, "ChecksumCRC32": _base64(crc)}
        done = self._ask(lambda: self._client.upload_part(**self._place, **facts, Body=data))
        return PartReceipt(number, part_bytes, crc, str(done["ETag"]))

    def complete(self, upload: str, parts: Sequence[PartReceipt]) -> None:
        try:
            found = self._listed(upload)
        except UploadGone:
            if self._is_there(parts):
                return
            raise
        # With KMS an ETag is no hash of the content: where the store tells a checksum, that decides.
        known = {
            part.number: (found[part.number][0], part.etag)
            if found[part.number][2] == _base64(part.crc)
            else found[part.number][:2]
            for part in parts
            if part.number in found
        }
        if differing := checked(known, parts):
            raise PartsDiffer(differing)
        listed = [
            {"PartNumber": part.number, "ETag": found[part.number][1], "ChecksumCRC32": _base64(part.crc)}
            for part in parts
        ]
        facts = {"UploadId": upload, "MultipartUpload": {"Parts": listed}, "IfNoneMatch": "*"}
        try:
            self._ask(lambda: self._client.complete_multipart_upload(**self._place, **facts))
        except UploadGone:
            # Another attempt was faster.
            if not self._is_there(parts):
                raise
        except SourceUnavailable as error:
            if error.reason != "S3 answered PreconditionFailed":
                raise
            if not self._is_there(parts):
                raise InvalidRequest("there is an object of this name already") from error
            self.abort(upload)

    def abort(self, upload: str) -> None:
        for _ in range(_ABORTS):
            try:
                self._ask(lambda: self._client.abort_multipart_upload(**self._place, UploadId=upload))
                self._listed(upload)
            except UploadGone:
                return
        raise SourceUnavailable("S3 still lists parts of an upload that was aborted")

    def _listed(self, upload: str) -> dict[int, tuple[int, str, str]]:
        """Length, ETag and checksum of the parts that are there."""
        pages = self._client.get_paginator("list_parts").paginate(**self._place, UploadId=upload)
        parts = self._ask(lambda: [part for page in pages for part in page.get("Parts", [])])
        return {part["PartNumber"]: (part["Size"], part["ETag"], part.get("ChecksumCRC32", "")) for part in parts}

    def _is_there(self, parts: Sequence[PartReceipt]) -> bool:
        """Whether the object is there and ours."""
        head = ask(lambda: self._client.head_object(**self._place), or_none=NO_OBJECT)
        if head is None:
            return False
        ours = head.get("Metadata", {}).get(_OWNER) == self._owner
        return bool(ours and head["ContentLength"] == sum(part.part_bytes for part in parts))

    def _ask(self, request: Callable[[], T]) -> T:
        answer = ask(request, or_none=_GONE)
        if answer is None:
            raise UploadGone
        return answer


def _base64(crc: int) -> str:
    """As S3 writes a CRC-32: its four bytes, most significant first."""
    return base64.b64encode(crc.to_bytes(4, "big")).decode()
