"""Byte ranges: what a store is asked for, and what a reader asks of us (RFC 9110, section 14)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from zarrlink.errors import InvalidRequest, RangeNotSatisfiable

_RANGE = re.compile(r"bytes=[ \t]*(?:([0-9]{1,4000})-([0-9]{0,4000})|-([0-9]{1,4000}))[ \t]*", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes `start` (inclusive) to `end` (exclusive); never empty."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise InvalidRequest(f"a byte range needs 0 <= start < end, not {self.start} and {self.end}")

    def __len__(self) -> int:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class RangeRequest:
    """What a `Range` header asks for: from `first` on (`last` inclusive or open), or the last `suffix` bytes."""

    first: int = 0
    last: int | None = None
    suffix: int | None = None

    def resolve(self, length: int) -> ByteRange:
        """The bytes meant in an object of `length` bytes. Raises RangeNotSatisfiable where there are none."""
        if self.suffix is not None:
            if self.suffix == 0 or length == 0:
                raise RangeNotSatisfiable(length)
            return ByteRange(max(0, length - self.suffix), length)
        if self.first >= length:
            raise RangeNotSatisfiable(length)
        return ByteRange(self.first, length if self.last is None else min(self.last + 1, length))


def parse_range(header: str | None) -> RangeRequest | None:
    """The one range a `Range` header asks for, or None where the header is to be ignored.

    Ignored, as RFC 9110 allows and demands: other units, several ranges, and forms that make no sense
    (`bytes=5-2`, `bytes=x`). The reader then gets the whole object with status 200, which is never wrong.
    """
    if header is None:
        return None
    match = _RANGE.fullmatch(header)
    if match is None:
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        return RangeRequest(suffix=int(suffix))
    if last and int(last) < int(first):
        return None
    return RangeRequest(first=int(first), last=int(last) if last else None)
