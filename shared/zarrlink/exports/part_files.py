"""A `PartSink` that makes a local file."""

from __future__ import annotations

import os
import secrets
import shutil
import struct
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

from zarrlink.errors import ExportFailed, InvalidRequest, PartsDiffer, UploadGone
from zarrlink.exports.part_sink import PartReceipt, checked, crc_of
from zarrlink.exports.spill import disk_errors

_COPY_BYTES: Final = 8 * 2**20
_TRAILER: Final = struct.Struct("<4sI")
_MAGIC: Final = b"ZLPT"


class FileParts:
    """The file `target`. Parts lie in a hidden folder beside it, `.NAME.UPLOAD.partial`, so that nothing but names
    changes in the end; that is also what a crash leaves behind."""

    def __init__(self, target: Path) -> None:
        self._target = target

    def begin(self) -> str:
        upload = secrets.token_hex(8)
        with disk_errors():
            self._folder(upload).mkdir(parents=True)
        return upload

    def put(self, upload: str, number: int, data: BinaryIO, part_bytes: int, crc: int) -> PartReceipt:
        folder = self._folder(upload)
        # Each writer has a file of its own: two may write the same part.
        written = folder / f"{number}.{secrets.token_hex(8)}"
        try:
            with written.open("xb") as file:
                _append(file, data, part_bytes)
                length = file.tell() + len(data.read(1))
                # So that nothing but this has to be read before the parts are put together.
                file.write(_TRAILER.pack(_MAGIC, crc))
                file.flush()
                os.fsync(file.fileno())
            if length != part_bytes:
                raise ExportFailed("a part has another length than was said")
            written.rename(folder / _name(number))
        except FileNotFoundError as error:
            raise UploadGone from error
        except OSError as error:
            written.unlink(missing_ok=True)
            raise _failed(error) from error
        return PartReceipt(number, part_bytes, crc, f"{crc:08x}")

    def complete(self, upload: str, parts: Sequence[PartReceipt]) -> None:
        folder = self._folder(upload)
        if not (self._target.exists() and self._is_there(parts)):
            try:
                self._put_together(folder, parts)
            except (FileExistsError, FileNotFoundError, PartsDiffer) as error:
                # Another call was faster, perhaps: it takes the folder away.
                if not self._is_there(parts):
                    if isinstance(error, FileExistsError):
                        raise InvalidRequest("there is a file of this name already") from error
                    # An upload that has ended has no parts either.
                    if isinstance(error, PartsDiffer) and folder.is_dir():
                        raise
                    raise UploadGone from error
            except OSError as error:
                raise _failed(error) from error
        # What stays all the same goes with the attempt.
        with suppress(ExportFailed):
            self.abort(upload)

    def abort(self, upload: str) -> None:
        folder = self._folder(upload)
        gone = folder.with_suffix(".aborted")
        try:
            # At once, for writers that are still at it.
            folder.rename(gone)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise _failed(error) from error
        shutil.rmtree(gone, ignore_errors=True)

    def _put_together(self, folder: Path, parts: Sequence[PartReceipt]) -> None:
        """Raises OSError, PartsDiffer. Whatever happens, the parts are all that stays in the folder."""
        if differing := checked({part.number: _found(folder / _name(part.number)) for part in parts}, parts):
            raise PartsDiffer(differing)
        # Each call has a file of its own: two may run at the same time.
        whole = folder / f"whole.{secrets.token_hex(8)}"
        try:
            with whole.open("xb") as file:
                for part in parts:
                    with (folder / _name(part.number)).open("rb") as written:
                        _append(file, written, part.part_bytes)
                file.flush()
                os.fsync(file.fileno())
            # Unlike a rename, a link never replaces.
            os.link(whole, self._target)
        finally:
            # On a full disk, it is what fills it.
            whole.unlink(missing_ok=True)
        _sync_folder(self._target.parent)

    def _folder(self, upload: str) -> Path:
        return self._target.parent / f".{self._target.name}.{upload}.partial"

    def _is_there(self, parts: Sequence[PartReceipt]) -> bool:
        """Whether the file is what these parts make: read, since nothing else is left of the upload."""
        try:
            with self._target.open("rb") as file:
                same = all(crc_of(file, part.part_bytes) == part.crc for part in parts)
                return same and not file.read(1)
        except OSError:
            return False


def _name(number: int) -> str:
    return f"{number:05d}.part"


def _found(path: Path) -> tuple[int, str]:
    """Length and ETag of a part; a length of -1 where there is none."""
    try:
        with path.open("rb") as file:
            length = file.seek(-_TRAILER.size, os.SEEK_END)
            magic, crc = _TRAILER.unpack(file.read(_TRAILER.size))
    except OSError:
        return -1, ""
    return (length, f"{crc:08x}") if magic == _MAGIC else (-1, "")


def _append(file: BinaryIO, source: BinaryIO, length: int) -> None:
    """The next `length` bytes of `source`, or fewer where there are no more: by the kernel where it can, which copies
    nothing where a file system shares extents."""
    file.flush()
    left, at = length, source.tell()
    with suppress(AttributeError, OSError):
        while left and (copied := os.copy_file_range(source.fileno(), file.fileno(), left, at)):
            left, at = left - copied, at + copied
    # What was in the way of the kernel, a full disk say, this meets as well.
    file.seek(0, os.SEEK_END)
    source.seek(at)
    while left and (piece := source.read(min(left, _COPY_BYTES))):
        file.write(piece)
        left -= len(piece)


def _sync_folder(folder: Path) -> None:
    """A name is safe on disk only when its folder is."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _failed(error: OSError) -> ExportFailed:
    return ExportFailed(f"writing an export failed: {os.strerror(error.errno) if error.errno else 'unknown reason'}")
