"""From the state file to the edge of this machine: whatever process writes to it, the edge knows a moment later."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from zarrlink.edge.changed_rows import ChangedRows
from zarrlink.edge.files import FileStore
from zarrlink.edge.sync import EdgeSync
from zarrlink.errors import SourceUnavailable
from zarrlink_local.machine import Machine, now_ms

_log = logging.getLogger(__name__)
# A revoked link is to be refused within a second.
EVERY_S: Final = 0.1
# What others did to the entries is mended so soon.
MEND_S: Final = 60.0


class Pushes:
    """Keeps the entries in a folder as the state file is, while it is entered. Once it is, what was there is there.

    Entering raises SourceUnavailable where the folder cannot be written, sqlite3.Error where the state file cannot be read.
    """

    def __init__(self, machine: Machine, entries: Path, *, every_s: float = EVERY_S, mend_s: float = MEND_S) -> None:
        self._file = machine.file
        store = FileStore(entries)
        self._sync = EdgeSync(
            machine.links, machine.catalogue, machine.shelf.annotations, lambda: machine.keys, store, now_ms
        )
        self._every_s = every_s
        self._mend_s = mend_s
        self._changed = ChangedRows(self._file)
        self._damaged: frozenset[str] = frozenset()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="edge", daemon=True)

    def __enter__(self) -> Self:
        self._mend()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        seen: int | None = None
        mended_s, is_behind = time.monotonic(), False
        try:
            while not self._stop.wait(self._every_s):
                try:
                    # Looked at before: what is written meanwhile shows the next time.
                    found = self._version()
                    if is_behind or time.monotonic() - mended_s >= self._mend_s:
                        self._mend()
                        mended_s = time.monotonic()
                    elif found != seen:
                        self._push()
                    seen, is_behind = found, False
                except (SourceUnavailable, sqlite3.Error) as failure:
                    # Tried again at once, until the edge knows of it, and said once.
                    if not is_behind:
                        _log.warning("the edge does not know the latest of all links: %s", failure)
                    is_behind = True
        finally:
            self._file.close()

    def _version(self) -> int:
        """Another number wherever another connection, of any process, has written."""
        ((version,),) = self._file.rows("PRAGMA data_version")
        return int(version)

    def _push(self) -> None:
        """What has changed. Looking at everything takes seconds where there are a hundred thousand links."""
        links, sources = self._changed.links(), self._changed.sources()
        self._tell(self._sync.sync_links(links) | self._sync.sync_sources(sources))

    def _mend(self) -> None:
        """Everything."""
        self._tell(frozenset(self._sync.reconcile().damaged))

    def _tell(self, damaged: frozenset[str]) -> None:
        if damaged - self._damaged:
            _log.warning(
                "links that cannot be read, and that the edge asks the server for: %s", ", ".join(sorted(damaged))
            )
        self._damaged |= damaged
