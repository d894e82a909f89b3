"""Where an export is put together: one object, in numbered parts, by several processes."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol


@dataclass(frozen=True, slots=True)
class PartReceipt:
    """A part as its writer saw it: `crc` is its CRC-32, `etag` the store's word for it."""

    number: int
    part_bytes: int
    crc: int
    etag: str


class PartSink(Protocol):
    """One object that nobody sees before it is whole. Uploads are told apart by the word that `begin` gives.

    S3 asks for part numbers from 1 without holes, and for a smallest length of all but the last
    (`zarrlink.exports.request.Limits`); so do not lean on an adapter that takes others.
    All methods raise SourceUnavailable where the store refuses or fails, ExportFailed where a disk is full.
    """

    def begin(self) -> str:
        """A new upload. Nothing is visible of it."""
        ...

    def put(self, upload: str, number: int, data: BinaryIO, part_bytes: int, crc: int) -> PartReceipt:
        """Write a part, from where `data` stands; the last writer of a number wins, so a retry is fine.

        Raises UploadGone where the upload was completed or aborted.
        """
        ...

    def complete(self, upload: str, parts: Sequence[PartReceipt]) -> None:
        """Make the object visible, out of all its parts in their order. May be called again, after a success as well, and at
        the same time; of an object that is there already, made of the same parts, the upload is removed.

        Raises PartsDiffer, naming those that are missing or are not what their receipts say (a late writer may have
        replaced one), UploadGone where the upload was aborted, InvalidRequest where another object has its place.
        """
        ...

    def abort(self, upload: str) -> None:
        """Remove all parts; does nothing to an object that was completed, and may be called twice."""
        ...


def checked(found: dict[int, tuple[int, str]], parts: Sequence[PartReceipt]) -> tuple[int, ...]:
    """The numbers of parts that are not what their receipts say. `found`: length and ETag of each by its number."""
    return tuple(part.number for part in parts if found.get(part.number) != (part.part_bytes, part.etag))


def crc_of(data: BinaryIO, length: int) -> int:
    """The CRC-32 of the next `length` bytes, or of fewer where there are no more."""
    crc = 0
    while length > 0 and (piece := data.read(min(length, 2**20))):
        crc, length = zlib.crc32(piece, crc), length - len(piece)
    return crc
