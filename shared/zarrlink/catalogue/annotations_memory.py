"""`Annotations` in memory: for tests."""

from __future__ import annotations

from zarrlink.catalogue.annotations import AnnotationRecord


class MemoryAnnotations:
    """Annotations of one process."""

    def __init__(self) -> None:
        self._by_id: dict[str, AnnotationRecord] = {}

    def add(self, record: AnnotationRecord) -> bool:
        return self._by_id.setdefault(record.id, record) is record

    def replace(self, record: AnnotationRecord, revision: str) -> bool:
        known = self._by_id.get(record.id)
        if known is None or known.revision != revision:
            return False
        self._by_id[record.id] = record
        return True

    def get(self, annotation_id: str) -> AnnotationRecord | None:
        return self._by_id.get(annotation_id)

    def all(self) -> list[AnnotationRecord]:
        return sorted(self._by_id.values(), key=lambda record: (record.name, record.id))

    def remove(self, annotation_id: str) -> bool:
        return self._by_id.pop(annotation_id, None) is not None
