"""The parts that the functions are put together from. Clients are made when they are first used, never at import."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, Final

from zarrlink.catalogue.interface import DatasetRecord
from zarrlink.errors import SourceUnavailable
from zarrlink.storage.interface import ByteSource

# How soon a replaced description or header is noticed: each look is a few requests to S3.
FRESHNESS_S: Final = 30.0
_S3: Final = "s3://"


class LazyClient:
    """A botocore client that is made at its first call: importing botocore is most of a cold start."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._client: Any = None

    def __getattr__(self, name: str) -> Any:
        if self._client is None:
            import botocore.session

            self._client = botocore.session.get_session().create_client(self._service)
        return getattr(self._client, name)


def source_opener() -> Callable[[DatasetRecord], ByteSource]:
    """From a dataset's `s3://bucket/prefix` to its source; one store a bucket."""
    from zarrlink.storage.s3 import open_s3

    opened: dict[str, ByteSource] = {}

    def open_source(record: DatasetRecord) -> ByteSource:
        if record.location not in opened:
            bucket, _, prefix = record.location.removeprefix(_S3).partition("/")
            if not record.location.startswith(_S3) or not bucket:
                raise SourceUnavailable("a dataset's location is not s3://bucket/prefix")
            endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
            opened[record.location] = open_s3(
                bucket, prefix, region=os.environ.get("AWS_REGION", "us-east-1"), endpoint=endpoint
            )
        return opened[record.location]

    return open_source


def now_ms() -> int:
    """Milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000
