"""Imported annotations in an S3 bucket."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from zarrlink.annotations.s3_sink import S3Sink
from zarrlink.aws_errors import service_error

# Beside it lie uploads; template.yaml names both.
TOP: Final = "annotations"
_DELETED_AT_ONCE: Final = 1000


class S3Vault:
    """`s3://BUCKET/annotations/ANNOTATION/REVISION`. See `zarrlink.annotations.shelf.Vault`.

    `client`: boto3's of S3. Removing needs `s3:ListBucket` and `s3:DeleteObject`; where they are lacking, what is to be
    removed stays, since nobody reads what no record names.
    """

    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def sink(self, annotation_id: str, revision: str) -> tuple[S3Sink, str]:
        prefix = f"{TOP}/{annotation_id}/{revision}"
        return S3Sink(self._client, self._bucket, prefix), f"s3://{self._bucket}/{prefix}"

    def keep_only(self, annotation_id: str, revisions: tuple[str, ...]) -> None:
        top = f"{TOP}/{annotation_id}/"
        self._remove(top, tuple(f"{top}{revision}/" for revision in revisions))

    def discard(self, annotation_id: str, revision: str) -> None:
        self._remove(f"{TOP}/{annotation_id}/{revision}/", ())

    def _remove(self, prefix: str, kept: tuple[str, ...]) -> None:
        try:
            waiting: list[dict[str, str]] = []
            for key in self._keys(prefix):
                if not key.startswith(kept):
                    waiting.append({"Key": key})
                if len(waiting) == _DELETED_AT_ONCE:
                    self._delete(waiting)
                    waiting = []
            if waiting:
                self._delete(waiting)
        except Exception as error:
            if service_error(error) is None:
                raise

    def _keys(self, prefix: str) -> Iterator[str]:
        start: dict[str, str] = {}
        while True:
            page = self._client.list_objects_v2(Bucket=self._bucket, Prefix=prefix, **start)
            yield from (entry["Key"] for entry in page.get("Contents", []))
            if not page.get("IsTruncated"):
                return
            start = {"ContinuationToken": page["NextContinuationToken"]}

    def _delete(self, objects: list[dict[str, str]]) -> None:
        self._client.delete_objects(Bucket=self._bucket, Delete={"Objects": objects, "Quiet": True})
