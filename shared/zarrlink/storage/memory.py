"""A `ByteSource` over a dictionary: for tests and for the contract that all adapters keep."""

from __future__ import annotations

import hashlib
import math

from zarrlink.byte_range import ByteRange
from zarrlink.errors import RangeNotSatisfiable, SourceChanged
from zarrlink.storage.interface import Blob, Stat


class MemorySource:
    """Objects by key; `objects` may be changed at will."""

    def __init__(self, objects: dict[str, bytes] | None = None, name: str = "memory") -> None:
        self.name = name
        self.absence_trust_s = math.inf
        self.objects = {} if objects is None else objects

    async def read(
        self, key: str, part: ByteRange | None = None, *, if_match: str | None = None, head_bytes: int = 0
    ) -> Blob | None:
        data = self.objects.get(key)
        if data is None:
            return None
        etag = _etag(data)
        if if_match is not None and etag != if_match:
            raise SourceChanged(key)
        if part is None:
            return Blob(data, etag, len(data), data[:head_bytes])
        if part.start >= len(data):
            raise RangeNotSatisfiable(len(data))
        return Blob(data[part.start : part.end], etag, len(data), data[:head_bytes])

    async def stat(self, key: str) -> Stat | None:
        data = self.objects.get(key)
        return None if data is None else Stat(_etag(data), len(data))


def _etag(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]
