"""What a worker makes, on its disk instead of in its memory."""

from __future__ import annotations

import os
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Self

from zarrlink.errors import ExportFailed

_COPY_BYTES: Final = 2**20


class Spill:
    """A nameless file in `folder`, with its length and CRC-32; gone when it is closed, and when the worker is killed.

    All methods but `close` raise ExportFailed where the disk does not take more.
    """

    def __init__(self, folder: Path) -> None:
        with disk_errors():
            self.file: BinaryIO = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (closed by `close`)
        self.length = 0
        self.crc = 0

    def write(self, data: Any) -> None:
        with disk_errors():
            self.file.write(data)
        self.length += len(data)
        self.crc = zlib.crc32(data, self.crc)

    def pad_to(self, length: int) -> None:
        """Zeros, until it has at least `length` bytes."""
        while self.length < length:
            self.write(bytes(min(_COPY_BYTES, length - self.length)))

    def copy(self, other: Spill, start: int = 0, length: int | None = None) -> None:
        """Bytes of another one, from `start` on."""
        for piece in other.pieces(start, length):
            self.write(piece)

    def pieces(self, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """What was written, or `length` bytes of it."""
        left = self.length - start if length is None else length
        with disk_errors():
            self.file.flush()
            while left > 0:
                piece = os.pread(self.file.fileno(), min(left, _COPY_BYTES), start)
                if not piece:
                    raise ExportFailed("what a worker had put aside was cut short")
                yield piece
                start, left = start + len(piece), left - len(piece)

    def rewound(self) -> BinaryIO:
        """The file, to be read from its first byte on, by whichever way."""
        with disk_errors():
            self.file.flush()
            self.file.seek(0)
        return self.file

    def close(self) -> None:
        """Throw away what it holds."""
        # It would still write what waits in memory, for nobody: whoever reads from a Spill has had that written before, and
        # was told where it failed. Whatever fails here is closed all the same.
        with suppress(OSError):
            self.file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@contextmanager
def disk_errors() -> Iterator[None]:
    """The operating system's refusals as ExportFailed, in words that name no folder."""
    try:
        yield
    except OSError as error:
        raise ExportFailed(disk_refusal(error.errno)) from error


def disk_refusal(number: int | None) -> str:
    """The sentence of one of the operating system's error numbers."""
    return f"writing an export failed: {os.strerror(number) if number else 'unknown reason'}"
