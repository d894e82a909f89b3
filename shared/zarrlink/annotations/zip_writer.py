"""Writing a zip piece by piece, without ever going back.

Source: PKWARE APPNOTE 6.3.10. Files whose bytes are at hand have their sizes in front; one whose bytes come bit by bit
has its sizes and checksum behind it (a data descriptor), which readers find by the directory.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Final

from zarrlink.annotations.zip_directory import FULL_32, LOCAL_HEADER
from zarrlink.annotations.zip_names import DEFLATED, STORED

_CENTRAL: Final = struct.Struct("<4s6H3I5H2I")
_END: Final = struct.Struct("<4s4H2IH")
_LOCATOR: Final = struct.Struct("<4sIQI")
_END64: Final = struct.Struct("<4sQ2H2I4Q")
_FULL_16: Final = 0xFFFF
_UTF8: Final = 0x0800
_DESCRIPTOR: Final = 0x0008
# 1980-01-01, the first day that a zip can name: the same annotation gives the same bytes.
_DATE: Final = 0x0021
_PLAIN_FILE: Final = 0o100644 << 16
_UNIX: Final = 3 << 8
_VERSION: Final = 20
_VERSION_64: Final = 45
_LEVEL: Final = 1


class ZipWriter:
    """Each method gives the bytes to be sent next. `close` last: without its bytes it is no zip."""

    def __init__(self) -> None:
        self._directory = bytearray()
        self._entries = 0
        self._at = 0
        self._open: tuple[bytes, int, bool] | None = None
        self._packer: zlib._Compress | None = None
        self._crc = self._length = self._packed = 0

    def file(self, name: str, data: bytes) -> bytes:
        """A whole file, deflated where that makes it smaller."""
        raw_name, crc = name.encode(), zlib.crc32(data)
        packer = zlib.compressobj(_LEVEL, wbits=-zlib.MAX_WBITS)
        packed, method = packer.compress(data) + packer.flush(), DEFLATED
        if len(packed) >= len(data):
            packed, method = data, STORED
        offset = self._at
        sizes = (crc, len(packed), len(data))
        header = LOCAL_HEADER.pack(b"PK\3\4", _VERSION, _UTF8, method, 0, _DATE, *sizes, len(raw_name), 0)
        self._remember(raw_name, _UTF8, method, sizes, offset)
        return self._sent(header + raw_name + packed)

    def placed(self, name: str, crc: int, length: int) -> None:
        """Account for a stored file that somebody else wrote here, behind the header of `stored_header`."""
        raw_name = name.encode()
        self._remember(raw_name, _UTF8, STORED, (crc, length, length), self._at)
        self._at += LOCAL_HEADER.size + len(raw_name) + length

    def begin(self, name: str, *, above_4_gib: bool, deflated: bool = False) -> bytes:
        """The front of a file that `piece` and `end` continue. `above_4_gib`: whether it may get so large."""
        raw_name, offset = name.encode(), self._at
        extra = struct.pack("<2H2Q", 1, 16, 0, 0) if above_4_gib else b""
        size = FULL_32 if above_4_gib else 0
        version = _VERSION_64 if above_4_gib else _VERSION
        flags, method = _UTF8 | _DESCRIPTOR, DEFLATED if deflated else STORED
        lengths = (len(raw_name), len(extra))
        header = LOCAL_HEADER.pack(b"PK\3\4", version, flags, method, 0, _DATE, 0, size, size, *lengths)
        self._open = raw_name, offset, above_4_gib
        self._packer = zlib.compressobj(_LEVEL, wbits=-zlib.MAX_WBITS) if deflated else None
        self._crc = self._length = self._packed = 0
        return self._sent(header + raw_name + extra)

    def piece(self, data: bytes) -> bytes:
        self._crc = zlib.crc32(data, self._crc)
        self._length += len(data)
        packed = data if self._packer is None else self._packer.compress(data)
        self._packed += len(packed)
        return self._sent(packed)

    def end(self) -> bytes:
        """What closes the file that was begun."""
        if self._open is None:
            raise ValueError("no file was begun")
        raw_name, offset, above_4_gib = self._open
        rest = b"" if self._packer is None else self._packer.flush()
        self._packed += len(rest)
        if self._length >= FULL_32 and not above_4_gib:
            raise ValueError("a file of a zip became larger than was said")
        self._open = None
        sizes = (self._crc, self._packed, self._length)
        self._remember(raw_name, _UTF8 | _DESCRIPTOR, STORED if self._packer is None else DEFLATED, sizes, offset)
        return self._sent(rest + struct.pack("<4sI2Q" if above_4_gib else "<4s3I", b"PK\7\x08", *sizes))

    def close(self) -> Iterator[bytes]:
        """The directory."""
        start = self._at
        yield self._sent(bytes(self._directory))
        size = self._at - start
        count = self._entries
        if count >= _FULL_16 or start + size >= FULL_32:
            record = _END64.pack(b"PK\6\6", _END64.size - 12, _VERSION_64, _VERSION_64, 0, 0, count, count, size, start)
            yield record + _LOCATOR.pack(b"PK\6\7", 0, start + size, 1)
        counts = (min(count, _FULL_16), min(count, _FULL_16))
        yield _END.pack(b"PK\5\6", 0, 0, *counts, min(size, FULL_32), min(start, FULL_32), 0)

    def _remember(self, raw_name: bytes, flags: int, method: int, sizes: tuple[int, int, int], offset: int) -> None:
        crc, packed, unpacked = sizes
        wide = [value for value in (unpacked, packed, offset) if value >= FULL_32]
        extra = struct.pack(f"<2H{len(wide)}Q", 1, 8 * len(wide), *wide) if wide else b""
        version = _VERSION_64 if wide else _VERSION
        self._directory += _CENTRAL.pack(
            b"PK\1\2", _UNIX | version, version, flags, method, 0, _DATE,
            crc, min(packed, FULL_32), min(unpacked, FULL_32),
            len(raw_name), len(extra), 0, 0, 0, _PLAIN_FILE, min(offset, FULL_32),
        )  # fmt: skip
        self._directory += raw_name + extra
        self._entries += 1

    def _sent(self, data: bytes) -> bytes:
        self._at += len(data)
        return data


def stored_header(name: str, crc: int, length: int) -> bytes:
    """What stands before a stored file of less than 4 GiB whose checksum is known."""
    raw_name = name.encode()
    sizes = (crc, length, length)
    return LOCAL_HEADER.pack(b"PK\3\4", _VERSION, _UTF8, STORED, 0, _DATE, *sizes, len(raw_name), 0) + raw_name
