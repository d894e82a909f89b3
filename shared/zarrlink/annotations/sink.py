"""Where an import is written: nothing of it is there before all of it is."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from zarrlink.errors import InvalidRequest, SourceUnavailable


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

    What a crash leaves behind is called `.NAME.RANDOM.partial`.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        self._partial = target.parent / f".{target.name}.{secrets.token_hex(8)}.partial"
        self._folders: set[Path] = set()

    def write(self, key: str, chunks: Iterable[bytes]) -> int:
        path = self._partial / key
        written = 0
        try:
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

    def abort(self) -> None:
        shutil.rmtree(self._partial, ignore_errors=True)


def _sync_folder(folder: Path) -> None:
    """Names are safe on disk only when their folder is."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unwritable(error: OSError) -> SourceUnavailable:
    return SourceUnavailable(f"writing failed: {os.strerror(error.errno) if error.errno else 'unknown reason'}")
