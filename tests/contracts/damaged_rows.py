"""What every store keeps to whose rows can be spoilt by hand: a damaged row harms nothing but what it is about."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from dataclasses import replace

import pytest

from builders.spoilt_rows import Spoil
from contracts.annotations import CELLS
from contracts.job_store import job
from contracts.link_store import link
from contracts.users import ANNA, BEN
from zarrlink.catalogue.annotations import Annotations
from zarrlink.catalogue.changes import Changes
from zarrlink.catalogue.interface import Catalogue
from zarrlink.errors import DamagedRow
from zarrlink.jobs.interface import JobStore
from zarrlink.links.interface import LinkStore
from zarrlink.users.interface import User, Users

GARBAGE = "{garbage"


def told(caplog: pytest.LogCaptureFixture) -> str:
    """The one line that tells what was left out; nothing that stands in a row is in it."""
    (record,) = [record for record in caplog.records if record.name == "zarrlink"]
    assert record.levelno == logging.ERROR
    sentence = record.getMessage()
    assert GARBAGE not in sentence
    caplog.clear()
    return sentence


def assert_damaged(error: DamagedRow, kind: str, row_id: str) -> None:
    assert (error.row_kind, error.row_id) == (kind, row_id)
    assert str(error) == f"the row of this {kind} cannot be read"
    assert error.__cause__ is None
    assert error.__suppress_context__


class DamagedLinksContract(ABC):
    """Inherit it, and give fixtures of an empty `store` and a way to `spoil` its rows."""

    @pytest.fixture
    @abstractmethod
    def store(self) -> LinkStore: ...

    @pytest.fixture
    @abstractmethod
    def spoil(self) -> Spoil: ...

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("view", GARBAGE),
            ("view", "[]"),
            ("view", '{"dataset": 1, "layers": ["em"]}'),
            ("view", '{"dataset": "", "layers": [1]}'),
            ("view", '{"dataset": "", "layers": ["\\ud800"]}'),
            ("view", '{"dataset": "", "layers": ["em"], "mappings": {"em": 1}}'),
            ("view", '{"dataset": "", "layers": ["em"], "finestMag": [0, 1, 1]}'),
            ("geometry", GARBAGE),
            ("geometry", "[]"),
            ("geometry", '{"em": 1}'),
            ("expires_ms", -1),
            ("created_ms", 10**15),
        ],
    )
    def test_a_damaged_link_is_left_out_of_lists_and_told_of(
        self, store: LinkStore, spoil: Spoil, caplog: pytest.LogCaptureFixture, field: str, value: str | int
    ) -> None:
        for number in range(3):
            store.add(link(number))
        spoil(link(1).id, field, value)
        with pytest.raises(DamagedRow) as raised:
            store.get(link(1).id)
        assert_damaged(raised.value, "link", link(1).id)
        for owner in ("anna", None):
            assert store.of_owner(owner) == [link(2), link(0)]
            assert told(caplog) == f"damaged rows are left out: link {link(1).id}"
        assert dict(store.all()) == {link(0).id: link(0), link(1).id: None, link(2).id: link(2)}

    def test_a_damaged_link_is_still_its_owners(self, store: LinkStore, spoil: Spoil) -> None:
        for number, owner in enumerate(("anna", "anna", "ben")):
            store.add(link(number, owner=owner))
        spoil(link(1).id, "view", GARBAGE)
        spoil(link(2).id, "view", GARBAGE)
        assert sorted(store.ids_of("anna")) == [link(0).id, link(1).id]
        assert store.ids_of("ben") == [link(2).id]

    def test_a_damaged_link_is_revoked_as_any_other(self, store: LinkStore, spoil: Spoil) -> None:
        store.add(link(1))
        spoil(link(1).id, "view", GARBAGE)
        assert not store.revoke(link(1).id, "ben", 7)
        assert store.revoke(link(1).id, "anna", 7)
        assert not store.revoke(link(1).id, "anna", 8)
        assert store.of_owner("anna") == []
        assert store.ids_of("anna") == []
        spoil(link(1).id, "view", link(1).view.to_json())
        assert store.get(link(1).id) == link(1, revoked_ms=7)


class DamagedDatasetsContract(ABC):
    """Inherit it, and give fixtures of an empty `catalogue` and a way to `spoil` its rows."""

    @pytest.fixture
    @abstractmethod
    def catalogue(self) -> Catalogue: ...

    @pytest.fixture
    @abstractmethod
    def spoil(self) -> Spoil: ...

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("tags", GARBAGE),
            ("tags", "7"),
            ("tags", '[["a"]]'),
            ("collaborators", "[1]"),
            ("visibility", "secret"),
            ("created_ms", -1),
            ("is_renamed", 2),
        ],
    )
    def test_a_damaged_dataset_is_left_out_of_lists_and_told_of(
        self, catalogue: Catalogue, spoil: Spoil, caplog: pytest.LogCaptureFixture, field: str, value: str | int
    ) -> None:
        damaged, other = (catalogue.register(name, f"/{name}", 7) for name in ("em", "other"))
        spoil(damaged.id, field, value)
        with pytest.raises(DamagedRow) as raised:
            catalogue.get(damaged.id)
        assert_damaged(raised.value, "dataset", damaged.id)
        assert catalogue.all() == [other]
        assert told(caplog) == f"damaged rows are left out: dataset {damaged.id}"
        with pytest.raises(DamagedRow):
            catalogue.register("em", "/em", 8)
        assert catalogue.change(other.id, Changes(name="new")) == replace(other, name="new", is_renamed=True)

    def test_a_damaged_dataset_can_be_forgotten(self, catalogue: Catalogue, spoil: Spoil) -> None:
        damaged = catalogue.register("em", "/em", 7)
        spoil(damaged.id, "tags", GARBAGE)
        assert catalogue.remove(damaged.id)
        assert catalogue.get(damaged.id) is None
        again = catalogue.register("em", "/em", 7)
        assert catalogue.all() == [again]
        assert again.id != damaged.id


class DamagedUsersContract(ABC):
    """Inherit it, and give fixtures of no `users` and a way to `spoil` the row of a name."""

    @pytest.fixture
    @abstractmethod
    def users(self) -> Users: ...

    @pytest.fixture
    @abstractmethod
    def spoil(self) -> Spoil: ...

    @pytest.fixture(params=[("created_ms", -1), ("created_ms", 10**15), ("is_admin", 2), ("is_admin", -1)], ids=str)
    def damage(self, request: pytest.FixtureRequest, users: Users, spoil: Spoil) -> str:
        """Of the field of that name, in anna's row."""
        users.add(ANNA, "one")
        users.add(BEN, "two")
        field, value = request.param
        spoil("anna", field, value)
        return str(field)

    @pytest.mark.usefixtures("damage")
    def test_a_damaged_user_is_left_out_of_the_list_and_does_not_sign_in(
        self, users: Users, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert users.all() == [BEN]
        assert told(caplog) == "damaged rows are left out: user anna"
        with pytest.raises(DamagedRow) as raised:
            users.by_token_hash("one")
        assert_damaged(raised.value, "user", "anna")
        assert users.by_token_hash("two") == BEN

    @pytest.mark.usefixtures("damage")
    def test_a_damaged_user_is_removed_as_any_other(self, users: Users) -> None:
        assert users.has("anna")
        with pytest.raises(ValueError, match="anna"):
            users.add(ANNA, "three")
        assert users.remove("anna")
        assert not users.has("anna")
        assert users.by_token_hash("one") is None
        users.add(ANNA, "one")
        assert users.all() == [ANNA, BEN]

    def test_a_damaged_user_is_given_no_token(self, users: Users, damage: str, spoil: Spoil) -> None:
        with pytest.raises(DamagedRow) as raised:
            users.renew("anna", "three")
        assert_damaged(raised.value, "user", "anna")
        assert users.by_token_hash("three") is None
        if damage == "created_ms":
            spoil("anna", damage, ANNA.created_ms)
            assert users.by_token_hash("one") == ANNA

    @pytest.mark.parametrize("is_admin", [True, False])
    def test_who_is_made_an_admin_or_none_is_that_whatever_stood_there(
        self, users: Users, damage: str, is_admin: bool
    ) -> None:
        if damage == "is_admin":
            assert users.set_admin("anna", is_admin=is_admin)
            assert users.by_token_hash("one") == User("anna", 7, is_admin=is_admin)
            return
        with pytest.raises(DamagedRow) as raised:
            users.set_admin("anna", is_admin=is_admin)
        assert_damaged(raised.value, "user", "anna")


class DamagedAnnotationsContract(ABC):
    """Inherit it, and give fixtures of empty `annotations` and a way to `spoil` their rows."""

    @pytest.fixture
    @abstractmethod
    def annotations(self) -> Annotations: ...

    @pytest.fixture
    @abstractmethod
    def spoil(self) -> Spoil: ...

    def test_a_damaged_annotation_is_left_out_of_lists_told_of_and_can_be_forgotten(
        self, annotations: Annotations, spoil: Spoil, caplog: pytest.LogCaptureFixture
    ) -> None:
        other = replace(CELLS, id="1" * 24)
        for record in (CELLS, other):
            annotations.add(record)
        spoil(CELLS.id, "tags", GARBAGE)
        with pytest.raises(DamagedRow) as raised:
            annotations.get(CELLS.id)
        assert_damaged(raised.value, "annotation", CELLS.id)
        assert annotations.all() == [other]
        assert told(caplog) == f"damaged rows are left out: annotation {CELLS.id}"
        assert annotations.remove(CELLS.id)
        assert annotations.get(CELLS.id) is None


class DamagedJobsContract(ABC):
    """Inherit it, and give fixtures of an empty `store` and a way to `spoil` its rows."""

    @pytest.fixture
    @abstractmethod
    def store(self) -> JobStore: ...

    @pytest.fixture
    @abstractmethod
    def spoil(self) -> Spoil: ...

    @pytest.mark.parametrize(("field", "value"), [("kind", GARBAGE), ("expires_ms", -1)])
    def test_a_damaged_job_is_left_out_of_lists_and_told_of(
        self, store: JobStore, spoil: Spoil, caplog: pytest.LogCaptureFixture, field: str, value: str | int
    ) -> None:
        for number in range(3):
            store.add(job(number))
        spoil(job(1).id, field, value)
        with pytest.raises(DamagedRow) as raised:
            store.get(job(1).id)
        assert_damaged(raised.value, "job", job(1).id)
        for found in (store.of_owner(job().owner), store.running(), store.running(job().owner)):
            assert {known.id for known in found} == {job(0).id, job(2).id}
        assert {record.getMessage() for record in caplog.records} == {f"damaged rows are left out: job {job(1).id}"}
        # Its owner's other jobs go on.
        assert store.add(job(3), at_most=9) == job(3)
        assert store.start(job(2).id, 1, 5)
