"""What every `Catalogue` keeps to."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import replace

import pytest

from zarrlink.catalogue.changes import MAX_DESCRIPTION, Changes
from zarrlink.catalogue.interface import Catalogue, DatasetRecord

SAID = Changes(
    name="Mouse \u00b5CT",
    description='two\nlines, it\'s "quoted"; \U0001f9e0',
    tags=("hippocampus", "EM, 4 nm", "\u4e2d"),
    visibility="private",
    collaborators=("ben", "o@example.org"),
)


class CatalogueContract(ABC):
    """Inherit it, and give a `catalogue` fixture."""

    @pytest.fixture
    @abstractmethod
    def catalogue(self) -> Catalogue:
        """An empty catalogue."""

    def test_a_registered_dataset_is_found_by_its_id(self, catalogue: Catalogue) -> None:
        record = catalogue.register("em", "/data/em", 7)
        assert (record.name, record.location, record.created_ms) == ("em", "/data/em", 7)
        assert catalogue.get(record.id) == record

    def test_an_id_is_24_hex_digits_as_that_of_webknossos(self, catalogue: Catalogue) -> None:
        assert re.fullmatch(r"[0-9a-f]{24}", catalogue.register("em", "/data/em", 7).id)

    def test_an_unknown_id_is_none(self, catalogue: Catalogue) -> None:
        catalogue.register("em", "/data/em", 7)
        assert catalogue.get("0" * 24) is None
        assert catalogue.get("") is None

    def test_a_location_registered_again_keeps_its_id_and_takes_the_new_name(self, catalogue: Catalogue) -> None:
        first = catalogue.register("em", "/data/em", 7)
        again = catalogue.register("renamed", "/data/em", 8)
        assert again == DatasetRecord(first.id, "renamed", "/data/em", 7)
        assert catalogue.all() == [again]

    def test_two_datasets_may_have_one_name(self, catalogue: Catalogue) -> None:
        records = [catalogue.register("em", location, 7) for location in ("/a", "/b")]
        assert catalogue.all() == sorted(records, key=lambda record: record.id)

    def test_datasets_are_listed_by_name(self, catalogue: Catalogue) -> None:
        for name in ("b", "a", "c", "B", "\u00e9", "z"):
            catalogue.register(name, f"/data/{name}", 7)
        assert [record.name for record in catalogue.all()] == ["B", "a", "b", "c", "z", "\u00e9"]

    def test_a_removed_dataset_is_forgotten(self, catalogue: Catalogue) -> None:
        record = catalogue.register("em", "/data/em", 7)
        kept = catalogue.register("seg", "/data/seg", 7)
        assert catalogue.remove(record.id)
        assert catalogue.get(record.id) is None
        assert catalogue.all() == [kept]

    def test_removing_what_is_not_there_says_so(self, catalogue: Catalogue) -> None:
        assert not catalogue.remove("0" * 24)

    def test_a_location_that_was_removed_comes_back_under_a_new_id(self, catalogue: Catalogue) -> None:
        record = catalogue.register("em", "/data/em", 7)
        catalogue.remove(record.id)
        # Links to the old dataset must not come back to life.
        assert catalogue.register("em", "/data/em", 8).id != record.id

    # --- what people say ---

    def test_nothing_is_said_of_a_folder_that_was_found(self, catalogue: Catalogue) -> None:
        record = catalogue.register("em", "/data/em", 7)
        assert record == DatasetRecord(record.id, "em", "/data/em", 7)
        assert (record.owner, record.visibility, record.collaborators) == ("", "organization", ())

    def test_a_dataset_can_be_registered_with_all_that_is_said_of_it(self, catalogue: Catalogue) -> None:
        record = catalogue.register("em", "/data/em", 7, owner="ann", about=SAID)
        assert record == DatasetRecord(
            record.id, location="/data/em", created_ms=7, is_renamed=True, owner="ann", **SAID.given()
        )
        assert catalogue.get(record.id) == record
        assert catalogue.all() == [record]

    def test_everything_can_be_said_later(self, catalogue: Catalogue) -> None:
        record = catalogue.register("em", "/data/em", 7, owner="ann")
        changed = catalogue.change(record.id, SAID)
        assert changed == replace(record, is_renamed=True, **SAID.given())
        assert catalogue.get(record.id) == changed

    @pytest.mark.parametrize("field", ["name", "description", "tags", "visibility", "collaborators"])
    def test_a_change_changes_what_it_names_and_nothing_else(self, catalogue: Catalogue, field: str) -> None:
        record = catalogue.register("em", "/data/em", 7, owner="ann", about=SAID)
        other = catalogue.register("seg", "/data/seg", 7)
        new = {"name": "x", "description": "", "tags": (), "visibility": "public", "collaborators": ()}[field]
        assert catalogue.change(record.id, Changes(**{field: new})) == replace(record, **{field: new})
        assert catalogue.get(record.id) == replace(record, **{field: new})
        assert catalogue.get(other.id) == other

    def test_a_change_of_nothing_changes_nothing(self, catalogue: Catalogue) -> None:
        record = catalogue.register("em", "/data/em", 7)
        assert catalogue.change(record.id, Changes()) == record

    def test_what_is_not_there_is_not_changed(self, catalogue: Catalogue) -> None:
        catalogue.register("em", "/data/em", 7)
        for unknown in ("0" * 24, "", "location#0"):
            assert catalogue.change(unknown, SAID) is None
        assert len(catalogue.all()) == 1

    def test_a_location_registered_again_keeps_what_was_said(self, catalogue: Catalogue) -> None:
        record = catalogue.register("em", "/data/em", 7, owner="ann", about=SAID)
        again = catalogue.register("folder", "/data/em", 8, owner="ben", about=Changes(visibility="public"))
        assert again == record
        assert catalogue.get(record.id) == record

    def test_a_name_that_somebody_gave_does_not_follow_the_folder(self, catalogue: Catalogue) -> None:
        record = catalogue.register("em", "/data/em", 7)
        catalogue.change(record.id, Changes(tags=("x",)))
        assert catalogue.register("moved", "/data/em", 8).name == "moved"
        catalogue.change(record.id, Changes(name="ours"))
        assert catalogue.register("again", "/data/em", 9).name == "ours"

    def test_long_descriptions_are_kept(self, catalogue: Catalogue) -> None:
        record = catalogue.register("em", "/data/em", 7)
        catalogue.change(record.id, Changes(description="\u4e2d" * MAX_DESCRIPTION))
        found = catalogue.get(record.id)
        assert found is not None
        assert found.description == "\u4e2d" * MAX_DESCRIPTION

    # --- files that were exchanged ---

    def test_a_new_dataset_is_at_its_first_revision(self, catalogue: Catalogue) -> None:
        assert catalogue.register("em", "/data/em", 7).revision == 1

    def test_exchanged_files_raise_the_revision_and_nothing_else(self, catalogue: Catalogue) -> None:
        record = catalogue.register("em", "/data/em", 7, owner="ann", about=SAID)
        other = catalogue.register("seg", "/data/seg", 7)
        assert catalogue.revise(record.id) == replace(record, revision=2)
        assert catalogue.revise(record.id) == replace(record, revision=3)
        assert catalogue.get(record.id) == replace(record, revision=3)
        assert catalogue.get(other.id) == other

    def test_what_is_said_and_registered_later_leaves_the_revision(self, catalogue: Catalogue) -> None:
        record = catalogue.register("em", "/data/em", 7)
        catalogue.revise(record.id)
        catalogue.change(record.id, SAID)
        assert catalogue.register("em", "/data/em", 8).revision == 2

    def test_what_is_not_there_has_no_revision_to_raise(self, catalogue: Catalogue) -> None:
        catalogue.register("em", "/data/em", 7)
        for unknown in ("0" * 24, "", "location#0"):
            assert catalogue.revise(unknown) is None
        assert len(catalogue.all()) == 1
