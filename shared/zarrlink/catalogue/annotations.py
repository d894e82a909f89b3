"""The `Annotations` protocol: what is known of imported annotations, beside what they hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from zarrlink.access import Visibility
from zarrlink.catalogue.changes import Changes


@dataclass(frozen=True, slots=True)
class AnnotationRecord:
    """An imported annotation. `id`: 24 hex digits as WEBKNOSSOS's.

    `dataset`: id of the dataset that it is of, "" where that one is not registered here. `location`: the folder or
    object-store prefix of its present revision, which never changes once it is named here. `source_id`: the id that
    its NML names, "" where it names none. Times in ms since 1970, UTC. Beside these: `zarrlink.access.Shared`.
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
    tags: tuple[str, ...] = ()
    visibility: Visibility = "private"
    collaborators: tuple[str, ...] = ()


REVISED: Final = ("name", "dataset", "location", "revision", "source_id", "modified_ms")
"""What a revision brings along. All else is what people have said of the annotation, maybe while it was imported."""


class Annotations(Protocol):
    """Annotations by id. Every call is atomic: of concurrent changes none is lost."""

    def add(self, record: AnnotationRecord) -> bool:
        """False where the id is taken."""
        ...

    def revise(self, record: AnnotationRecord, revision: str) -> AnnotationRecord | None:
        """Give the annotation with the record's id what is `REVISED` of the record, if it is still at `revision`.

        It as it stands then; None where nothing was done.
        """
        ...

    def change(self, annotation_id: str, changes: Changes) -> AnnotationRecord | None:
        """The changed record; None where there is none."""
        ...

    def get(self, annotation_id: str) -> AnnotationRecord | None: ...

    def all(self) -> list[AnnotationRecord]:
        """By name, then id; damaged ones are left out."""
        ...

    def remove(self, annotation_id: str) -> bool:
        """Forget an annotation (what it holds stays). False where there was none."""
        ...
