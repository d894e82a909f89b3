"""Where an import is written: nothing of it is there before all of it is."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Protocol

from zarrlink.errors import InvalidRequest, SourceUnavailable

PARTIAL: Final = ".partial"
_YOUNG_S: Final = 60.0


class PackSink(Protocol):
    """One new folder or prefix; keys are relative, with `/`. For one thread, and for one import.

    After an error of any method only `abort` may be called.
    """

    def write(self, key: str, chunks: Iterable[bytes]) -> int:
        """Write an object out of its pieces, each key once; gives its length. Raises SourceUnavailable."""
        ...

    def finish(self) -> None:
        """Make everything visible to readers, at once. Raises SourceUnavailable, and then nothing is."""
        ...

    def abort(self) -> None:
        """Remove everything that was written; does nothing after `finish`, and may be called twice."""
        ...


class MemorySink:
    """Objects by key, in `objects` once finished."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self._written: dict[str, bytes] = {}

    def write(self, key: str, chunks: Iterable[bytes]) -> int:
        if key in self._written:
            raise ValueError(f"{key} is written twice")
        self._written[key] = b"".join(chunks)
        return len(self._written[key])

    def finish(self) -> None:
        self.objects, self._written = self._written, {}

    def abort(self) -> None:
        self._written = {}


class FolderSink:
    """A new folder `target`, written under a hidden name beside it and renamed as a whole.

    What a crash leaves behind is called `.NAME.RANDOM.partial`, for `sweep_partial`.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        self._partial = target.parent / f".{target.name}.{secrets.token_hex(8)}{PARTIAL}"
        self._folders: set[Path] = set()
        self._lock: int | None = None

    def write(self, key: str, chunks: Iterable[bytes]) -> int:
        path = self._partial / key
        written = 0
        try:
            self._make()
            path.parent.mkdir(parents=True, exist_ok=True)
            self._folders.update(folder for folder in path.parents if folder.is_relative_to(self._partial))
            with path.open("xb") as file:
                for chunk in chunks:
                    file.write(chunk)
                    written += len(chunk)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise _unwritable(error) from error
        return written

    def finish(self) -> None:
        try:
            for folder in self._folders:
                _sync_folder(folder)
            # Renaming would replace an empty folder.
            if os.path.lexists(self._target):
                raise InvalidRequest("there is an annotation of this name already")
            self._partial.rename(self._target)
            _sync_folder(self._target.parent)
        except OSError as error:
            raise _unwritable(error) from error
        self._unlock()

    def abort(self) -> None:
        shutil.rmtree(self._partial, ignore_errors=True)
        self._unlock()

    def _make(self) -> None:
        """Make the hidden folder and lock it, so that others can tell it from what a crash left behind."""
        if self._lock is None:
            self._partial.mkdir(parents=True)
            self._lock = os.open(self._partial, os.O_RDONLY | os.O_DIRECTORY)
            # Some network file systems have no locks; there, `sweep_partial` finds none either, and leaves all alone.
            with contextlib.suppress(OSError):
                fcntl.flock(self._lock, fcntl.LOCK_SH)

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def sweep_partial(folder: Path) -> None:
    """Remove what imports that crashed left in a folder. What is being written now stays, however long it takes."""
    for partial in folder.glob(f".*{PARTIAL}"):
        with contextlib.suppress(OSError):
            if time.time() - partial.stat().st_mtime < _YOUNG_S:
                continue  # perhaps it was made this moment, and is about to be locked
            lock = os.open(partial, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(partial, ignore_errors=True)
            finally:
                os.close(lock)


def _sync_folder(folder: Path) -> None:
    """Names are safe on disk only when their folder is."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unwritable(error: OSError) -> SourceUnavailable:
    return SourceUnavailable(f"writing failed: {os.strerror(error.errno) if error.errno else 'unknown reason'}")
