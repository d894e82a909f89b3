"""The directory of a stranger's zip, read entry by entry and believed in nothing.

Source: PKWARE APPNOTE 6.3.10, sections 4.3.7 to 4.3.16. Python's `zipfile` makes an object of half a kilobyte for every
entry before anything can be counted, and takes zips whose pieces overlap or contradict each other; so the listing is
our own and refuses what has more than one meaning.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from zarrlink.annotations.zip_names import STORED, check_kind, decode_name, encode_name
from zarrlink.errors import InvalidRequest, brief

LOCAL_HEADER: Final = struct.Struct("<4s5H3I2H")
_CENTRAL: Final = struct.Struct("<4s4B4H3I5H2I")
_END: Final = struct.Struct("<4s4H2IH")
_LOCATOR: Final = struct.Struct("<4sIQI")
_END64: Final = struct.Struct("<4sQ2H2I4Q")
_MAX_COMMENT: Final = 0xFFFF
FULL_32: Final = 0xFFFFFFFF
_FULL_16: Final = 0xFFFF
_ZIP64_FIELD: Final = 1


@dataclass(frozen=True, slots=True)
class ZipEntry:
    """One file of a zip, as the directory tells. `room_end`: where at the latest its bytes must have ended."""

    name: str
    flags: int
    method: int
    crc: int
    packed_bytes: int
    unpacked_bytes: int
    header_offset: int
    room_end: int = 0

    @property
    def raw_name(self) -> bytes:
        return encode_name(self.name, self.flags)


@dataclass(frozen=True, slots=True)
class Directory:
    """Where the directory lies, and how many entries it says it has."""

    offset: int
    end: int
    entries: int


def locate(file: BinaryIO, label: str) -> Directory:
    """Find the directory of a zip that is the whole of a seekable file. Raises InvalidRequest."""
    file_bytes = file.seek(0, io.SEEK_END)
    start = max(0, file_bytes - _END.size - _MAX_COMMENT)
    file.seek(start)
    tail = file.read(file_bytes - start)
    at = tail.rfind(b"PK\5\6")
    while at >= 0:
        if at + _END.size <= len(tail):
            _, disk, start_disk, here, entries, size, offset, comment = _END.unpack_from(tail, at)
            if at + _END.size + comment == len(tail):
                break
        at = tail.rfind(b"PK\5\6", 0, at)
    else:
        raise InvalidRequest(f"{label} is no zip, or was cut short: it has no directory at its end")
    end = start + at
    located = end >= _LOCATOR.size and _read(file, end - _LOCATOR.size, 4, label) == b"PK\6\7"
    if located:
        disk, start_disk, here, entries, size, offset, end = _zip64(file, end - _LOCATOR.size, label)
    elif FULL_32 in (size, offset) or _FULL_16 in (here, entries):
        raise InvalidRequest(f"{label} is damaged: its directory is that of a zip64, which it is not")
    if disk != 0 or start_disk != 0 or here != entries:
        raise InvalidRequest(f"{label} is one part of a zip in several parts")
    if offset + size != end:
        raise InvalidRequest(f"{label} is damaged: its directory is not where its end says, or bytes lie before it")
    return Directory(offset, end, entries)


def _zip64(file: BinaryIO, locator_at: int, label: str) -> tuple[int, ...]:
    _, disk, at, disks = _LOCATOR.unpack(_read(file, locator_at, _LOCATOR.size, label))
    if disk != 0 or disks > 1 or at + _END64.size > locator_at:
        raise InvalidRequest(f"{label} is damaged: its zip64 directory cannot be found")
    record = _END64.unpack(_read(file, at, _END64.size, label))
    if record[0] != b"PK\6\6" or at + 12 + record[1] != locator_at:
        raise InvalidRequest(f"{label} is damaged: its zip64 directory cannot be found")
    return (*record[4:], at)


def entries_of(file: BinaryIO, directory: Directory, label: str) -> Iterator[ZipEntry]:
    """Each entry, folders too. Raises InvalidRequest."""
    at = directory.offset
    file.seek(at)
    for _ in range(directory.entries):
        fixed = file.read(_CENTRAL.size)
        if len(fixed) != _CENTRAL.size or not fixed.startswith(b"PK\1\2"):
            raise InvalidRequest(f"{label} is damaged: its directory has fewer entries than it says")
        fields = _CENTRAL.unpack(fixed)
        made_by, flags, method, crc, packed, unpacked = fields[2], *fields[5:7], *fields[9:12]
        name_bytes, extra_bytes, comment_bytes, disk, _, attributes, offset = fields[12:]
        rest = file.read(name_bytes + extra_bytes + comment_bytes)
        at += len(fixed) + len(rest)
        if len(rest) != name_bytes + extra_bytes + comment_bytes or at > directory.end:
            raise InvalidRequest(f"{label} is damaged: its directory is cut short")
        extra = rest[name_bytes : name_bytes + extra_bytes]
        name = decode_name(rest[:name_bytes], flags)
        check_kind(name, flags, method, made_by, attributes)
        unpacked, packed, offset = zip64_values(extra, (unpacked, packed, offset), name)
        if disk != 0 or (method == STORED and packed != unpacked):
            raise InvalidRequest(f"the zip's entry {brief(name)} lies about its size or place")
        yield ZipEntry(name, flags, method, crc, packed, unpacked, offset)
    if at != directory.end:
        raise InvalidRequest(f"{label} is damaged: its directory has more entries than it says")


def zip64_values(extra: bytes, values: tuple[int, ...], name: str) -> tuple[int, ...]:
    """Those of an entry's values that do not fit 32 bits, out of the extra field, in this order; the others as given."""
    missing = values.count(FULL_32)
    if not missing:
        return values
    at = 0
    while at + 4 <= len(extra):
        number, length = struct.unpack_from("<2H", extra, at)
        if number == _ZIP64_FIELD and length >= 8 * missing and at + 4 + length <= len(extra):
            wide = iter(struct.unpack_from(f"<{missing}Q", extra, at + 4))
            return tuple(next(wide) if value == FULL_32 else value for value in values)
        at += 4 + length
    raise InvalidRequest(f"the zip's entry {brief(name)} lies about its size or place")


def _read(file: BinaryIO, at: int, length: int, label: str) -> bytes:
    file.seek(at)
    data = file.read(length)
    if len(data) != length:
        raise InvalidRequest(f"{label} was cut short")
    return data
