"""A `Catalogue` in memory: for tests."""

from __future__ import annotations

import secrets
from dataclasses import replace

from zarrlink.catalogue.interface import DatasetRecord


class MemoryCatalogue:
    """Datasets of one process."""

    def __init__(self) -> None:
        self._by_location: dict[str, DatasetRecord] = {}

    def register(self, name: str, location: str, now_ms: int) -> DatasetRecord:
        known = self._by_location.get(location)
        record = replace(known, name=name) if known else DatasetRecord(secrets.token_hex(12), name, location, now_ms)
        self._by_location[location] = record
        return record

    def get(self, dataset_id: str) -> DatasetRecord | None:
        return next((record for record in self._by_location.values() if record.id == dataset_id), None)

    def all(self) -> list[DatasetRecord]:
        return sorted(self._by_location.values(), key=lambda record: (record.name, record.id))

    def remove(self, dataset_id: str) -> bool:
        record = self.get(dataset_id)
        return record is not None and self._by_location.pop(record.location, None) is not None
