"""An `EdgeStore` in CloudFront's KeyValueStore.

Every write names the version of the whole store (ETag) that it was decided by, and is refused where there is a newer one.
Requests are signed by SigV4A, which botocore does with awscrt alone.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from zarrlink.aws_errors import ask
from zarrlink.edge.store import Decide
from zarrlink.errors import SourceUnavailable

# https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/cloudfront-limits.html, read 2026-11: 5 MB a store, 50 keys
# or 3 MB a request. A key and a value of ours have some 100 bytes.
ROOM_BYTES: Final = 5 * 2**20
BATCH: Final = 50
_PAGE: Final = 50
_SERVICE: Final = "the KeyValueStore of CloudFront"
# Of writers that come in between: there is one sync function, and people at the console.
_ATTEMPTS: Final = 12
_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 2.0


class KvsClient(Protocol):
    """What is asked of botocore's client, and so what a function must be allowed to do.

    Throttling is botocore's business: its client tries again.
    """

    def describe_key_value_store(self, **request: Any) -> Mapping[str, Any]: ...
    def list_keys(self, **request: Any) -> Mapping[str, Any]: ...
    def get_key(self, **request: Any) -> Mapping[str, Any]: ...
    def update_keys(self, **request: Any) -> Mapping[str, Any]: ...


class _Version(NamedTuple):
    etag: str
    size_bytes: int


class KeyValueStore:
    """A store, by its ARN. `pause`: waits for some seconds."""

    room_bytes = ROOM_BYTES

    def __init__(self, client: KvsClient, arn: str, pause: Callable[[float], None] = time.sleep) -> None:
        self._client = client
        self._arn = arn
        self._pause = pause

    def entries(self) -> dict[str, str]:
        found: dict[str, str] = {}
        request: dict[str, Any] = {"KvsARN": self._arn, "MaxResults": _PAGE}
        while True:
            answer = ask(lambda: self._client.list_keys(**request), service=_SERVICE)
            found |= {item["Key"]: item["Value"] for item in answer.get("Items", [])}
            if not answer.get("NextToken"):
                return found
            request["NextToken"] = answer["NextToken"]

    def change(self, keys: Sequence[str], decide: Decide) -> None:
        version: _Version | None = None
        for start in range(0, len(keys), BATCH):
            version = self._change(keys[start : start + BATCH], decide, version)

    def _change(self, keys: Sequence[str], decide: Decide, version: _Version | None) -> _Version:
        """One batch, and the version that it made. `version`: one that may still be the present one."""
        for attempt in range(_ATTEMPTS):
            version = version or self._version()
            decided = decide(keys, version.size_bytes / ROOM_BYTES)
            new = self._write(decided, version)
            if new is not None:
                return new
            version = None
            # At random, or two writers would meet again.
            self._pause(random.uniform(0, min(_FIRST_PAUSE_S * 2**attempt, _LONGEST_PAUSE_S)))  # noqa: S311
        raise SourceUnavailable(f"{_SERVICE} is being written to over and over")

    def _version(self) -> _Version:
        answer = ask(lambda: self._client.describe_key_value_store(KvsARN=self._arn), service=_SERVICE)
        return _Version(answer["ETag"], answer["TotalSizeInBytes"])

    def _write(self, decided: Mapping[str, str | None], version: _Version) -> _Version | None:
        """All or nothing of it; None where there is a newer version."""
        puts = [{"Key": key, "Value": value} for key, value in decided.items() if value is not None]
        # Whether a key that is not there may be deleted is not documented.
        deletes = [{"Key": key} for key, value in decided.items() if value is None and self._holds(key)]
        if not (puts or deletes):
            return version
        request = {"KvsARN": self._arn, "IfMatch": version.etag, "Puts": puts, "Deletes": deletes}
        answer = ask(lambda: self._client.update_keys(**request), or_none=("ConflictException",), service=_SERVICE)
        return None if answer is None else _Version(answer["ETag"], answer["TotalSizeInBytes"])

    def _holds(self, key: str) -> bool:
        request = {"KvsARN": self._arn, "Key": key}
        none = ("ResourceNotFoundException",)
        return ask(lambda: self._client.get_key(**request), or_none=none, service=_SERVICE) is not None
