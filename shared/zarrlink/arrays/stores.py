"""tensorstore's side: one context with bounded cache and concurrency, and its stores by address.

Measured with tensorstore 0.1.86: it follows no redirect of a web server (a 302 is a failed read), so an allowed host cannot
lead on to another one; its file store takes a folder, or a link to nowhere, where a chunk should be, for a missing one
(`volumes.py` looks behind that); and left alone it tries a host that does not answer 32 times.
"""

from __future__ import annotations

import math
from asyncio import AbstractEventLoop, Semaphore, get_running_loop
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import tensorstore as ts

from zarrlink.arrays.failures import FAILURES, as_unavailable
from zarrlink.byte_range import ByteRange
from zarrlink.sources.permission import Address, AllowedSources, parse_address
from zarrlink.storage.bucket_access import bucket_names
from zarrlink.storage.files import LocalFiles
from zarrlink.storage.interface import Blob, ByteSource, Stat
from zarrlink.storage.reach import Reach
from zarrlink.storage.whole import WholeObject

CACHE_BYTES: Final = 64 * 2**20
# Reads under way at once; each may decode a stored chunk of up to 128 MiB for each chunk that it touches.
READS_AT_ONCE: Final = 4
# Somebody waits: about as long in sum as `storage/s3.py` allows.
_RETRIES: Final = {"max_retries": 3, "initial_delay": "50ms", "max_delay": "300ms"}
_MEMORY: Final = "memory"
_FULL_URI: Final = "AWS_CONTAINER_CREDENTIALS_FULL_URI"


class Stores:
    """What arrays are opened with. `environ`: where an S3 endpoint, the kind of credentials and the buckets whose requests are
    paid for by us (REQUESTER_PAYS_BUCKETS, see `BucketAccess`) are looked up. tensorstore takes on no role of another account.

    `reach`: where files of folders outside of the dataset may really lie. `cache_bytes`: of decoded chunks, for all arrays
    together.
    """

    def __init__(
        self,
        *,
        allowed: AllowedSources = AllowedSources(),  # noqa: B008 (frozen)
        reach: Reach | None = None,
        environ: Mapping[str, str] = MappingProxyType({}),
        cache_bytes: int = CACHE_BYTES,
        reads_at_once: int = READS_AT_ONCE,
    ) -> None:
        self.allowed = allowed
        self._reach = reach
        self._reads_at_once = reads_at_once
        self._reads: tuple[AbstractEventLoop, Semaphore] | None = None
        self._environ = environ
        self.context = ts.Context(
            {
                "cache_pool": {"total_bytes_limit": cache_bytes},
                "file_io_concurrency": {"limit": 8},
                "data_copy_concurrency": {"limit": 4},
                "http_request_concurrency": {"limit": 16},
                "s3_request_concurrency": {"limit": 16},
                "gcs_request_concurrency": {"limit": 16},
                "http_request_retries": _RETRIES,
                "s3_request_retries": _RETRIES,
                "gcs_request_retries": _RETRIES,
            }
        )

    @property
    def reads(self) -> Semaphore:
        """To be held while an array is read. A semaphore belongs to one event loop, and a process may see several."""
        loop = get_running_loop()
        if self._reads is None or self._reads[0] is not loop:
            self._reads = loop, Semaphore(self._reads_at_once)
        return self._reads[1]

    def place(self, location: str) -> Address:
        """A dataset's own location (an absolute folder, a URL, or the name of a `memory` source) taken apart.

        Raises InvalidRequest.
        """
        if location.startswith("/"):
            # However its folder is named: nobody but the operator chose it.
            return Address("file", "", tuple(segment for segment in location.split("/") if segment))
        if location.startswith(f"{_MEMORY}://"):
            return Address(_MEMORY, "", tuple(location.removeprefix(f"{_MEMORY}://").strip("/").split("/")))
        return parse_address(location)

    def spec(self, address: Address, folder: str = ".") -> dict[str, Any]:
        """The key-value store of a folder below an address, as tensorstore takes it."""
        segments = address.segments if folder in (".", "") else (*address.segments, *folder.split("/"))
        path = "".join(f"{segment}/" for segment in segments)
        match address.scheme:
            case "file":
                return {"driver": "file", "path": f"/{path}"}
            case "s3":
                return {"driver": "s3", "bucket": address.host, "path": path, **self._s3_options(address.host)}
            case "gs":
                return {"driver": "gcs", "bucket": address.host, "path": path}
            case "http" | "https":
                return {"driver": "http", "base_url": f"{address.scheme}://{address.host}", "path": f"/{path}"}
            case _:
                return {"driver": _MEMORY, "path": path}

    def source(self, address: Address) -> ByteSource:
        """An address outside of the dataset as a source of metadata."""
        if address.scheme == "file":
            return LocalFiles(Path(address.text), self._reach)
        return _WholeObjects(self, address)

    def reads_parts(self, source: ByteSource) -> bool:
        """Whether a source reads parts of objects, rather than the whole of an object for each."""
        return not isinstance(source, _WholeObjects)

    async def memory(self, name: str, objects: Mapping[str, bytes]) -> ByteSource:
        """Objects as a source that arrays can be opened in; its `name` is its location. For tests."""
        source = _WholeObjects(self, Address(_MEMORY, "", (name,)))
        store = await ts.KvStore.open(self.spec(source.address), context=self.context)
        for key, data in objects.items():
            await store.write(key, data)
        return source

    def _s3_options(self, bucket: str) -> dict[str, Any]:
        environ = self._environ
        options: dict[str, Any] = {}
        endpoint = environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL")
        if endpoint:
            options = {"endpoint": endpoint, "aws_region": environ.get("AWS_REGION", "us-east-1")}
        # As `storage/credentials.py`: keys, then a web identity, then a container's endpoint.
        kind = "default"
        if "AWS_ACCESS_KEY_ID" in environ:
            kind = "environment"
        elif _FULL_URI in environ and "AWS_WEB_IDENTITY_TOKEN_FILE" not in environ:
            kind = "ecs"
        if bucket in bucket_names(environ.get("REQUESTER_PAYS_BUCKETS", "")):
            options["requester_pays"] = True
        return {**options, "aws_credentials": {"type": kind}}


class _WholeObjects:
    """A `ByteSource` over tensorstore's key-value stores. Objects are read whole, so it is for metadata."""

    absence_trust_s = math.inf

    def __init__(self, stores: Stores, address: Address) -> None:
        self.address = address
        self.name = address.text if address.scheme != _MEMORY else f"{_MEMORY}://{'/'.join(address.segments)}"
        self._stores = stores

    async def read(
        self, key: str, part: ByteRange | None = None, *, if_match: str | None = None, head_bytes: int = 0
    ) -> Blob | None:
        try:
            store = await ts.KvStore.open(self._stores.spec(self.address), context=self._stores.context)
            found = await store.read(key)
        except FAILURES as error:
            raise as_unavailable(error, key) from error
        if found.state == "missing":
            return None
        whole = WholeObject.of(bytes(found.value))
        return whole.read(key, part, if_match=if_match, head_bytes=head_bytes)

    async def stat(self, key: str) -> Stat | None:
        blob = await self.read(key)
        return None if blob is None else Stat(blob.etag, blob.object_bytes)
