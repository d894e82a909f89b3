"""Where files of a dataset may really lie. Symbolic links are followed, and may lead only there.

Whoever controls a dataset's files can put a link among them, and would have the server read its own keys, or another's volume.
"""

from __future__ import annotations

import fcntl
import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from threading import Lock
from typing import Final

from zarrlink.errors import CorruptFile

_LEADS_OUT: Final = (
    "a symbolic link leads out of the dataset's folder, to where zarrlink was not told to read; the operator allows it by "
    "zarrlink serve --allow-source PREFIX or in the environment variable ZARRLINK_ALLOWED_SOURCES"
)
_LEADS_IN: Final = "a symbolic link leads to the server's own files, which are never read for a dataset"
_DESCRIPTORS: Final = "/proc/self/fd" if os.path.isdir("/proc/self/fd") else None  # noqa: PTH112 (used as text)
# Of macOS.
_GET_PATH: Final[int | None] = getattr(fcntl, "F_GETPATH", None)
_LONGEST_PATH: Final = 1024
# O_NONBLOCK: opening a FIFO that lies where a file should be must not hang the server.
_READ: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
# To look at what lies somewhere without opening it. Not of macOS.
_PATH_ONLY: Final[int | None] = getattr(os, "O_PATH", None)
# About 5 MB.
_MAX_KNOWN: Final = 16_384


class ServersFile(CorruptFile):
    """A link to one of the server's own files."""


class Reach:
    """What may be read beside a dataset's own folder, and what may not be read even in there.

    `folders`: named by the operator; `closed`: files and folders of the server, with all whose names go on after a `.` or `-`
    (`state.sqlite` closes `state.sqlite.key` and `state.sqlite-wal`). All as they are now, links resolved.
    """

    def __init__(self, folders: Iterable[Path] = (), closed: Iterable[Path] = ()) -> None:
        self._folders = tuple(_prefix(os.path.realpath(folder)) for folder in folders)
        own = [os.path.realpath(path) for path in closed]
        # A space: the kernel's path of a file that was replaced meanwhile ends in " (deleted)".
        self._closed = tuple(f"{_alike(path)}{end}" for path in dict.fromkeys(own) for end in ("/", ".", "-", " "))
        self._known: dict[tuple[str, int, str], None] = {}
        self._keeping = Lock()
        # Whether a link to the server's own files was found in any dataset, since the process began.
        self._is_warned = False

    def refusal(self, real: str, own: str) -> str:
        """Why what really lies at `real` may not be read for the dataset in the folder `own` (resolved, with a slash at its
        end), and what the operator can do; "" where it may."""
        place = f"{real}/"
        if _alike(place).startswith(self._closed):
            return _LEADS_IN
        return "" if place.startswith((own, *self._folders)) else _LEADS_OUT

    def check(self, real: str, own: str, key: str) -> None:
        """The same. Raises CorruptFile, of which ServersFile is one."""
        refusal = self.refusal(real, own)
        if refusal == _LEADS_IN:
            self._is_warned = True
            raise ServersFile(refusal, key=key)
        if refusal:
            raise CorruptFile(refusal, key=key)

    def check_opened(self, descriptor: int, path: str, own: str, key: str) -> None:
        """The same of what was opened by `path`. Raises OSError too."""
        self.check(real_path(descriptor, path), own, key)

    def look(self, path: str, own: str, key: str) -> os.stat_result:
        """What lies at `path`, a folder too, if it may be read. Raises CorruptFile, OSError."""
        self._check_name(path, own, key)
        descriptor = os.open(path, _READ if _PATH_ONLY is None else _PATH_ONLY | os.O_CLOEXEC)
        try:
            self.check_opened(descriptor, path, own, key)
            status = os.fstat(descriptor)
        except ServersFile:
            if _PATH_ONLY is not None:
                os.close(descriptor)
            # Else left open, see `open`.
            raise
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        return status

    def holds(self, folder: str, name: str, own: str, key: str) -> bool:
        """Whether a folder that may be read has `name` in it, be it a link that leads nowhere; "" is the folder itself.

        Raises CorruptFile, OSError: FileNotFoundError where there is no such folder.
        """
        # A file of the server is not opened by this anywhere.
        found = os.open(folder, os.O_DIRECTORY | (_READ if _PATH_ONLY is None else _PATH_ONLY | os.O_CLOEXEC))
        try:
            self.check_opened(found, folder, own, key)
            os.stat(name or ".", dir_fd=found, follow_symlinks=False)
        except FileNotFoundError:
            return False
        finally:
            os.close(found)
        return True

    def open(self, path: str, own: str, key: str) -> int:
        """A descriptor to read what lies at `path`. Raises CorruptFile, OSError.

        It is still to be asked about by `check_opened`, unless it is known. If that raises ServersFile it is left open: closing
        it would end all locks that this process has on the file, SQLite's among them. So that there are not many of them, the
        server's own files are not so much as opened once one was found.
        """
        self._check_name(path, own, key)
        if not self._is_warned or _PATH_ONLY is None:
            return os.open(path, _READ)
        found = os.open(path, _PATH_ONLY | os.O_CLOEXEC)
        try:
            self.check_opened(found, path, own, key)
            # The very file that was asked about, whatever lies at its path by now.
            return os.open(path if _DESCRIPTORS is None else f"{_DESCRIPTORS}/{found}", _READ)
        finally:
            os.close(found)

    def _check_name(self, path: str, own: str, key: str) -> None:
        """Where nothing can be looked at unopened, the server's own files are known by their names before that."""
        if _PATH_ONLY is None and self.refusal(real := os.path.realpath(path), own) == _LEADS_IN:
            self.check(real, own, key)

    def is_known(self, own: str, device: int, etag: str) -> bool:
        """Whether this very version of a file was checked: a file that is moved is another version."""
        return (own, device, etag) in self._known

    def keep(self, own: str, device: int, etag: str) -> None:
        """It was."""
        # Files are opened by threads too.
        with self._keeping:
            while len(self._known) >= _MAX_KNOWN:
                # The oldest.
                del self._known[next(iter(self._known))]
            self._known[own, device, etag] = None


def real_path(descriptor: int, path: str) -> str:
    """Where what was opened by `path` really lies, told by the kernel. Raises OSError."""
    if _DESCRIPTORS is not None:
        return os.readlink(f"{_DESCRIPTORS}/{descriptor}")  # noqa: PTH115 (a Path costs more than the call)
    if _GET_PATH is not None:
        return os.fsdecode(fcntl.fcntl(descriptor, _GET_PATH, bytes(_LONGEST_PATH)).rstrip(b"\0"))
    return os.path.realpath(path)


def _alike(path: str) -> str:
    """What all names of a place have in common: on macOS letters may be large or small, and accents apart or not.

    Where it is not so, files beside the server's own that are called almost like them are closed as well.
    """
    return unicodedata.normalize("NFD", path.casefold()) if _PATH_ONLY is None else path


def _prefix(folder: str) -> str:
    return folder if folder.endswith("/") else f"{folder}/"
