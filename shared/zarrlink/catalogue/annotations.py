"""The `Annotations` protocol: what is known of imported annotations, beside what they hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class AnnotationRecord:
    """An imported annotation. `id`: 24 hex digits as WEBKNOSSOS's.

    `dataset`: id of the dataset that it is of, "" where that one is not registered here. `location`: the folder or
    object-store prefix of its present revision, which never changes once it is named here. `source_id`: the id that
    its NML names, "" where it names none. Times in ms since 1970, UTC.
    """

    id: str
    name: str
    description: str
    owner: str
    dataset: str
    location: str
    revision: str
    source_id: str
    created_ms: int
    modified_ms: int


class Annotations(Protocol):
    """Annotations by id."""

    def add(self, record: AnnotationRecord) -> bool:
        """False where the id is taken."""
        ...

    def replace(self, record: AnnotationRecord, revision: str) -> bool:
        """Put a record in the place of the one with its id, if that is still at `revision`; else False."""
        ...

    def get(self, annotation_id: str) -> AnnotationRecord | None: ...

    def all(self) -> list[AnnotationRecord]:
        """By name, then id."""
        ...

    def remove(self, annotation_id: str) -> bool:
        """Forget an annotation (what it holds stays). False where there was none."""
        ...
