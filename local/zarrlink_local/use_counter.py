"""Counts of how often links are opened: in memory while the server answers, every few seconds into the state file."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from zarrlink.links.interface import LinkStore
from zarrlink.links.model import Uses

_log = logging.getLogger(__name__)
# What a crash may lose.
FLUSH_S: Final = 10.0


class UseCounter:
    """Counts while it is entered, and writes what is left when it is left."""

    def __init__(self, links: LinkStore, now_ms: Callable[[], int], *, every_s: float = FLUSH_S) -> None:
        self._links = links
        self._now_ms = now_ms
        self._every_s = every_s
        self._uses: dict[str, Uses] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="uses", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._flush()

    def opened(self, link_id: str) -> None:
        """A layer of the link was opened."""
        self._add({link_id: Uses(1, self._now_ms())})

    def _add(self, uses: dict[str, Uses]) -> None:
        with self._lock:
            for link_id, (openings, last_ms) in uses.items():
                before = self._uses.get(link_id, Uses(0, 0))
                self._uses[link_id] = Uses(before.openings + openings, max(before.last_ms, last_ms))

    def _watch(self) -> None:
        while not self._stop.wait(self._every_s):
            self._flush()

    def _flush(self) -> None:
        with self._lock:
            uses, self._uses = self._uses, {}
        if not uses:
            return
        try:
            self._links.count(uses)
        except sqlite3.Error as error:
            # Tried again with what comes by then; no reader is to suffer from a full disk.
            _log.warning("uses of links are not counted: %s", error)
            self._add(uses)
