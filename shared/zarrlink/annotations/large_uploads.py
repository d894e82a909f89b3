"""Uploads that are too large for a form: their parts go straight to S3, to addresses that are handed out."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from zarrlink.aws_errors import NO_OBJECT, ask
from zarrlink.catalogue.uploads_dynamodb import DynamoUploads, UploadRecord
from zarrlink.errors import InvalidRequest, SourceUnavailable, UnknownKey

# S3 takes parts of 5 MiB to 5 GiB, but for the last (user guide, "Amazon S3 multipart upload limits", 2026-10).
PART_BYTES: Final = 16 * 2**20
# An answer holds an address of one to two kilobytes for each.
MAX_PARTS: Final = 500
ADDRESS_S: Final = 3600
MAX_NAME: Final = 200
# S3's words for a list of parts that is not the one that was uploaded.
_WRONG_PARTS: Final = ("InvalidPart", "InvalidPartOrder", "EntityTooSmall", "MalformedXML", "InvalidRequest")
Event = dict[str, str]


@dataclass(frozen=True, slots=True)
class Opened:
    """An upload that waits for its parts: part n goes by PUT to address n, `part_bytes` long but for the last.

    The addresses are secrets. They work for an hour, if the credentials that signed them live so long.
    """

    record: UploadRecord
    part_bytes: int
    addresses: tuple[str, ...]


def upload_key(upload_id: str) -> str:
    """Where an upload lies in the bucket. A rule of the bucket removes what is left there."""
    return f"uploads/{upload_id}"


class LargeUploads:
    """`start_import` is given an event that says what is to be imported, as `import_job` takes it.

    `client`: boto3's of S3; it signs. Uploads are their owner's alone: for others they are not there (UnknownKey).
    Every method raises SourceUnavailable where S3 or the table fails.
    """

    def __init__(
        self,
        uploads: DynamoUploads,
        client: Any,
        bucket: str,
        *,
        limit_bytes: int,
        start_import: Callable[[Event], None],
    ) -> None:
        self._uploads = uploads
        self._client = client
        self._bucket = bucket
        self._limit_bytes = limit_bytes
        self._start_import = start_import

    def begin(self, owner: str, name: str, length: int, dataset: str, now_ms: int) -> Opened:
        """Open an upload. Raises InvalidRequest."""
        if not name.lower().endswith((".nml", ".zip")) or len(name) > MAX_NAME or "/" in name:
            raise InvalidRequest(f"an upload is called NAME.nml or NAME.zip, in at most {MAX_NAME} characters")
        if not 0 < length <= self._limit_bytes:
            raise InvalidRequest(f"an upload has 1 to {self._limit_bytes} bytes here, not {length}")
        upload_id = secrets.token_hex(12)
        place = {"Bucket": self._bucket, "Key": upload_key(upload_id)}
        multipart = str(ask(lambda: self._client.create_multipart_upload(**place))["UploadId"])
        record = UploadRecord(upload_id, owner, name, length, dataset, secrets.token_hex(12), multipart, now_ms)
        if not self._uploads.add(record):
            raise SourceUnavailable("the id of an upload is taken")
        part_bytes = max(PART_BYTES, -(-length // MAX_PARTS))
        numbers = range(1, -(-length // part_bytes) + 1)
        return Opened(record, part_bytes, tuple(self._address(record, number) for number in numbers))

    def complete(self, owner: str, upload_id: str, parts: Sequence[tuple[int, str]]) -> UploadRecord:
        """Put the parts (number, ETag) together and start the import; again does no harm. Raises InvalidRequest."""
        record = self.get(owner, upload_id)
        if record.state != "open":
            return record
        self._join(record, parts)
        length = self._length(record)
        if length != record.length:
            sentence = f"the upload has {length} bytes and not the {record.length} that were announced: begin again"
            if self._uploads.set_state(record.id, "failed", sentence):
                ask(lambda: self._client.delete_object(Bucket=self._bucket, Key=upload_key(record.id)))
            raise InvalidRequest(sentence)
        # First, so that nothing can come between them: an import that is started twice has one outcome.
        self._start_import(
            {
                "upload": record.id,
                "key": upload_key(record.id),
                "owner": record.owner,
                "dataset": record.dataset,
                "annotation": record.annotation,
                "name": record.name,
            }
        )
        self._uploads.set_state(record.id, "importing")
        return self.get(owner, upload_id)

    def abort(self, owner: str, upload_id: str) -> None:
        """Remove an upload and its parts. Raises InvalidRequest once it is being imported."""
        record = self.get(owner, upload_id)
        if not self._uploads.remove(record.id):
            raise InvalidRequest(
                "the upload is complete: its import cannot be stopped; remove the annotation afterwards"
            )
        place = {"Bucket": self._bucket, "Key": upload_key(record.id)}
        aborted = {**place, "UploadId": record.multipart}
        ask(lambda: self._client.abort_multipart_upload(**aborted), or_none=("NoSuchUpload",))
        ask(lambda: self._client.delete_object(**place))

    def get(self, owner: str, upload_id: str) -> UploadRecord:
        """Raises UnknownKey for one that is not the owner's as for one that is not there."""
        record = self._uploads.get(upload_id)
        if record is None or record.owner != owner:
            raise UnknownKey("there is no such upload")
        return record

    def _join(self, record: UploadRecord, parts: Sequence[tuple[int, str]]) -> None:
        listed = [{"PartNumber": number, "ETag": etag} for number, etag in sorted(parts)]
        if not listed:
            raise InvalidRequest("name the parts that were uploaded, each with its number and ETag")
        place = {"Bucket": self._bucket, "Key": upload_key(record.id), "UploadId": record.multipart}
        done = ask(
            lambda: self._client.complete_multipart_upload(**place, MultipartUpload={"Parts": listed}) or True,
            # Joined before: whether it was is seen by the object.
            or_none=("NoSuchUpload", *_WRONG_PARTS),
        )
        if done is None and self._length(record) is None:
            raise InvalidRequest("the parts are not those that were uploaded, or the upload is too old: begin again")

    def _length(self, record: UploadRecord) -> int | None:
        place = {"Bucket": self._bucket, "Key": upload_key(record.id)}
        found = ask(lambda: self._client.head_object(**place), or_none=NO_OBJECT)
        return None if found is None else int(found["ContentLength"])

    def _address(self, record: UploadRecord, number: int) -> str:
        part = {
            "Bucket": self._bucket,
            "Key": upload_key(record.id),
            "UploadId": record.multipart,
            "PartNumber": number,
        }
        signed = ask(lambda: self._client.generate_presigned_url("upload_part", Params=part, ExpiresIn=ADDRESS_S))
        return str(signed)
