"""Results of exports in an S3 bucket: exports/JOB/ATTEMPT/FILE, scratch below scratch/JOB/ATTEMPT/."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, TypeVar

from zarrlink.annotations.downloads import disposition
from zarrlink.aws_errors import ask
from zarrlink.exports.part_s3 import S3Parts
from zarrlink.exports.scratch import ScratchBucket
from zarrlink.jobs.model import Job

T = TypeVar("T")
RESULTS: Final = "exports"
SCRATCH: Final = "scratch"
_TYPES: Final = {".zip": "application/zip", ".csv": "text/csv", ".nml": "application/xml"}


class BucketStore:
    """See `zarrlink.exports.store.ExportStore`. `client`: boto3's of S3. `disk`: the worker's own.

    The bucket's rules remove results after their days, and scratch and uploads that nobody ended after one.
    """

    def __init__(self, client: Any, bucket: str, disk: Path) -> None:
        self._client = client
        self._bucket = bucket
        self.disk = disk

    def key(self, job: Job, suffix: str = "") -> str:
        """Where the result is, once the job has succeeded."""
        return f"{_prefix(RESULTS, job.id, job.attempt)}{job.file_name}{suffix}"

    def sink(self, job: Job, suffix: str = "") -> S3Parts:
        name = job.file_name + suffix
        media_type = next((found for end, found in _TYPES.items() if name.endswith(end)), "image/tiff")
        headers = {"ContentType": media_type, "ContentDisposition": disposition(name)}
        return S3Parts(
            self._client, self._bucket, self.key(job, suffix), owner=f"{job.id}-{job.attempt}", headers=headers
        )

    def scratch(self, job: Job) -> ScratchBucket:
        return self._scratch(job.id, job.attempt)

    def tidy(self, job_id: str, attempt: int) -> None:
        # Uploads by their place: one that was begun and not written down is nobody's else.
        prefix = _prefix(RESULTS, job_id, attempt)
        pages = self._client.get_paginator("list_multipart_uploads").paginate(Bucket=self._bucket, Prefix=prefix)
        uploads = ask(lambda: [upload for page in pages for upload in page.get("Uploads", [])])
        for upload in uploads:
            S3Parts(self._client, self._bucket, upload["Key"], owner="").abort(upload["UploadId"])
        self._scratch(job_id, attempt).clear()

    def remove(self, job_id: str, attempt: int) -> None:
        self.tidy(job_id, attempt)
        ScratchBucket(self._client, self._bucket, _prefix(RESULTS, job_id, attempt)).clear()

    def _scratch(self, job_id: str, attempt: int) -> ScratchBucket:
        return ScratchBucket(self._client, self._bucket, _prefix(SCRATCH, job_id, attempt))


def _prefix(top: str, job_id: str, attempt: int) -> str:
    return f"{top}/{job_id}/{attempt}/"
