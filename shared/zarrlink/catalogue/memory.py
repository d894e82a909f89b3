"""A `Catalogue` in memory: for tests."""

from __future__ import annotations

import secrets
from dataclasses import replace

from zarrlink.catalogue.changes import Changes
from zarrlink.catalogue.interface import NOTHING_SAID, DatasetRecord, new_record


class MemoryCatalogue:
    """Datasets of one process."""

    def __init__(self) -> None:
        self._by_location: dict[str, DatasetRecord] = {}

    def register(
        self, name: str, location: str, now_ms: int, *, owner: str = "", about: Changes = NOTHING_SAID
    ) -> DatasetRecord:
        known = self._by_location.get(location)
        if known is None:
            record = new_record(secrets.token_hex(12), name, location, now_ms, owner=owner, about=about)
        else:
            record = known if known.is_renamed else replace(known, name=name)
        self._by_location[location] = record
        return record

    def get(self, dataset_id: str) -> DatasetRecord | None:
        return next((record for record in self._by_location.values() if record.id == dataset_id), None)

    def all(self) -> list[DatasetRecord]:
        return sorted(self._by_location.values(), key=lambda record: (record.name, record.id))

    def change(self, dataset_id: str, changes: Changes) -> DatasetRecord | None:
        record = self.get(dataset_id)
        if record is None:
            return None
        is_renamed = record.is_renamed or changes.name is not None
        changed = replace(record, is_renamed=is_renamed, **changes.given())
        self._by_location[record.location] = changed
        return changed

    def revise(self, dataset_id: str) -> DatasetRecord | None:
        record = self.get(dataset_id)
        if record is None:
            return None
        self._by_location[record.location] = replace(record, revision=record.revision + 1)
        return self._by_location[record.location]

    def remove(self, dataset_id: str) -> bool:
        record = self.get(dataset_id)
        return record is not None and self._by_location.pop(record.location, None) is not None
