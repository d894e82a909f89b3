"""Imported annotations in folders beside the state file."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from zarrlink.annotations.sink import FolderSink


class FolderVault:
    """`TOP/ANNOTATION/REVISION`. See `zarrlink.annotations.shelf.Vault`."""

    def __init__(self, top: Path) -> None:
        self._top = top.absolute()

    def sink(self, annotation_id: str, revision: str) -> tuple[FolderSink, str]:
        folder = self._top / annotation_id / revision
        return FolderSink(folder), str(folder)

    def keep_only(self, annotation_id: str, revisions: tuple[str, ...]) -> None:
        folder = self._top / annotation_id
        if not folder.is_dir():
            return
        for revision in folder.iterdir():
            # What another import is writing has a hidden name.
            if revision.name not in revisions and not revision.name.startswith("."):
                shutil.rmtree(revision, ignore_errors=True)
        if not revisions:
            shutil.rmtree(folder, ignore_errors=True)

    def discard(self, annotation_id: str, revision: str) -> None:
        shutil.rmtree(self._top / annotation_id / revision, ignore_errors=True)
        # The annotation's own folder goes with the last revision, and not while another is being written.
        with contextlib.suppress(OSError):
            (self._top / annotation_id).rmdir()
