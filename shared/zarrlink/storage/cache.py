"""A least-recently-used cache bounded in bytes, for headers and jump-table slices."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

V = TypeVar("V")


class ByteBoundedCache(Generic[V]):
    """Values by key; the least recently used go when the sum of their sizes exceeds `limit_bytes`.

    For one event loop: no locks. Entries whose size alone exceeds the limit are not kept.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._entries: OrderedDict[Hashable, tuple[V, int]] = OrderedDict()
        self._bytes = 0

    def get(self, key: Hashable) -> V | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, key: Hashable, value: V, size_bytes: int) -> None:
        self.drop(key)
        self._entries[key] = (value, size_bytes)
        self._bytes += size_bytes
        while self._bytes > self._limit:
            _, (_, gone) = self._entries.popitem(last=False)
            self._bytes -= gone

    def drop(self, key: Hashable) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= entry[1]

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def used_bytes(self) -> int:
        return self._bytes
