"""A `ByteSource` over a prefix of an S3 bucket, read through obstore.

What obstore 0.12 does that this module depends on (each held down by a test):

* A failed request is an exception whose *text* holds S3's status and error code; its class alone does not tell a
  missing key from a missing bucket, nor an unsatisfiable range from a timeout.
* An answer cut short is continued (same ETag, the rest of the range) and otherwise fails; but a server whose
  Content-Length contradicts its Content-Range gets through, hence our own count.
* Slashes at both ends of a key are dropped, and the empty key reads the bucket's listing as if it were an object.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from obstore.exceptions import BaseError, PreconditionError, UnauthenticatedError
from obstore.store import S3Store

from zarrlink.byte_range import ByteRange
from zarrlink.errors import RangeNotSatisfiable, SourceChanged, SourceUnavailable
from zarrlink.storage.credentials import container_credentials
from zarrlink.storage.interface import Blob, Stat

if TYPE_CHECKING:
    from obstore import GetOptions, ObjectMeta
    from obstore.store import ClientConfig, RetryConfig, S3Credential

# Somebody waits for this chunk: a stalled connection is given up early and tried once more, and the whole is bounded
# by RETRY_UNTIL + MAX_BACKOFF + ATTEMPT, below 5 s. A chunk has at most 4 MiB, so ATTEMPT asks for 1.4 MB/s.
CONNECT_S: Final = 1.0
STALLED_S: Final = 1.2
ATTEMPT_S: Final = 3.0
RETRY_UNTIL_S: Final = 1.5
MAX_RETRIES: Final = 3
FIRST_BACKOFF_S: Final = 0.05
MAX_BACKOFF_S: Final = 0.3

# Whatever obstore raises: its own tree, FileNotFoundError for a 404, ValueError for a key that it cannot name.
_FAILURES: Final = (BaseError, OSError, ValueError)
_ANSWER: Final = re.compile(r"status code: ([0-9]{3})(?:.*?<Code>([A-Za-z0-9]{1,60})</Code>)?", re.ASCII | re.DOTALL)
_OBJECT_BYTES: Final = re.compile(r"<ActualObjectSize>([0-9]{1,18})</ActualObjectSize>", re.ASCII)


class S3Source:
    """Objects below `prefix` of the store's bucket; `name` as in `ByteSource`.

    Reading needs `s3:GetObject`, and `s3:ListBucket` on the bucket: without it S3 answers 403 instead of 404 for a
    key that is not there, and every block never written would be an error.
    """

    absence_trust_s = math.inf

    def __init__(self, store: S3Store, prefix: str, name: str) -> None:
        self.name = name
        self._store = store
        self._prefix = prefix.rstrip("/") + "/" if prefix.rstrip("/") else ""

    async def read(
        self,
        key: str,
        part: ByteRange | None = None,
        *,
        if_match: str | None = None,
        head_bytes: int = 0,  # noqa: ARG002 (would cost a request)
    ) -> Blob | None:
        path = self._path(key)
        options: GetOptions = {}
        if part is not None:
            options["range"] = (part.start, part.end)
        if if_match is not None:
            options["if_match"] = if_match
        try:
            result = await self._store.get_async(path, options=options)
            stat = _stat(result.meta, key)
            start, end = result.range
            data = (await result.bytes_async()).to_bytes()
        except _FAILURES as error:
            status, code = _answer(error)
            # Only S3's own word for it is absence: a missing bucket and a stray proxy say 404 as well.
            if isinstance(error, FileNotFoundError) and code == "NoSuchKey":
                return None
            if part is not None and status == "416":
                raise await self._unsatisfiable(key, part, if_match, error) from error
            # The second line: found out while the rest of an answer cut short was fetched.
            if isinstance(error, PreconditionError) or status == "412" or code == "NoSuchKey":
                raise SourceChanged(key) from error
            raise _unavailable(error, key) from error
        if len(data) != end - start:
            raise SourceUnavailable(f"S3 sent {len(data)} bytes of {end - start}", key=key)
        return Blob(data, stat.etag, stat.object_bytes)

    async def stat(self, key: str) -> Stat | None:
        # Not by HEAD: where that finds nothing it has no body to tell a missing key from a missing bucket.
        # One byte costs the same.
        try:
            blob = await self.read(key, ByteRange(0, 1))
        except RangeNotSatisfiable:
            return await self._head(key)
        return None if blob is None else Stat(blob.etag, blob.object_bytes)

    async def names(self, folder: str) -> list[str]:
        """What lies directly in a folder, sorted. Raises SourceUnavailable. For people's commands: no function lists."""
        try:
            found = await self._store.list_with_delimiter_async(self._path(folder) + "/")
        except _FAILURES as error:
            raise _unavailable(error, folder) from error
        paths = [*found["common_prefixes"], *(meta["path"] for meta in found["objects"])]
        return sorted(path.rstrip("/").rpartition("/")[2] for path in paths)

    async def _unsatisfiable(
        self, key: str, part: ByteRange, if_match: str | None, error: Exception
    ) -> RangeNotSatisfiable | SourceChanged:
        """What to raise for a 416. S3 names the object's length in it; other stores are asked."""
        named = _OBJECT_BYTES.search(str(error))
        if named is not None:
            return RangeNotSatisfiable(int(named[1]))
        stat = await self._head(key)
        if stat.object_bytes > part.start or if_match not in (None, stat.etag):
            return SourceChanged(key)
        return RangeNotSatisfiable(stat.object_bytes)

    async def _head(self, key: str) -> Stat:
        """Of an object that was there a moment ago."""
        try:
            return _stat(await self._store.head_async(self._path(key)), key)
        except FileNotFoundError as error:
            raise SourceChanged(key) from error
        except _FAILURES as error:
            raise _unavailable(error, key) from error

    def _path(self, key: str) -> str:
        path = self._prefix + key
        if any(segment in ("", ".", "..") for segment in path.split("/")):
            raise SourceUnavailable("the key is none that can be read", key=key)
        return path


