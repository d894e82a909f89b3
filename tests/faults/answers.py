"""What an answer says of itself, held against RFC 9110: lengths, and the part that was asked for."""

from __future__ import annotations

import re
from typing import Final, NamedTuple, Self

_CONTENT_RANGE: Final = re.compile(r"bytes ([0-9]+)-([0-9]+)/([0-9]+)", re.ASCII)
_RANGE: Final = re.compile(rb"bytes=(?:([0-9]+)-([0-9]*)|-([0-9]+))")


def satisfies(wanted: bytes, length: int) -> tuple[int, int] | None:
    """First byte and end of what a `Range` header means of an object of that length; None where there is nothing of it, or
    no header (section 14.1.2)."""
    found = _RANGE.fullmatch(wanted)
    if found is None:
        return None
    first, last, suffix = found.groups()
    if suffix is not None:
        start, end = max(0, length - int(suffix)), length
    else:
        start, end = int(first), min(int(last) + 1, length) if last else length
    return (start, end) if start < end else None


class Reply(NamedTuple):
    """Answer to a GET. `start`, `length`: of a 206 where its body begins, and of what it is a part; of others the body's."""

    status: int
    headers: dict[str, str]
    body: bytes
    start: int
    length: int

    @classmethod
    def of(cls, status: int, headers: dict[str, str], body: bytes) -> Self:
        spanned = _CONTENT_RANGE.fullmatch(headers.get("content-range", ""))
        if status != 206 or spanned is None:
            return cls(status, headers, body, 0, len(body))
        return cls(status, headers, body, int(spanned[1]), int(spanned[3]))

    def contradiction(self, wanted: bytes) -> str:
        """What is wrong with the lengths of an answer to a request with this `Range` header (b"": none); "" where nothing
        is."""
        said = self.headers.get("content-length")
        if said is not None and int(said) != len(self.body):
            return f"{self.status} of {len(self.body)} bytes, and Content-Length {said}"
        spanned = self.headers.get("content-range", "")
        if self.status == 200:
            return f"200 with Content-Range {spanned}" if spanned else ""
        if self.status != 206:
            return ""
        found = _CONTENT_RANGE.fullmatch(spanned)
        if found is None or not wanted:
            return f"206 with Content-Range {spanned!r}"
        first, last, length = (int(number) for number in found.groups())
        if len(self.body) != last + 1 - first:
            return f"{len(self.body)} bytes, and Content-Range {spanned}"
        if (first, last + 1) != satisfies(wanted, length):
            return f"Content-Range {spanned}"
        return ""
