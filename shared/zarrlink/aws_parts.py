"""The parts that the functions, and commands on a stack, are put together from. Clients are made when they are first used, never at import."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, Final

from zarrlink.errors import SourceUnavailable
from zarrlink.layer import MAX_CHUNK_BYTES

if TYPE_CHECKING:
    from aws_lambda_powertools import Metrics
    from obstore.store import S3Credential

    from zarrlink.storage.bucket_access import BucketAccess
    from zarrlink.storage.s3 import S3Source

# How soon a replaced description or header is noticed: each look is a few requests to S3.
FRESHNESS_S: Final = 30.0
# Of a stored object that goes out whole: what an answer of Lambda carries. Whoever makes links and whoever answers them
# must agree, since a layer's geometry depends on it.
MOST_BYTES: Final = MAX_CHUNK_BYTES
_S3: Final = "s3://"
# As many as ask at the same time (`zarrlink.exports.results`): more would each be opened anew, and complained of.
_CONNECTIONS: Final = 16


class LazyClient:
    """A botocore client that is made at its first call: importing botocore is most of a cold start.

    `answer_s`: how long it waits for an answer. `traced`: its calls are subsegments of the function's trace.
    """

    def __init__(self, service: str, *, answer_s: float = 5, traced: bool = True) -> None:
        self._service = service
        self._answer_s = answer_s
        self._traced = traced
        self._client: Any = None

    def __getattr__(self, name: str) -> Any:
        if self._client is None:
            import botocore.session
            from botocore.config import Config

            # Somebody waits for a chunk: the defaults (60 s, several tries) outlast the gateway.
            patience = Config(
                connect_timeout=2,
                read_timeout=self._answer_s,
                retries={"mode": "standard", "max_attempts": 3},
                max_pool_connections=_CONNECTIONS,
            )
            # Signed addresses of S3 by the present way, in whatever region; elsewhere there is no other.
            config = patience.merge(Config(signature_version="s3v4")) if self._service == "s3" else patience
            self._client = botocore.session.get_session().create_client(self._service, config=config)
            if self._traced:
                from zarrlink.aws_trace import trace_calls

                trace_calls(self._client)
        return getattr(self._client, name)


def source_opener(
    access: BucketAccess | None = None,
    *,
    region: str | None = None,
    credential_provider: Callable[[], S3Credential] | None = None,
) -> Callable[[str], S3Source]:
    """From `s3://bucket/prefix` to what is stored there; one store a bucket, all in one region.

    Left out, region and credentials are the function's own, and no bucket is another account's.
    """
    from zarrlink.storage.bucket_access import AssumedRole, BucketAccess
    from zarrlink.storage.s3 import S3Source, open_bucket

    home = region or os.environ.get("AWS_REGION", "us-east-1")
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    # Only an emulator on this machine has such an address.
    plain = endpoint is not None and endpoint.startswith("http://")
    how = access or BucketAccess()
    in_role = AssumedRole(LazyClient("sts"), how.role_arn)
    bucket_store = cache(
        lambda bucket: open_bucket(
            bucket,
            region=home,
            endpoint=endpoint,
            credential_provider=in_role if bucket in how.role_buckets else credential_provider,
            allow_http=plain,
            requester_pays=bucket in how.requester_pays,
        )
    )

    def open_source(location: str) -> S3Source:
        bucket, _, prefix = location.removeprefix(_S3).partition("/")
        if not location.startswith(_S3) or not bucket:
            raise SourceUnavailable("a location is not s3://bucket/prefix")
        return S3Source(bucket_store(bucket), prefix, location)

    return open_source


@contextmanager
def counted(metrics: Metrics, starts: Iterator[int]) -> Iterator[None]:
    """Around the work of a function that no request waits for: counts `Attempts`, `ColdStarts`, and `Failed` where it raises."""
    metrics.add_metric(name="ColdStarts", unit="Count", value=next(starts))
    metrics.add_metric(name="Attempts", unit="Count", value=1)
    try:
        yield
    except Exception:
        metrics.add_metric(name="Failed", unit="Count", value=1)
        raise


def starts() -> Iterator[int]:
    """1, and from then on 0: whether an event is the first of its environment, which has waited for the imports."""
    return chain((1,), repeat(0))


def now_ms() -> int:
    """Milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000
