"""An `EdgeStore` in memory: for tests."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from zarrlink.edge.entries import entry_bytes
from zarrlink.edge.store import Decide


class MemoryStore:
    """Entries of one process. `batch`: how many keys are decided and written at a time."""

    def __init__(self, room_bytes: int | None = None, batch: int = 50) -> None:
        self.room_bytes = room_bytes
        self._batch = batch
        self._entries: dict[str, str] = {}
        self._version = 0
        self._lock = threading.Lock()

    def entries(self) -> dict[str, str]:
        with self._lock:
            return dict(self._entries)

    def change(self, keys: Sequence[str], decide: Decide) -> None:
        for start in range(0, len(keys), self._batch):
            batch = keys[start : start + self._batch]
            while not self._change(batch, decide):
                pass

    def _change(self, keys: Sequence[str], decide: Decide) -> bool:
        """False where another writer came in between."""
        with self._lock:
            version, taken = self._version, sum(entry_bytes(*entry) for entry in self._entries.items())
        decided = decide(keys, taken / self.room_bytes if self.room_bytes else 0.0)
        with self._lock:
            if self._version != version:
                return False
            for key, value in decided.items():
                if value is None:
                    self._entries.pop(key, None)
                else:
                    self._entries[key] = value
            self._version += 1
        return True
