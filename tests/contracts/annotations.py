"""What every `Annotations` keeps to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace

import pytest

from zarrlink.catalogue.annotations import AnnotationRecord, Annotations
from zarrlink.catalogue.changes import Changes

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

SAID = Changes(
    name="axons", description="two\nlines", tags=("a", "b, c"), visibility="public", collaborators=("ben", "cy")
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
        assert annotations.revise(newer, "r1") == newer
        assert annotations.get(CELLS.id) == newer

    def test_a_revision_of_another_in_between_is_not_overwritten(self, annotations: Annotations) -> None:
        annotations.add(CELLS)
        second = replace(CELLS, revision="r2")
        assert annotations.revise(second, "r1") == second
        assert annotations.revise(replace(CELLS, revision="r3"), "r1") is None
        assert annotations.get(CELLS.id) == second

    def test_a_revision_leaves_what_was_said_since_it_was_begun(self, annotations: Annotations) -> None:
        annotations.add(CELLS)
        begun = replace(CELLS, revision="r2", modified_ms=8, owner="ben", created_ms=8)
        annotations.change(CELLS.id, SAID)
        revised = replace(CELLS, **{**SAID.given(), "name": CELLS.name}, revision="r2", modified_ms=8)
        assert annotations.revise(begun, "r1") == revised
        assert annotations.get(CELLS.id) == revised

    def test_what_is_not_there_is_not_revised(self, annotations: Annotations) -> None:
        assert annotations.revise(CELLS, "r1") is None
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

    # --- what people say ---

    def test_an_annotation_comes_back_with_all_that_is_said_of_it(self, annotations: Annotations) -> None:
        annotations.add(replace(CELLS, **SAID.given()))
        assert annotations.get(CELLS.id) == replace(CELLS, **SAID.given())
        assert annotations.all() == [replace(CELLS, **SAID.given())]

    def test_everything_can_be_said_later(self, annotations: Annotations) -> None:
        annotations.add(CELLS)
        assert annotations.change(CELLS.id, SAID) == replace(CELLS, **SAID.given())
        assert annotations.get(CELLS.id) == replace(CELLS, **SAID.given())

    @pytest.mark.parametrize("field", ["name", "description", "tags", "visibility", "collaborators"])
    def test_a_change_changes_what_it_names_and_nothing_else(self, annotations: Annotations, field: str) -> None:
        record, other = replace(CELLS, **SAID.given()), replace(CELLS, id="1" * 24)
        annotations.add(record)
        annotations.add(other)
        new = {"name": "x", "description": "", "tags": (), "visibility": "organization", "collaborators": ()}[field]
        assert annotations.change(CELLS.id, Changes(**{field: new})) == replace(record, **{field: new})
        assert annotations.get(CELLS.id) == replace(record, **{field: new})
        assert annotations.get(other.id) == other

    def test_a_change_of_nothing_changes_nothing(self, annotations: Annotations) -> None:
        annotations.add(CELLS)
        assert annotations.change(CELLS.id, Changes()) == CELLS

    def test_what_is_not_there_is_not_changed(self, annotations: Annotations) -> None:
        assert annotations.change(CELLS.id, SAID) is None
        assert annotations.all() == []
