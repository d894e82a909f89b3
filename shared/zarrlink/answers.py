"""Questions of readers and the answers to them, whatever a chunk is made from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, Protocol

from zarrlink.byte_range import ByteRange, RangeRequest

OCTETS: Final = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Want:
    """What a reader asks of an object: the whole, a range, or (`body` false) only what GET would say of it.

    `etags`: what it holds already (If-None-Match), "*" among them for anything. `range_etag`: the range counts
    only if this is the object's ETag (If-Range).
    """

    body: bool = True
    part: RangeRequest | None = None
    etags: tuple[str, ...] = ()
    range_etag: str | None = None


GET: Final = Want()


@dataclass(frozen=True, slots=True)
class Served:
    """An answer. `part` is None for the whole object; `data` is None for 304 and where no body was wanted.

    What its chunk was made of, where one was: `framed` blocks (or chunks of another format) that went out as they are
    stored, `decoded` ones that were decoded and packed again.
    """

    media_type: str
    etag: str
    length: int
    part: ByteRange | None
    data: bytes | None
    unchanged: bool
    kind: Literal["metadata", "chunk"]
    framed: int = 0
    decoded: int = 0


class Ask(NamedTuple):
    """A chunk being asked for. `facts`: all that its ETag must tell apart, the stored bytes' own ETag aside.

    `check`: decode what is passed through as well (docs/decisions/0006).
    """

    want: Want
    facts: str
    check: bool

    def etag(self, stored_etag: str) -> str:
        """Strong: from the facts and the ETag of what the answer is made from."""
        return f'"{hashlib.blake2b(f"{stored_etag} {self.facts}".encode(), digest_size=12).hexdigest()}"'


class Chunks(Protocol):
    """The chunks (v3: shards) of one level in one dialect."""

    async def answer(self, position: tuple[int, ...], ask: Ask) -> Served | None:
        """The chunk at a place inside the grid, in array axis order; None where nothing is stored.

        Raises InvalidRequest for another number of axes, RangeNotSatisfiable, SourceChanged, CorruptFile,
        SourceUnavailable.
        """
        ...


def holds(etags: tuple[str, ...], etag: str) -> bool:
    """Whether an If-None-Match list names this ETag (weak comparison, RFC 9110 section 13.1.2)."""
    return "*" in etags or etag in etags or f"W/{etag}" in etags


def wanted_part(want: Want, etag: str | None, length: int) -> ByteRange | None:
    """The part of an object that is wanted, None for all of it. Raises RangeNotSatisfiable."""
    if want.part is None or (want.range_etag is not None and want.range_etag != etag):
        return None
    return want.part.resolve(length)


def serve_whole(data: bytes, etag: str, media_type: str, kind: Literal["metadata", "chunk"], want: Want) -> Served:
    """An answer from an object that is at hand, with the same conditions and ranges as any other."""
    if holds(want.etags, etag):
        return Served(media_type, etag, len(data), None, None, unchanged=True, kind=kind)
    if not want.body:
        return Served(media_type, etag, len(data), None, None, unchanged=False, kind=kind)
    part = wanted_part(want, etag, len(data))
    body = data if part is None else data[part.start : part.end]
    return Served(media_type, etag, len(data), part, body, unchanged=False, kind=kind)


def serve_bytes(data: bytes, media_type: str, want: Want) -> Served:
    """An answer from bytes that are made anew for it, such as metadata."""
    etag = f'"{hashlib.blake2b(data, digest_size=12).hexdigest()}"'
    return serve_whole(data, etag, media_type, "metadata", want)
