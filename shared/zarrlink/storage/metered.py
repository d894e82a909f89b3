"""A `ByteSource` that counts what it is asked for."""

from __future__ import annotations

from zarrlink.byte_range import ByteRange
from zarrlink.storage.interface import Blob, ByteSource, Stat


class Meter:
    """Requests to the store and bytes read since the last reset."""

    def __init__(self) -> None:
        self.requests = 0
        self.bytes = 0

    def reset(self) -> None:
        self.requests = self.bytes = 0


class _Metered:
    def __init__(self, inner: ByteSource, meter: Meter) -> None:
        self._inner = inner
        self._meter = meter
        self.name = inner.name
        self.absence_trust_s = inner.absence_trust_s

    async def read(
        self, key: str, part: ByteRange | None = None, *, if_match: str | None = None, head_bytes: int = 0
    ) -> Blob | None:
        self._meter.requests += 1
        blob = await self._inner.read(key, part, if_match=if_match, head_bytes=head_bytes)
        if blob is not None:
            self._meter.bytes += len(blob.data)
        return blob

    async def stat(self, key: str) -> Stat | None:
        self._meter.requests += 1
        return await self._inner.stat(key)


def metered(source: ByteSource, meter: Meter) -> ByteSource:
    """The same source, counted."""
    return _Metered(source, meter)