def open_s3(
    bucket: str,
    prefix: str,
    *,
    region: str,
    endpoint: str | None = None,
    credential_provider: Callable[[], S3Credential] | None = None,
    allow_http: bool = False,
) -> S3Source:
    """A source of its own connections. Datasets of one bucket better share an `open_bucket`."""
    store = open_bucket(
        bucket, region=region, endpoint=endpoint, credential_provider=credential_provider, allow_http=allow_http
    )
    return S3Source(store, prefix, f"{endpoint or 's3:/'}/{bucket}/{prefix}")


def open_bucket(
    bucket: str,
    *,
    region: str,
    endpoint: str | None = None,
    credential_provider: Callable[[], S3Credential] | None = None,
    allow_http: bool = False,
    requester_pays: bool = False,
) -> S3Store:
    """A bucket, with retries and timeouts for somebody who waits.

    `endpoint`: of another store or partition, without the bucket (the variables AWS_ENDPOINT_URL and
    AWS_ENDPOINT_URL_S3 are not looked at). `credential_provider` None: as the environment says (Lambda's keys, the
    container credentials of SnapStart, ECS and EKS, the instance's role). `requester_pays`: whose requests are paid for by us.
    """
    # Given in any case, since obstore would take one from the environment. A name with dots fits no certificate.
    by_host = endpoint is None and "." not in bucket
    if endpoint is None:
        endpoint = f"https://{bucket}.s3.{region}.amazonaws.com" if by_host else f"https://s3.{region}.amazonaws.com"
    client_options: ClientConfig = {
        "allow_http": allow_http,
        "connect_timeout": timedelta(seconds=CONNECT_S),
        "read_timeout": timedelta(seconds=STALLED_S),
        "timeout": timedelta(seconds=ATTEMPT_S),
    }
    retry_config: RetryConfig = {
        "max_retries": MAX_RETRIES,
        "retry_timeout": timedelta(seconds=RETRY_UNTIL_S),
        "backoff": {
            "init_backoff": timedelta(seconds=FIRST_BACKOFF_S),
            "max_backoff": timedelta(seconds=MAX_BACKOFF_S),
            "base": 2,
        },
    }
    return S3Store(
        bucket,
        region=region,
        aws_endpoint_url_s3=endpoint,
        virtual_hosted_style_request=by_host,
        client_options=client_options,
        retry_config=retry_config,
        credential_provider=credential_provider or container_credentials(os.environ),
        request_payer=requester_pays,
    )


def _stat(meta: ObjectMeta, key: str) -> Stat:
    etag = meta["e_tag"]
    if etag is None:
        raise SourceUnavailable("S3 sent no ETag", key=key)
    return Stat(etag, meta["size"])


def _answer(error: Exception) -> tuple[str, str]:
    """S3's status and error code, empty where obstore tells of none."""
    found = _ANSWER.search(str(error))
    return (found[1], found[2] or "") if found else ("", "")


def _unavailable(error: Exception, key: str) -> SourceUnavailable:
    """With a reason that holds nothing of bucket or key, as obstore's own text does."""
    status, code = _answer(error)
    if status:
        reason = f"S3 answered {status} {code}".rstrip()
    elif isinstance(error, UnauthenticatedError):
        reason = "no credentials for S3"
    elif isinstance(error, ValueError):
        reason = "the key is none that can be read"
    elif "redirect without LOCATION" in str(error):
        reason = "the bucket is in another region"
    elif "HTTP error" in str(error):
        reason = "S3 could not be reached or broke off"
    else:
        reason = "S3 sent an answer that makes no sense"
    return SourceUnavailable(reason, key=key)
