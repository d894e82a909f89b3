"""Imported annotations in an S3 bucket."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
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
        kept = tuple(f"{top}{revision}/" for revision in revisions)
        with _left_where_refused():
            found = list(self._entries(top))
            # What another import is writing, and no record knows of yet, is not older than the newest of these (S3 tells seconds).
            newest = max(
                (entry["LastModified"] for entry in found if kept and entry["Key"].startswith(kept)), default=None
            )
            self._delete(
                entry["Key"]
                for entry in found
                if not (kept and entry["Key"].startswith(kept)) and (newest is None or entry["LastModified"] < newest)
            )

    def discard(self, annotation_id: str, revision: str) -> None:
        with _left_where_refused():
            self._delete(entry["Key"] for entry in self._entries(f"{TOP}/{annotation_id}/{revision}/"))

    def _entries(self, prefix: str) -> Iterator[dict[str, Any]]:
        start: dict[str, str] = {}
        while True:
            page = self._client.list_objects_v2(Bucket=self._bucket, Prefix=prefix, **start)
            yield from page.get("Contents", [])
            if not page.get("IsTruncated"):
                return
            start = {"ContinuationToken": page["NextContinuationToken"]}

    def _delete(self, keys: Iterable[str]) -> None:
        left = iter(keys)
        while batch := [{"Key": key} for key in islice(left, _DELETED_AT_ONCE)]:
            self._client.delete_objects(Bucket=self._bucket, Delete={"Objects": batch, "Quiet": True})


@contextmanager
def _left_where_refused() -> Iterator[None]:
    """What S3 refuses to list or remove stays."""
    try:
        yield
    except Exception as error:
        if service_error(error) is None:
            raise
