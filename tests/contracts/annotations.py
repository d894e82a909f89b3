"""What every `Annotations` keeps to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace

import pytest

from zarrlink.catalogue.annotations import AnnotationRecord, Annotations

CELLS = AnnotationRecord(
    id="65a0c1f2e4b0a1b2c3d4e5f8",
    name="cells",
    description="",
    owner="ann",
    dataset="65a0c1f2e4b0a1b2c3d4e5f6",
    location="/annotations/cells/r1",
    revision="r1",
    source_id="",
    created_ms=7,
    modified_ms=7,
)


class AnnotationsContract(ABC):
    """Inherit it, and give an `annotations` fixture."""

    @pytest.fixture
    @abstractmethod
    def annotations(self) -> Annotations:
        """Without any."""

    def test_what_was_added_is_found(self, annotations: Annotations) -> None:
        assert annotations.add(CELLS)
        assert annotations.get(CELLS.id) == CELLS

    def test_an_unknown_id_is_none(self, annotations: Annotations) -> None:
        annotations.add(CELLS)
        assert annotations.get("0" * 24) is None
        assert annotations.get("") is None

    def test_an_id_is_given_once(self, annotations: Annotations) -> None:
        annotations.add(CELLS)
        assert not annotations.add(replace(CELLS, name="others", revision="r2"))
        assert annotations.get(CELLS.id) == CELLS

    def test_a_revision_takes_the_place_of_the_one_before(self, annotations: Annotations) -> None:
        annotations.add(CELLS)
        newer = replace(CELLS, revision="r2", location="/annotations/cells/r2", modified_ms=8, dataset="", name="")
        assert annotations.replace(newer, "r1")
        assert annotations.get(CELLS.id) == newer

    def test_a_revision_of_another_in_between_is_not_overwritten(self, annotations: Annotations) -> None:
        annotations.add(CELLS)
        second = replace(CELLS, revision="r2")
        assert annotations.replace(second, "r1")
        assert not annotations.replace(replace(CELLS, revision="r3"), "r1")
        assert annotations.get(CELLS.id) == second

    def test_what_is_not_there_is_not_replaced(self, annotations: Annotations) -> None:
        assert not annotations.replace(CELLS, "r1")
        assert annotations.get(CELLS.id) is None

    def test_annotations_are_listed_by_name(self, annotations: Annotations) -> None:
        records = [replace(CELLS, id=f"{n:024x}", name=name) for n, name in enumerate(("b", "a", "B", "a", "\u00e9"))]
        for record in records:
            annotations.add(record)
        assert annotations.all() == sorted(records, key=lambda record: (record.name, record.id))

    def test_a_removed_annotation_is_forgotten(self, annotations: Annotations) -> None:
        annotations.add(CELLS)
        assert annotations.remove(CELLS.id)
        assert annotations.get(CELLS.id) is None
        assert not annotations.remove(CELLS.id)
