"""The little that a download changes in an NML: `location` and `format` in the tags of its volumes.

All other bytes stay as they were uploaded. The import has noted where the tags start, so that nothing is parsed again.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import quoteattr

from zarrlink.annotations.manifest import NML_KEY
from zarrlink.annotations.pack_reader import read_part
from zarrlink.byte_range import ByteRange
from zarrlink.errors import CorruptFile
from zarrlink.storage.interface import ByteSource

PIECE_BYTES: Final = 2**20
# Of a tag: what nearly all fit in, and what the import takes at most.
_TAG_BYTES: Final = (2**13, 2**20)
_TAG: Final = b"<volume"
_ATTRIBUTE: Final = re.compile(rb"""\s+([^\s=<>"'/]+)\s*=\s*("[^"]*"|'[^']*')""")
_END: Final = re.compile(rb"\s*/?>")


@dataclass(frozen=True, slots=True)
class NewTag:
    """What the volume whose tag starts at byte `offset` says from now on; None: nothing."""

    offset: int
    location: str | None
    format: str | None


async def read_nml(source: ByteSource, tags: Iterable[NewTag] = ()) -> AsyncIterator[bytes]:
    """The NML of an annotation in pieces, with these tags changed. Raises CorruptFile, SourceChanged.

    `source`: the import's folder.
    """
    first = await read_part(source, NML_KEY, ByteRange(0, PIECE_BYTES))
    etag, length, at = first.etag, first.object_bytes, 0

    async def plain(end: int) -> AsyncIterator[bytes]:
        for start in range(at, end, PIECE_BYTES):
            part = ByteRange(start, min(end, start + PIECE_BYTES))
            yield bytes((await read_part(source, NML_KEY, part, etag)).data)

    for tag in sorted(tags, key=lambda tag: tag.offset):
        if not at <= tag.offset < length:
            raise _misplaced()
        async for piece in plain(tag.offset):
            yield piece
        for size in _TAG_BYTES:
            part = ByteRange(tag.offset, min(length, tag.offset + size))
            changed = retagged(bytes((await read_part(source, NML_KEY, part, etag)).data), tag)
            if changed is not None:
                break
        else:
            raise _misplaced()
        piece, taken = changed
        yield piece
        at = tag.offset + taken
    async for piece in plain(length):
        yield piece


def retagged(data: bytes, tag: NewTag) -> tuple[bytes, int] | None:
    """The start of `data`, which begins with a volume's tag, with its attributes changed, and how many bytes of `data`
    it stands for. None where the tag does not end in `data`."""
    if not data.startswith(_TAG):
        return None
    stop, kept = len(_TAG), b""
    while (found := _ATTRIBUTE.match(data, stop)) is not None:
        stop = found.end()
        if found[1] not in (b"location", b"format"):
            kept += found[0]
    if not _END.match(data, stop):
        return None
    for name, value in (("location", tag.location), ("format", tag.format)):
        if value is not None:
            kept += f" {name}={quoteattr(value)}".encode()
    return _TAG + kept, stop


def _misplaced() -> CorruptFile:
    return CorruptFile("the NML of an annotation is not the one that was imported", key=NML_KEY)
