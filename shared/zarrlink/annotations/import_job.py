"""The import of a large upload as a job: what it is given, what it may cost, and what becomes of it."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from zarrlink.annotations.safe_zip import ZipLimits
from zarrlink.annotations.shelf import Shelf, Upload
from zarrlink.annotations.upload import ImportLimits
from zarrlink.aws_errors import service_error
from zarrlink.catalogue.annotations import AnnotationRecord
from zarrlink.catalogue.uploads_dynamodb import DynamoUploads
from zarrlink.errors import InvalidRequest, SourceUnavailable

LOG: Final = logging.getLogger("zarrlink")
# Lambda invokes a function that failed twice more: two attempts to import, and one to say that they came to nothing.
MAX_ATTEMPTS: Final = 2
PIECE_BYTES: Final = 16 * 2**20
# What an import must have left to remove what it wrote and say why it ends.
LAST_S: Final = 20.0
# Of the scratch space, for what is neither the upload nor unpacked from it.
_SPARE_BYTES: Final = 32 * 2**20


@dataclass(frozen=True, slots=True)
class ImportJob:
    """What an event of `LargeUploads` says."""

    upload: str
    key: str
    owner: str
    dataset: str
    annotation: str
    name: str

    @classmethod
    def from_event(cls, event: Mapping[str, str]) -> ImportJob:
        return cls(**{name: str(event[name]) for name in cls.__dataclass_fields__})


@dataclass(frozen=True, slots=True)
class ImportParts:
    """What a job works with. `client`: boto3's of S3; `scratch_bytes`: room for temporary files below `scratch`."""

    uploads: DynamoUploads
    shelf: Shelf
    client: Any
    bucket: str
    scratch: Path
    scratch_bytes: int
    now_ms: Callable[[], int]


@dataclass(frozen=True, slots=True)
class Outcome:
    """`record` None: failed for good, and `sentence` says why."""

    record: AnnotationRecord | None
    sentence: str = ""

    def to_json(self) -> dict[str, str]:
        if self.record is None:
            return {"state": "failed", "sentence": self.sentence}
        return {"state": "done", "annotation": self.record.id, "revision": self.record.revision}


def run_import(job: ImportJob, parts: ImportParts, seconds_left: Callable[[], float]) -> Outcome:
    """Import an upload, and write down what became of it. Doing it again, or twice at once, has the same outcome.

    Raises SourceUnavailable where it may go better next time: the event is to be sent again then.
    """
    attempt = parts.uploads.begin_attempt(job.upload)
    if not attempt:
        return Outcome(None, "there is no such upload (any more)")
    known = parts.uploads.get(job.upload)
    if known is not None and known.state == "failed":
        return Outcome(None, known.sentence)
    record = parts.shelf.annotations.get(job.annotation)
    if record is None and attempt > MAX_ATTEMPTS:
        parts.shelf.vault.keep_only(job.annotation, ())
        sentence = "the import broke off twice, with this upload or by a failure around it: ask who runs this zarrlink"
        return _ended(job, parts, Outcome(None, sentence))
    if record is None:
        try:
            record = _import(job, parts, seconds_left)
        except InvalidRequest as error:
            return _ended(job, parts, Outcome(None, str(error)))
    return _ended(job, parts, Outcome(record))


def _import(job: ImportJob, parts: ImportParts, seconds_left: Callable[[], float]) -> AnnotationRecord:
    dataset = parts.shelf.catalogue.get(job.dataset) if job.dataset else None
    if job.dataset and dataset is None:
        raise InvalidRequest("the dataset that was named with the upload is not registered any more")

    def watch(_done: int, _of: int) -> None:
        if seconds_left() < LAST_S:
            raise InvalidRequest("the import takes longer than a function may run: import it from the command line")

    with tempfile.TemporaryDirectory(dir=parts.scratch, prefix="zarrlink-import-") as folder, _file(folder) as file:
        length = _fetch(parts, job.key, file)
        room = parts.scratch_bytes - length - _SPARE_BYTES
        limits = ImportLimits(ZipLimits(unpacked_bytes=max(room, 0)))
        shelf = replace(parts.shelf, limits=limits)
        upload = Upload(file, job.name, job.owner, Path(folder), dataset)
        return shelf.add(upload, parts.now_ms(), watch, annotation_id=job.annotation)


def _ended(job: ImportJob, parts: ImportParts, outcome: Outcome) -> Outcome:
    parts.uploads.set_state(job.upload, "failed" if outcome.record is None else "done", outcome.sentence)
    try:
        parts.client.delete_object(Bucket=parts.bucket, Key=job.key)
    except Exception as error:
        code = service_error(error)
        if code is None:
            raise
        # The bucket's own rule removes it in some days.
        LOG.warning("an upload stays for now: S3 answered %s", code)
    return outcome


def _file(folder: str) -> BinaryIO:
    return cast("BinaryIO", tempfile.TemporaryFile(dir=folder))


def _fetch(parts: ImportParts, key: str, file: BinaryIO) -> int:
    """The upload into a file, piece by piece: what a zip needs is read here and there, and S3 is far for that."""
    place = {"Bucket": parts.bucket, "Key": key}
    try:
        found = parts.client.head_object(**place)
        length, etag = int(found["ContentLength"]), found["ETag"]
        for start in range(0, length, PIECE_BYTES):
            wanted = f"bytes={start}-{min(length, start + PIECE_BYTES) - 1}"
            file.write(parts.client.get_object(**place, Range=wanted, IfMatch=etag)["Body"].read())
    except Exception as error:
        code = service_error(error)
        if code is None:
            raise
        raise SourceUnavailable(f"S3 answered {code}") from error
    return length
