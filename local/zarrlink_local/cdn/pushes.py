"""From the state file to the edge of this machine: whatever process writes to it, the edge knows a moment later."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
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
        # Changed, and not told yet.
        self._links: set[str] = set()
        self._sources: set[str] = set()
        self._behind: set[str] = set()
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
        mended_s = time.monotonic()
        try:
            while not self._stop.wait(self._every_s):
                # Looked at before: what is written meanwhile shows the next time.
                found = self._attempt(self._version)
                if found is not None and found != seen and self._attempt(self._push) is not None:
                    seen = found
                if time.monotonic() - mended_s >= self._mend_s and self._attempt(self._mend) is not None:
                    mended_s = time.monotonic()
        finally:
            self._file.close()

    def _attempt(self, step: Callable[[], int]) -> int | None:
        """None where it failed: it is tried again at once, until the edge knows of it, and said once.

        One that fails again and again keeps no other from being tried: a link that is revoked is refused even so.
        """
        try:
            done = step()
        except (SourceUnavailable, sqlite3.Error) as failure:
            if step.__name__ not in self._behind:
                _log.warning("the edge does not know the latest of all links: %s", failure)
            self._behind.add(step.__name__)
            return None
        self._behind.discard(step.__name__)
        return done

    def _version(self) -> int:
        """Another number wherever another connection, of any process, has written."""
        ((version,),) = self._file.rows("PRAGMA data_version")
        return int(version)

    def _push(self) -> int:
        """What has changed, how many. Looking at everything takes seconds where there are a hundred thousand links."""
        self._links.update(self._changed.links())
        self._sources.update(self._changed.sources())
        self._tell(self._sync.sync_links(self._links) | self._sync.sync_sources(self._sources))
        count = len(self._links) + len(self._sources)
        self._links.clear()
        self._sources.clear()
        return count

    def _mend(self) -> int:
        """Everything that differs, how many."""
        found = self._sync.reconcile()
        self._tell(frozenset(found.damaged))
        return found.mended

    def _tell(self, damaged: frozenset[str]) -> None:
        if damaged - self._damaged:
            _log.warning(
                "links that cannot be read, and that the edge asks the server for: %s", ", ".join(sorted(damaged))
            )
        self._damaged |= damaged
