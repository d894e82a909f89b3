"""An `EdgeStore` in a folder, for nginx on one machine: a file for each entry, `l_<link id>`, `k_<key id>` and `k_`."""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from zarrlink.edge.store import Decide
from zarrlink.errors import SourceUnavailable

_NAME: Final = re.compile(r"k_|[kl]_[A-Za-z0-9_-]+", re.ASCII)
_LOCK: Final = ".lock"
_DRAFT: Final = ".draft"
_SETTLED_NS: Final = 2_000_000_000


class FileStore:
    """Entries in a folder of their own, which is made where it is not there, for its owner alone: keys are secret.

    Files of other names are nobody's business. A reader sees an old value or a new one, never half of one. Writers of
    any process take turns.
    """

    room_bytes = None

    def __init__(self, folder: Path) -> None:
        """Raises SourceUnavailable for a place that cannot hold it."""
        self._folder = folder
        # By name: when a file was last touched, its inode, its length, and what was read from it then.
        self._known: dict[str, tuple[tuple[int, int, int], str]] = {}
        self._make_folder()

    def _make_folder(self) -> None:
        # Again and again, since somebody may have removed it.
        with _told():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def entries(self) -> dict[str, str]:
        # Times of files go in steps: of one that was touched a moment ago another version may have the same.
        settled_ns = time.time_ns() - _SETTLED_NS
        found: dict[str, str] = {}
        known = {}
        self._make_folder()
        with _told(), os.scandir(self._folder) as listed:
            for entry in listed:
                # What is no file is read by nobody; where its name is wanted, it stands in the way of that one alone.
                if not _NAME.fullmatch(entry.name) or not entry.is_file(follow_symlinks=False):
                    continue
                facts = entry.stat()
                mark = facts.st_ctime_ns, facts.st_ino, facts.st_size
                before = self._known.get(entry.name)
                text = before[1] if before is not None and before[0] == mark else _read(entry.path)
                found[_key(entry.name)] = text
                if facts.st_ctime_ns < settled_ns:
                    known[entry.name] = mark, text
        self._known = known
        return found

    def change(self, keys: Sequence[str], decide: Decide) -> None:
        if not keys:
            return
        with self._turn():
            decided = decide(keys, 0.0)
            with _told():
                for key, value in decided.items():
                    self._put(_name(key), value)

    def _put(self, name: str, value: str | None) -> None:
        path = self._folder / name
        if value is None:
            path.unlink(missing_ok=True)
            return
        draft = self._folder / _DRAFT
        draft.write_bytes(value.encode())
        draft.chmod(0o600)
        draft.replace(path)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        self._make_folder()
        with _told():
            lock = os.open(self._folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            with _told():
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


def _name(key: str) -> str:
    name = key.replace(":", "_", 1)
    if not _NAME.fullmatch(name):
        raise ValueError("a key of the edge's store is k:, k:ID or l:ID, with a URL-safe ID")
    return name


def _key(name: str) -> str:
    return name.replace("_", ":", 1)


def _read(path: str) -> str:
    # What somebody else put there differs from what belongs there, whatever it is.
    return Path(path).read_bytes().decode(errors="replace")


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SourceUnavailable(f"the edge's store of files: {error.strerror}") from error
