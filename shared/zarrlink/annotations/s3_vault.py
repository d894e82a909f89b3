"""Imported annotations in an S3 bucket."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, Final

from zarrlink.annotations.manifest import MANIFEST_KEY
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
            found = list(self._keys(top))
            # What another import is writing has no manifest yet: that comes last.
            whole = tuple(key.removesuffix(MANIFEST_KEY) for key in found if key.endswith(f"/{MANIFEST_KEY}"))
            doomed = (key for key in found if not kept or (key.startswith(whole) and not key.startswith(kept)))
            self._delete(doomed)

    def discard(self, annotation_id: str, revision: str) -> None:
        with _left_where_refused():
            self._delete(self._keys(f"{TOP}/{annotation_id}/{revision}/"))

    def _keys(self, prefix: str) -> Iterator[str]:
        start: dict[str, str] = {}
        while True:
            page = self._client.list_objects_v2(Bucket=self._bucket, Prefix=prefix, **start)
            yield from (entry["Key"] for entry in page.get("Contents", []))
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
