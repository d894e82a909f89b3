"""A `ByteSource` over a local folder.

What is in the page cache is read at once on the event loop (`preadv2` with `RWF_NOWAIT`); what is not, by a thread.
"""

from __future__ import annotations

import asyncio
import errno
import os
import stat as stat_modes
import time
from pathlib import Path
from typing import BinaryIO, Final

from zarrlink.byte_range import ByteRange
from zarrlink.errors import RangeNotSatisfiable, SourceChanged, SourceUnavailable
from zarrlink.storage.interface import Blob, Stat
from zarrlink.storage.reach import Reach, ServersFile

_NOWAIT: Final = getattr(os, "RWF_NOWAIT", None)
_SETTLED_NS: Final = 50_000_000
"""A file written to this recently may still be: its clock is set when a write begins, not when it ends."""


class LocalFiles:
    """Files below `root`. Symbolic links are followed, since volumes are often gathered by them: to what lies below `root`,
    and within `reach`. A link to anywhere else raises CorruptFile, from every call.
    """

    absence_trust_s = 0.0

    def __init__(self, root: Path, reach: Reach | None = None) -> None:
        self.name = str(root.resolve())
        self._prefix = self.name.rstrip("/") + "/"
        self._reach = reach or Reach()

    async def read(
        self, key: str, part: ByteRange | None = None, *, if_match: str | None = None, head_bytes: int = 0
    ) -> Blob | None:
        path = self._path(key)
        try:
            descriptor, status = self._open(path, key)
        except FileNotFoundError:
            self._confirm_absence(path, key)
            return None
        except OSError as error:
            raise _unavailable(key, error) from error
        try:
            if 0 <= time.time_ns() - status.st_mtime_ns < _SETTLED_NS:
                await asyncio.sleep(_SETTLED_NS / 1e9)
                status = os.fstat(descriptor)
            etag, length = _etag(status, key), status.st_size
            if if_match is not None and etag != if_match:
                raise SourceChanged(key)
            start, end = (0, length) if part is None else (part.start, min(part.end, length))
            if part is not None and start >= length:
                raise RangeNotSatisfiable(length)
            data: bytes | bytearray | None = _read_cached(descriptor, start, end - start)
            if data is None:
                data = await asyncio.to_thread(_read_waiting, descriptor, start, end - start)
            head = os.pread(descriptor, head_bytes, 0) if head_bytes else b""
            # A file that is being written in place would give a mixture of old and new bytes.
            after = os.fstat(descriptor)
            if after.st_mtime_ns != status.st_mtime_ns or after.st_size != length:
                raise SourceChanged(key)
            return Blob(data, etag, length, head)
        except OSError as error:
            raise _unavailable(key, error) from error
        finally:
            os.close(descriptor)

    async def stat(self, key: str) -> Stat | None:
        path = self._path(key)
        try:
            return self._stat(path, key)
        except FileNotFoundError:
            self._confirm_absence(path, key)
            return None
        except OSError as error:
            raise _unavailable(key, error) from error

    def look(self, key: str) -> os.stat_result:
        """What there is, a folder too, if it may be read. Raises CorruptFile, OSError, SourceUnavailable."""
        return self._reach.look(self._path(key), self._prefix, key)

    def opened(self, key: str) -> BinaryIO:
        """A file as a stream. Raises CorruptFile, OSError, SourceUnavailable."""
        return os.fdopen(self._open(self._path(key), key)[0], "rb")

    def _open(self, path: str, key: str) -> tuple[int, os.stat_result]:
        """A descriptor of a regular file that may be read. Raises CorruptFile, OSError, SourceUnavailable."""
        descriptor = self._reach.open(path, self._prefix, key)
        try:
            status = os.fstat(descriptor)
            etag = _etag(status, key)
            if not self._reach.is_known(self._prefix, status.st_dev, etag):
                self._reach.check_opened(descriptor, path, self._prefix, key)
                self._reach.keep(self._prefix, status.st_dev, etag)
        except ServersFile:
            # Left open.
            raise
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor, status

    def _stat(self, path: str, key: str) -> Stat:
        status = os.stat(path)  # noqa: PTH116 (a Path costs more than the call)
        etag = _etag(status, key)
        if not self._reach.is_known(self._prefix, status.st_dev, etag):
            # Looked at once more, by a descriptor: what the path leads to may be another thing by now.
            status = self._reach.look(path, self._prefix, key)
            etag = _etag(status, key)
            self._reach.keep(self._prefix, status.st_dev, etag)
        return Stat(etag, status.st_size)

    def _confirm_absence(self, path: str, key: str) -> None:
        """Raises SourceUnavailable where it cannot be told whether a file that is not there was ever written, SourceChanged
        where something is there by now.

        A link whose target is gone (an unmounted disk, an annexed file that was not fetched) looks like a file that
        was never written. So the deepest part of the path that there is must be a folder, where files may be read, and
        what comes next must be missing in that very folder: by its path it could be another one, or back, at each look.
        """
        while True:
            folder, _, name = path.rpartition("/")
            try:
                if not self._reach.holds(folder or "/", name, self._prefix, key):
                    return
                break
            except FileNotFoundError:
                path = folder
                # A link is there, wherever it leads.
                if len(folder) <= len(self.name) or os.path.lexists(folder):
                    break
            except OSError as error:
                raise _unavailable(key, error) from error
        if os.path.exists(path):  # noqa: PTH110 (text)
            raise SourceChanged(key)
        raise SourceUnavailable("a link leads nowhere, or the dataset's folder is gone", key=key)

    def _path(self, key: str) -> str:
        # Keys come from our own code and from checked descriptions; this is the second lock on the door.
        if key.startswith("/") or "\0" in key or ".." in key.split("/"):
            raise SourceUnavailable("the key leaves the folder", key=key)
        try:
            os.fsencode(key)
        except UnicodeEncodeError as error:
            raise SourceUnavailable("the key is no name of a file", key=repr(key)) from error
        return self._prefix + key


def _etag(status: os.stat_result, key: str) -> str:
    """From inode, length and both clocks: `cp -p` and `mv` keep the modification time, but not the change time."""
    if not stat_modes.S_ISREG(status.st_mode):
        raise SourceUnavailable("not a regular file", key=key)
    return f"{status.st_ino:x}-{status.st_size:x}-{status.st_mtime_ns:x}-{status.st_ctime_ns:x}"


def _read_cached(descriptor: int, start: int, length: int) -> bytearray | None:
    """The bytes if no disk has to be waited for, else None."""
    if _NOWAIT is None:
        return None
    data = bytearray(length)
    try:
        if os.preadv(descriptor, (data,), start, _NOWAIT) == length:
            return data
    except OSError as error:
        # Some file systems cannot tell; then a thread asks.
        if error.errno not in (errno.EAGAIN, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            raise
    return None


def _read_waiting(descriptor: int, start: int, length: int) -> bytes:
    pieces = []
    while length > 0:
        piece = os.pread(descriptor, length, start)
        if not piece:
            break
        pieces.append(piece)
        start, length = start + len(piece), length - len(piece)
    return b"".join(pieces)


def _unavailable(key: str, error: OSError) -> SourceUnavailable:
    return SourceUnavailable(os.strerror(error.errno) if error.errno else "read failed", key=key)
