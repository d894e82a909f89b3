"""`Annotations` in memory: for tests."""

from __future__ import annotations

from dataclasses import replace

from zarrlink.catalogue.annotations import REVISED, AnnotationRecord
from zarrlink.catalogue.changes import Changes


class MemoryAnnotations:
    """Annotations of one process."""

    def __init__(self) -> None:
        self._by_id: dict[str, AnnotationRecord] = {}

    def add(self, record: AnnotationRecord) -> bool:
        return self._by_id.setdefault(record.id, record) is record

    def revise(self, record: AnnotationRecord, revision: str) -> AnnotationRecord | None:
        known = self._by_id.get(record.id)
        if known is None or known.revision != revision:
            return None
        self._by_id[record.id] = replace(known, **{name: getattr(record, name) for name in REVISED})
        return self._by_id[record.id]

    def change(self, annotation_id: str, changes: Changes) -> AnnotationRecord | None:
        known = self._by_id.get(annotation_id)
        if known is None:
            return None
        self._by_id[annotation_id] = replace(known, **changes.given())
        return self._by_id[annotation_id]

    def get(self, annotation_id: str) -> AnnotationRecord | None:
        return self._by_id.get(annotation_id)

    def all(self) -> list[AnnotationRecord]:
        return sorted(self._by_id.values(), key=lambda record: (record.name, record.id))

    def remove(self, annotation_id: str) -> bool:
        return self._by_id.pop(annotation_id, None) is not None
