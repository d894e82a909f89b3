"""A hidden folder beside a file that is being made. What a killed process left of one, the next one there removes."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

_ENDING: Final = ".exporting"
_LOCK: Final = "lock"
_TRIES: Final = 10


@contextmanager
def work_folder(target: Path) -> Iterator[Path]:
    """A new folder on the same disk as `target`; gone in the end, whatever that is. Raises FileNotFoundError, OSError."""
    remove_dead(target.parent)
    folder, lock = _new(target)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.close()


def remove_dead(parent: Path) -> None:
    """Remove what processes left there that are no more: the lock goes with the process that holds it."""
    for folder in list(parent.glob(f".*{_ENDING}")):
        # One without a lock is being made, or is none of ours.
        with suppress(OSError), (folder / _LOCK).open("r+b") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)


def _new(target: Path) -> tuple[Path, BinaryIO]:
    """A folder, and its lock."""
    for _ in range(_TRIES):
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name[:100]}.", suffix=_ENDING, dir=target.parent))
        lock = (folder / _LOCK).open("xb")
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Between the two lines above another process may have taken it for a dead one's.
            if os.fstat(lock.fileno()).st_nlink:
                return folder, lock
        lock.close()
    raise OSError("no folder can be locked there")
