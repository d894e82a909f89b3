"""An object that is held whole, and what of it answers a read."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Self

from zarrlink.byte_range import ByteRange
from zarrlink.errors import RangeNotSatisfiable, SourceChanged
from zarrlink.storage.interface import Blob, Stat


@dataclass(frozen=True, slots=True)
class WholeObject:
    """`etag`: of the bytes alone."""

    data: bytes
    etag: str

    @classmethod
    def of(cls, data: bytes) -> Self:
        return cls(data, hashlib.sha256(data).hexdigest()[:32])

    def read(self, key: str, part: ByteRange | None, *, if_match: str | None, head_bytes: int) -> Blob:
        """As `ByteSource.read` of `key`. Raises RangeNotSatisfiable, SourceChanged."""
        data, head = self.data, self.data[:head_bytes]
        if if_match is not None and self.etag != if_match:
            raise SourceChanged(key)
        if part is None:
            return Blob(data, self.etag, len(data), head)
        if part.start >= len(data):
            raise RangeNotSatisfiable(len(data))
        return Blob(data[part.start : part.end], self.etag, len(data), head)

    def stat(self) -> Stat:
        return Stat(self.etag, len(self.data))
