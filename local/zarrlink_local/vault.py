"""Imported annotations in folders beside the state file."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Container
from pathlib import Path
from typing import Final

from zarrlink.annotations.sink import FolderSink, sweep_partial

_DAY_NS: Final = 86_400 * 10**9


class FolderVault:
    """`TOP/ANNOTATION/REVISION`. See `zarrlink.annotations.shelf.Vault`."""

    def __init__(self, top: Path) -> None:
        self._top = top.absolute()

    def sink(self, annotation_id: str, revision: str) -> tuple[FolderSink, str]:
        self.sweep()
        folder = self._top / annotation_id / revision
        return FolderSink(folder), str(folder)

    def holds(self, location: str) -> bool:
        """Whether a location is that of a revision, however the state file was named when it was made."""
        top = Path(location).parent.parent
        return top == self._top or top.resolve() == self._top.resolve()

    def keep_only(self, annotation_id: str, revisions: tuple[str, ...]) -> None:
        folder = self._top / annotation_id
        if not folder.is_dir():
            return
        newest_ns = max((_written_ns(folder / revision) for revision in revisions), default=None)
        for revision in folder.iterdir():
            # What another import is writing has a hidden name; one that has written and is not yet known of began after
            # the newest of these was there.
            younger = newest_ns is not None and _written_ns(revision) > newest_ns
            if revision.name not in revisions and not revision.name.startswith(".") and not younger:
                shutil.rmtree(revision, ignore_errors=True)
        if not revisions:
            shutil.rmtree(folder, ignore_errors=True)

    def discard(self, annotation_id: str, revision: str) -> None:
        shutil.rmtree(self._top / annotation_id / revision, ignore_errors=True)
        # The annotation's own folder goes with the last revision, and not while another is being written.
        with contextlib.suppress(OSError):
            (self._top / annotation_id).rmdir()

    def sweep(self, known: Container[str] | None = None) -> None:
        """Remove what imports that crashed left behind. `known`: the annotations that there are; what has been of none
        for a day goes too."""
        if not self._top.is_dir():
            return
        for folder in self._top.iterdir():
            sweep_partial(folder)
            with contextlib.suppress(OSError):
                # An import that has just ended is about to be known.
                lost = known is not None and folder.name not in known
                if lost and time.time_ns() - max(map(_written_ns, [folder, *folder.iterdir()])) > _DAY_NS:
                    shutil.rmtree(folder, ignore_errors=True)


def _written_ns(folder: Path) -> int:
    """When the last object was put into a revision; 0 where it is not there."""
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0
