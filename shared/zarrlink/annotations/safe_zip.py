"""Reading a stranger's zip: nothing is unpacked but what was asked for, never more than was declared and allowed."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO, Final, cast

from zarrlink.annotations.file_window import FileWindow
from zarrlink.annotations.zip_directory import (
    FULL_32,
    LOCAL_HEADER,
    Directory,
    ZipEntry,
    entries_of,
    locate,
    zip64_values,
)
from zarrlink.annotations.zip_names import STORED, name_key
from zarrlink.errors import InvalidRequest, brief

PIECE_BYTES: Final = 2**18
_DESCRIPTOR: Final = 0x0008


@dataclass(frozen=True, slots=True)
class ZipLimits:
    """What a zip may have at most: entries (400 bytes of memory each), bytes of its directory (which is not kept), bytes
    of all its files unpacked."""

    entries: int = 2_000_000
    directory_bytes: int = 2**29
    unpacked_bytes: int = 2**37


class SafeZip:
    """A zip that is the whole of a seekable file. `entries`: its files by name, folders are left out.

    Everything that can be told from the directory is checked when it is opened, the rest when an entry is read: names
    (relative, simple, none twice, not even in other letters), kinds, methods, sizes, places that overlap. Raises
    InvalidRequest with a sentence that names the entry. `label` is what the sentences call the zip.
    """

    def __init__(self, file: BinaryIO, limits: ZipLimits, *, label: str = "the upload") -> None:
        self._file = file
        self.label = label
        directory = locate(file, label)
        if directory.entries > limits.entries:
            raise InvalidRequest(f"{label} has {directory.entries} entries; at most {limits.entries} are accepted")
        if directory.end - directory.offset > limits.directory_bytes:
            raise InvalidRequest(f"{label} has a directory of more than {limits.directory_bytes} bytes")
        found = list(self._listed(directory, limits))
        self.unpacked_bytes = sum(entry.unpacked_bytes for entry in found)
        # Where each one starts, the one before must have ended: files that share bytes are how bombs are made.
        found.sort(key=lambda entry: entry.header_offset)
        self.entries: dict[str, ZipEntry] = {}
        ends = [*(after.header_offset for _, after in pairwise(found)), directory.offset]
        for entry, room_end in zip(found, ends, strict=False):
            if entry.header_offset + LOCAL_HEADER.size + len(entry.raw_name) + entry.packed_bytes > room_end:
                raise InvalidRequest(f"the zip's entry {brief(entry.name)} overlaps the next one, or the directory")
            if not entry.name.endswith("/"):
                self.entries[entry.name] = replace(entry, room_end=room_end)

    def _listed(self, directory: Directory, limits: ZipLimits) -> Iterator[ZipEntry]:
        seen: set[str] = set()
        unpacked_bytes = 0
        for entry in entries_of(self._file, directory, self.label):
            key = name_key(entry.name)
            if key in seen:
                named = f"two entries called {brief(entry.name)}, or names that differ by case"
                raise InvalidRequest(f"{self.label} has {named}")
            seen.add(key)
            unpacked_bytes += entry.unpacked_bytes
            if unpacked_bytes > limits.unpacked_bytes:
                raise InvalidRequest(
                    f"{self.label} would unpack to more than the {limits.unpacked_bytes} bytes that are accepted"
                )
            if entry.name.endswith("/") and entry.unpacked_bytes:
                raise InvalidRequest(f"the zip's entry {brief(entry.name)} is a folder with bytes")
            yield entry

    def read(self, entry: ZipEntry, limit_bytes: int) -> bytes:
        """The whole of a file of at most `limit_bytes`."""
        if entry.unpacked_bytes > limit_bytes:
            raise InvalidRequest(
                f"{brief(entry.name)} in {self.label} has {entry.unpacked_bytes} bytes; at most {limit_bytes} are accepted"
            )
        return b"".join(self.pieces(entry))

    def pieces(self, entry: ZipEntry) -> Iterator[bytes]:
        """A file's bytes bit by bit. Length and checksum are known to be right only when it has come to its end."""
        start = self._data_start(entry)
        unpacked = self._packed(entry, start) if entry.method == STORED else self._inflated(entry, start)
        crc = length = 0
        for piece in unpacked:
            crc = zlib.crc32(piece, crc)
            length += len(piece)
            if length > entry.unpacked_bytes:
                raise self._lie(entry)
            yield piece
        if length != entry.unpacked_bytes or crc != entry.crc:
            raise self._lie(entry)

    def open(self, entry: ZipEntry, scratch: Path) -> BinaryIO:
        """A file as one that can be sought in, checked as a whole: in its place where it is stored, else below `scratch`.

        To be closed by the caller; a file below `scratch` has no name and goes with it.
        """
        if entry.method == STORED:
            for _ in self.pieces(entry):
                pass
            start = self._data_start(entry)
            window = FileWindow(self._file, start, start + entry.packed_bytes)
            return cast("BinaryIO", io.BufferedReader(window))
        spool = cast("BinaryIO", TemporaryFile(dir=scratch))  # noqa: SIM115 (closed by the caller)
        try:
            for piece in self.pieces(entry):
                spool.write(piece)
        except BaseException:
            spool.close()
            raise
        spool.seek(0)
        return spool

    def _data_start(self, entry: ZipEntry) -> int:
        """Where the file's bytes start, once its local header was found to say the same as the directory."""
        self._file.seek(entry.header_offset)
        fixed = self._file.read(LOCAL_HEADER.size)
        if len(fixed) != LOCAL_HEADER.size or not fixed.startswith(b"PK\3\4"):
            raise self._lie(entry)
        _, _, flags, method, _, _, crc, packed, unpacked, name_bytes, extra_bytes = LOCAL_HEADER.unpack(fixed)
        rest = self._file.read(name_bytes + extra_bytes)
        start = entry.header_offset + len(fixed) + len(rest)
        if (
            len(rest) != name_bytes + extra_bytes
            or rest[:name_bytes] != entry.raw_name
            or method != entry.method
            or flags & ~_DESCRIPTOR != entry.flags & ~_DESCRIPTOR
            or start + entry.packed_bytes > entry.room_end
        ):
            raise self._lie(entry)
        if FULL_32 in (packed, unpacked):
            unpacked, packed = zip64_values(rest[name_bytes:], (unpacked, packed), entry.name)
        known = (entry.crc, entry.packed_bytes, entry.unpacked_bytes)
        for told, expected in zip((crc, packed, unpacked), known, strict=True):
            # With a descriptor behind the bytes the header may leave it open.
            if told != expected and not (flags & _DESCRIPTOR and told == 0):
                raise self._lie(entry)
        return start

    def _packed(self, entry: ZipEntry, start: int) -> Iterator[bytes]:
        left = entry.packed_bytes
        while left:
            # Others read the same file between two pieces.
            self._file.seek(start + entry.packed_bytes - left)
            piece = self._file.read(min(left, PIECE_BYTES))
            if not piece:
                raise InvalidRequest(f"{self.label} was cut short within {brief(entry.name)}")
            left -= len(piece)
            yield piece

    def _inflated(self, entry: ZipEntry, start: int) -> Iterator[bytes]:
        inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            for packed in self._packed(entry, start):
                waiting = packed
                while waiting and not inflate.eof:
                    yield inflate.decompress(waiting, PIECE_BYTES)
                    waiting = inflate.unconsumed_tail
                if waiting or inflate.unused_data:
                    raise self._lie(entry)
            while not inflate.eof:
                piece = inflate.decompress(b"", PIECE_BYTES)
                if not piece:
                    raise self._lie(entry)
                yield piece
        except zlib.error as error:
            raise self._lie(entry) from error

    def _lie(self, entry: ZipEntry) -> InvalidRequest:
        return InvalidRequest(
            f"{brief(entry.name)} in {self.label} is damaged: its bytes are not what the zip's directory says"
        )
