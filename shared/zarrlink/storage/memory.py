"""A `ByteSource` over a dictionary: for tests and for the contract that all adapters keep."""

from __future__ import annotations

import math

from zarrlink.byte_range import ByteRange
from zarrlink.storage.interface import Blob, Stat
from zarrlink.storage.whole import WholeObject


class MemorySource:
    """Objects by key; `objects` may be changed at will."""

    def __init__(self, objects: dict[str, bytes] | None = None, name: str = "memory") -> None:
        self.name = name
        self.absence_trust_s = math.inf
        self.objects = {} if objects is None else objects

    async def read(
        self, key: str, part: ByteRange | None = None, *, if_match: str | None = None, head_bytes: int = 0
    ) -> Blob | None:
        found = self._find(key)
        return None if found is None else found.read(key, part, if_match=if_match, head_bytes=head_bytes)

    async def stat(self, key: str) -> Stat | None:
        found = self._find(key)
        return None if found is None else found.stat()

    def _find(self, key: str) -> WholeObject | None:
        data = self.objects.get(key)
        return None if data is None else WholeObject.of(data)
