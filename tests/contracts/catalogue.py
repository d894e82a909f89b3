"""What every `Catalogue` keeps to."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod

import pytest

from zarrlink.catalogue.interface import Catalogue, DatasetRecord


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
