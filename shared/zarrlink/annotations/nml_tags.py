"""The little that a download changes in an NML: `location` and `format` in the tags of its volumes, and `nml_identity`.

All other bytes stay as they were uploaded. The import has noted where volumes' tags start, so that they are not parsed
again.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable, Mapping
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
_ATTRIBUTE: Final = re.compile(rb"""\s+([^\s=<>"'/]+)\s*=\s*("[^"]*"|'[^']*')""")
_END: Final = re.compile(rb"\s*/?>")


@dataclass(frozen=True, slots=True)
class NewTag:
    """What the volume whose tag starts at byte `offset` says from now on; None: nothing."""

    offset: int
    location: str | None
    format: str | None


@dataclass(frozen=True, slots=True)
class Edit:
    """What stands in the place of the bytes from `offset` to `end`, which is not part of them."""

    offset: int
    end: int
    text: bytes


async def read_nml(source: ByteSource, changes: Iterable[NewTag | Edit] = ()) -> AsyncIterator[bytes]:
    """The NML of an annotation in pieces, with these changes. Raises CorruptFile, SourceChanged.

    `source`: the import's folder.
    """
    first = await read_part(source, NML_KEY, ByteRange(0, PIECE_BYTES))
    etag, length, at = first.etag, first.object_bytes, 0

    async def plain(end: int) -> AsyncIterator[bytes]:
        for start in range(at, end, PIECE_BYTES):
            part = ByteRange(start, min(end, start + PIECE_BYTES))
            yield bytes((await read_part(source, NML_KEY, part, etag)).data)

    for tag in sorted(changes, key=lambda change: change.offset):
        if not at <= tag.offset < length:
            raise _misplaced()
        async for piece in plain(tag.offset):
            yield piece
        if isinstance(tag, Edit):
            yield tag.text
            at = tag.end
            continue
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
    return retag(data, b"volume", {"location": tag.location, "format": tag.format})


def retag(data: bytes, name: bytes, changes: Mapping[str, str] | Mapping[str, str | None]) -> tuple[bytes, int] | None:
    """The same for any tag: the attributes that are to change stand behind the others; None: they are left out."""
    if not data.startswith(b"<" + name):
        return None
    stop, kept = 1 + len(name), b"<" + name
    while (found := _ATTRIBUTE.match(data, stop)) is not None:
        stop = found.end()
        if found[1].decode() not in changes:
            kept += found[0]
    if not _END.match(data, stop):
        return None
    for attribute, value in changes.items():
        if value is not None:
            kept += f" {attribute}={quoteattr(value)}".encode()
    return kept, stop


def _misplaced() -> CorruptFile:
    return CorruptFile("the NML of an annotation is not the one that was imported", key=NML_KEY)
