"""A `PackSink` over a prefix of an S3 bucket, by multipart uploads."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, TypeVar

from zarrlink.annotations.manifest import MANIFEST_KEY
from zarrlink.aws_errors import ask, service_error

# S3 takes parts of 5 MiB to 5 GiB, 10 000 of them (user guide, "Amazon S3 multipart upload limits", 2026-10):
# parts that grow let small objects cost little memory, and take objects of 400 GiB.
FIRST_PART_BYTES: Final = 8 * 2**20
_SAME_SIZE_PARTS: Final = 1000
_DELETED_AT_ONCE: Final = 1000
T = TypeVar("T")


class S3Sink:
    """Objects below `prefix`, which nobody else writes to. `client`: boto3's of S3.

    An annotation is visible by its manifest, which is held back until `finish`. Needs `s3:PutObject`,
    `s3:AbortMultipartUpload` and `s3:DeleteObject`; what a crash leaves is for the bucket's lifecycle rules.
    """

    def __init__(self, client: Any, bucket: str, prefix: str) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = prefix.rstrip("/") + "/" if prefix.rstrip("/") else ""
        self._keys: list[str] = []
        self._held: bytes | None = None
        self._finished = False

    def write(self, key: str, chunks: Iterable[bytes]) -> int:
        if key == MANIFEST_KEY:
            self._held = b"".join(chunks)
            return len(self._held)
        self._keys.append(key)
        upload, written = "", 0
        parts: list[dict[str, Any]] = []
        buffer = bytearray()
        try:
            for chunk in chunks:
                buffer += chunk
                written += len(chunk)
                if len(buffer) >= FIRST_PART_BYTES * (1 + len(parts) // _SAME_SIZE_PARTS):
                    upload = upload or self._start(key)
                    parts.append(self._part(key, upload, len(parts) + 1, buffer))
                    buffer = bytearray()
            if not upload:
                self._put(key, bytes(buffer))
            else:
                if buffer:
                    parts.append(self._part(key, upload, len(parts) + 1, buffer))
                self._complete(key, upload, parts)
        except BaseException:
            if upload:
                self._leave(key, upload)
            raise
        return written

    def finish(self) -> None:
        if self._held is not None:
            self._keys.append(MANIFEST_KEY)
            self._put(MANIFEST_KEY, self._held)
        self._finished = True

    def abort(self) -> None:
        if self._finished:
            return
        keys, self._keys = self._keys, []
        for start in range(0, len(keys), _DELETED_AT_ONCE):
            objects = [{"Key": self._prefix + key} for key in keys[start : start + _DELETED_AT_ONCE]]
            ask(lambda: self._client.delete_objects(Bucket=self._bucket, Delete={"Objects": objects}))  # noqa: B023

    def _start(self, key: str) -> str:
        started = ask(lambda: self._client.create_multipart_upload(Bucket=self._bucket, Key=self._prefix + key))
        return str(started["UploadId"])

    def _part(self, key: str, upload: str, number: int, data: bytearray) -> dict[str, Any]:
        place = {"Bucket": self._bucket, "Key": self._prefix + key, "UploadId": upload, "PartNumber": number}
        done = ask(lambda: self._client.upload_part(**place, Body=bytes(data)))
        return {"ETag": done["ETag"], "PartNumber": number}

    def _complete(self, key: str, upload: str, parts: list[dict[str, Any]]) -> None:
        place = {"Bucket": self._bucket, "Key": self._prefix + key, "UploadId": upload}
        ask(lambda: self._client.complete_multipart_upload(**place, MultipartUpload={"Parts": parts}))

    def _put(self, key: str, data: bytes) -> None:
        ask(lambda: self._client.put_object(Bucket=self._bucket, Key=self._prefix + key, Body=data))

    def _leave(self, key: str, upload: str) -> None:
        place = {"Bucket": self._bucket, "Key": self._prefix + key, "UploadId": upload}
        try:
            self._client.abort_multipart_upload(**place)
        except Exception as error:
            # The error that led here is the one to tell of.
            if service_error(error) is None:
                raise
