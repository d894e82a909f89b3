"""Whether a dataset in a bucket can be registered: looked at with the reader that the functions have."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, Protocol

from zarrlink.aws_errors import service_error
from zarrlink.catalogue.interface import DatasetRecord
from zarrlink.errors import InvalidRequest, SourceUnavailable, ZarrlinkError
from zarrlink.formats.datasource import FILE_NAME
from zarrlink.library import Library
from zarrlink.storage.interface import ByteSource
from zarrlink_local.stack import Stack, refused

S3: Final = "s3://"
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)


class BucketClient(Protocol):
    """What is asked of botocore's client for S3."""

    def head_bucket(self, **request: Any) -> Mapping[str, Any]: ...


class Place(NamedTuple):
    """A folder of a bucket; `prefix` has no slash at its end and is empty for the whole bucket."""

    bucket: str
    prefix: str

    @classmethod
    def parse(cls, text: str) -> Place:
        """Raises InvalidRequest."""
        bucket, _, prefix = text.removeprefix(S3).partition("/")
        prefix = prefix.removesuffix("/")
        segments = prefix.split("/") if prefix else []
        if (
            not text.startswith(S3)
            or not _BUCKET.fullmatch(bucket)
            or any(segment in ("", ".", "..") for segment in segments)
        ):
            raise InvalidRequest(f"{text!r} is no folder in S3; datasets of a stack lie at s3://bucket/folder")
        return cls(bucket, prefix)

    @property
    def location(self) -> str:
        """One place has one form: the catalogue knows it by its location."""
        return f"{S3}{self.bucket}/{self.prefix}".removesuffix("/")

    @property
    def name(self) -> str:
        return self.prefix.rpartition("/")[2] or self.bucket


def check_bucket(client: BucketClient, stack: Stack, bucket: str) -> None:
    """Refuse a bucket that the stack's functions could not read. Raises InvalidRequest."""
    if bucket not in stack.buckets:
        raise InvalidRequest(
            f"the stack {stack.name} may not read the bucket {bucket}: its parameter DataBucketArns names "
            f"{', '.join(sorted(stack.buckets))}; deploy it with this bucket as well, then add the dataset"
        )
    code = None
    try:
        answer = client.head_bucket(Bucket=bucket)
    except Exception as error:
        code = service_error(error)
        if code is None:
            raise
        answer = getattr(error, "response", {})
    # S3 says it in refusals, too.
    region = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("x-amz-bucket-region", stack.region)
    if region != stack.region:
        raise InvalidRequest(
            f"the bucket {bucket} lies in {region} and the stack {stack.name} in {stack.region}: its functions read "
            f"buckets of their own region alone; deploy a stack in {region}, or replicate the bucket"
        )
    if code in ("404", "NoSuchBucket"):
        raise InvalidRequest(f"there is no bucket {bucket}")
    # Whoever may not list a bucket may still read what lies in it, which is seen next.
    if code not in (None, "403", "AccessDenied"):
        raise InvalidRequest(refused(f"S3 HeadBucket of {bucket}", code))


async def check_dataset(open_source: Callable[[str], ByteSource], library: Library, place: Place) -> None:
    """Refuse a folder without a description that can be read. Raises InvalidRequest."""
    there = DatasetRecord("", place.name, place.location, 0)
    try:
        found = await open_source(there.location).stat(FILE_NAME)
        if found is not None:
            await library.describe(there)
    except SourceUnavailable as error:
        hint = "; it takes s3:GetObject, and s3:ListBucket on the bucket" if " 403" in error.reason else ""
        raise InvalidRequest(f"{place.location}/{FILE_NAME} cannot be read: {error.reason}{hint}") from error
    except ZarrlinkError as error:
        raise InvalidRequest(f"{place.location}: {error}") from error
    if found is None:
        raise InvalidRequest(f"{place.location} holds no {FILE_NAME}: name the folder that does")
