"""The adapters over DynamoDB: the contracts against moto, and what only a service does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError, ReadTimeoutError

from builders.canned import NOTHING, CannedServer, answer
from builders.moto_aws import REGION, MotoAws, moto_aws
from builders.spoilt_rows import Spoil, in_dynamodb, put
from contracts.annotations import CELLS as ANNOTATION
from contracts.annotations import AnnotationsContract
from contracts.catalogue import CatalogueContract
from contracts.damaged_rows import (
    DamagedAnnotationsContract,
    DamagedDatasetsContract,
    DamagedLinksContract,
    DamagedUsersContract,
    told,
)
from contracts.link_store import CREATED_MS, LinkStoreContract, link
from contracts.users import ANNA, BEN, UsersContract
from zarrlink import dynamodb_table
from zarrlink.aws_tables import ANNOTATIONS, CATALOGUE, LINKS, LINKS_TIME_TO_LIVE, USERS
from zarrlink.catalogue.annotations import Annotations
from zarrlink.catalogue.annotations_dynamodb import DynamoAnnotations
from zarrlink.catalogue.changes import Changes
from zarrlink.catalogue.dynamodb import DynamoCatalogue
from zarrlink.catalogue.interface import Catalogue, DatasetRecord
from zarrlink.catalogue.uploads_dynamodb import DynamoUploads, UploadRecord
from zarrlink.dynamodb_table import DynamoTable
from zarrlink.errors import DamagedRow, SourceUnavailable
from zarrlink.links.dynamodb import KEPT_S, DynamoLinks
from zarrlink.links.interface import LinkStore
from zarrlink.links.model import Uses
from zarrlink.users.dynamodb import DynamoUsers
from zarrlink.users.interface import Users


@pytest.fixture(scope="module")
def aws() -> Iterator[MotoAws]:
    with moto_aws() as server:
        yield server


@pytest.fixture
def client(aws: MotoAws) -> Any:
    return aws.client("dynamodb")


class TestDynamoLinks(LinkStoreContract, DamagedLinksContract):
    @pytest.fixture
    def table(self, aws: MotoAws) -> str:
        return aws.new_table(LINKS)

    @pytest.fixture
    def store(self, aws: MotoAws, table: str) -> LinkStore:
        return DynamoLinks(aws.client("dynamodb"), table)

    @pytest.fixture
    def spoil(self, aws: MotoAws, table: str) -> Spoil:
        return in_dynamodb(aws.client("dynamodb"), table)


class TestDynamoCatalogue(CatalogueContract, DamagedDatasetsContract):
    @pytest.fixture
    def table(self, aws: MotoAws) -> str:
        return aws.new_table(CATALOGUE)

    @pytest.fixture
    def catalogue(self, aws: MotoAws, table: str) -> Catalogue:
        return DynamoCatalogue(aws.client("dynamodb"), table)

    @pytest.fixture
    def spoil(self, aws: MotoAws, table: str) -> Spoil:
        return in_dynamodb(aws.client("dynamodb"), table)


class TestDynamoAnnotations(AnnotationsContract, DamagedAnnotationsContract):
    @pytest.fixture
    def table(self, aws: MotoAws) -> str:
        return aws.new_table(ANNOTATIONS)

    @pytest.fixture
    def annotations(self, aws: MotoAws, table: str) -> Annotations:
        return DynamoAnnotations(aws.client("dynamodb"), table)

    @pytest.fixture
    def spoil(self, aws: MotoAws, table: str) -> Spoil:
        return in_dynamodb(aws.client("dynamodb"), table)


class TestDynamoUsers(UsersContract, DamagedUsersContract):
    @pytest.fixture
    def table(self, aws: MotoAws) -> str:
        return aws.new_table(USERS)

    @pytest.fixture
    def users(self, aws: MotoAws, table: str) -> Users:
        return DynamoUsers(aws.client("dynamodb"), table)

    @pytest.fixture
    def spoil(self, aws: MotoAws, table: str) -> Spoil:
        return in_dynamodb(aws.client("dynamodb"), table, "user#")


# --- clients that do more than pass calls on ---


class Between:
    """Calls `before` with an operation and its number ahead of each call; what that raises is the call's outcome.

    One call at a time, as DynamoDB orders writes to a row (moto's threads do not).
    """

    def __init__(self, client: Any, before: Callable[[str, int], None] = lambda *_: None) -> None:
        self._client, self._before, self._lock = client, before, threading.RLock()
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        def call(**request: Any) -> Any:
            with self._lock:
                self.calls.append((operation, request))
                self._before(operation, sum(name == operation for name, _ in self.calls))
                return getattr(self._client, operation)(**request)

        return call


def client_error(code: str, **more: Any) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "words"}, **more}, "operation")


def cancelled(*codes: str) -> ClientError:
    return client_error("TransactionCanceledException", CancellationReasons=[{"Code": code} for code in codes])


def failing(client: Any, error: Exception, times: int = 10**9) -> Between:
    left = [times]

    def fail(*_: object) -> None:
        if left[0]:
            left[0] -= 1
            raise error

    return Between(client, fail)


def together(*works: Callable[[], object]) -> None:
    """All at once, each in a thread; raises the first trouble."""
    with ThreadPoolExecutor(len(works)) as pool:
        for done in [pool.submit(work) for work in works]:
            done.result()


# --- links ---


def stored(client: Any, table: str, key: str) -> dict[str, Any]:
    return dict(client.get_item(TableName=table, Key={"id": {"S": key}})["Item"])


ODD_VALUES = {
    "a fraction": {"N": "1.5"},
    "a truth value": {"BOOL": True},
    "nothing": {"NULL": True},
    "a list": {"L": []},
    "bytes": {"B": b"{"},
    "numbers": {"NS": ["1", "2"]},
    "fractions": {"NS": ["1.5"]},
}


@pytest.mark.parametrize("odd", ODD_VALUES)
def test_values_that_we_never_write_damage_their_own_row_alone(aws: MotoAws, odd: str) -> None:
    client, table = aws.client("dynamodb"), aws.new_table(LINKS)
    links = DynamoLinks(client, table)
    for number, field in enumerate(("note", "expires_ms", "revoked_ms", "uses")):
        links.add(link(number))
        put(client, table, link(number).id, field, ODD_VALUES[odd])
    links.add(link(9))
    assert links.of_owner("anna") == links.of_owner(None) == [link(9)]
    assert [found for _, found in links.all() if found is not None] == [link(9)]


def test_a_row_without_a_field_or_with_another_type_is_damaged(aws: MotoAws) -> None:
    client, table = aws.client("dynamodb"), aws.new_table(LINKS)
    links = DynamoLinks(client, table)
    for number in range(3):
        links.add(link(number))
    client.update_item(TableName=table, Key={"id": {"S": link(0).id}}, UpdateExpression="REMOVE geometry")
    put(client, table, link(1).id, "name", {"N": "1"})
    assert links.of_owner(None) == [link(2)]
    with pytest.raises(DamagedRow):
        links.get(link(0).id)


def test_uses_of_links_are_counted_whatever_stands_in_another(aws: MotoAws) -> None:
    client, table = aws.client("dynamodb"), aws.new_table(LINKS)
    links = DynamoLinks(client, table)
    for number in range(3):
        links.add(link(number))
    put(client, table, link(0).id, "uses", {"S": "many"})
    for last_ms in (6, 5):
        links.count({link(number).id: Uses(2, last_ms) for number in range(3)})
    assert stored(client, table, link(0).id)["uses"] == {"S": "many"}
    assert links.of_owner("anna") == [link(number, uses=4, last_used_ms=6) for number in (2, 1)]


NO_FLAGS = {
    "no": {"BOOL": False},
    "yes": {"BOOL": True},
    "nothing": {"NULL": True},
    "zero": {"N": "0"},
    "half": {"N": "0.5"},
    "one and a half": {"N": "1.5"},
    "two": {"N": "2"},
    "words": {"S": "1"},
    "numbers": {"NS": ["1"]},
}


@pytest.mark.parametrize("odd", NO_FLAGS.values(), ids=NO_FLAGS)
@pytest.mark.parametrize("row_id", ["user#anna", "token#one"])
def test_what_is_no_flag_makes_nobody_an_admin(aws: MotoAws, row_id: str, odd: dict[str, Any]) -> None:
    client, table = aws.client("dynamodb"), aws.new_table(USERS)
    users = DynamoUsers(client, table)
    users.add(ANNA, "one")
    put(client, table, row_id, "is_admin", odd)
    with pytest.raises(DamagedRow) as raised:
        users.by_token_hash("one")
    assert (raised.value.row_kind, raised.value.row_id) == ("user", "anna")
    assert users.all() == ([] if row_id == "user#anna" else [ANNA])
    assert users.set_admin("anna", is_admin=False)
    assert users.by_token_hash("one") == ANNA


@pytest.mark.parametrize("odd", NO_FLAGS.values(), ids=NO_FLAGS)
def test_what_is_no_flag_says_nothing_of_a_name(aws: MotoAws, odd: dict[str, Any]) -> None:
    client, table = aws.client("dynamodb"), aws.new_table(CATALOGUE)
    catalogue = DynamoCatalogue(client, table)
    record = catalogue.register("em", "s3://b/em", 7)
    put(client, table, record.id, "is_renamed", odd)
    with pytest.raises(DamagedRow):
        catalogue.get(record.id)
    assert catalogue.all() == []
    assert stored(client, table, record.id)["is_renamed"] == odd


def test_the_row_of_a_token_makes_nobody_an_admin_who_is_none(aws: MotoAws) -> None:
    client, table = aws.client("dynamodb"), aws.new_table(USERS)
    users = DynamoUsers(client, table)
    users.add(ANNA, "one")
    put(client, table, "token#one", "is_admin", {"N": "1"})
    assert users.by_token_hash("one") == ANNA


# Of a user's row: what stands in its place, or None where it is taken away.
DAMAGED_USERS = {
    "no token": ("token_hash", None),
    "a token of nothing": ("token_hash", {"NULL": True}),
    "a number for a token": ("token_hash", {"N": "1"}),
    "no name": ("name", None),
    "another name": ("name", {"S": "ben"}),
    "a number for a name": ("name", {"N": "1"}),
    "no time": ("created_ms", None),
    "words for a time": ("created_ms", {"S": "{garbage"}),
}


@pytest.mark.parametrize(("field", "odd"), DAMAGED_USERS.values(), ids=DAMAGED_USERS)
def test_a_damaged_user_is_named_by_its_key_does_not_sign_in_and_is_removed(
    aws: MotoAws, caplog: pytest.LogCaptureFixture, field: str, odd: dict[str, Any] | None
) -> None:
    client, table = aws.client("dynamodb"), aws.new_table(USERS)
    users = DynamoUsers(client, table)
    users.add(ANNA, "one")
    users.add(BEN, "two")
    spoil_or_take(client, table, "user#anna", field, odd)
    assert users.all() == [BEN]
    assert told(caplog) == "damaged rows are left out: user anna"
    for needs_it in (
        lambda: users.by_token_hash("one"),
        lambda: users.renew("anna", "three"),
        lambda: users.set_admin("anna", is_admin=True),
    ):
        with pytest.raises(DamagedRow) as raised:
            needs_it()
        assert raised.value.row_id == "anna"
    assert users.has("anna")
    assert users.remove("anna")
    assert not users.remove("anna")
    # Also where nothing leads to the token's row any more.
    assert users.by_token_hash("one") is None
    users.add(ANNA, "three")
    assert users.by_token_hash("one") is None
    assert users.by_token_hash("three") == ANNA
    assert users.all() == [ANNA, BEN]


@pytest.mark.parametrize(
    ("field", "odd", "name"),
    [
        ("created_ms", {"S": "{garbage"}, "anna"),
        ("created_ms", None, "anna"),
        ("name", {"N": "1"}, "unknown"),
        ("name", None, "unknown"),
    ],
    ids=str,
)
def test_a_damaged_token_signs_nobody_in_and_can_be_renewed(
    aws: MotoAws, field: str, odd: dict[str, Any] | None, name: str
) -> None:
    client, table = aws.client("dynamodb"), aws.new_table(USERS)
    users = DynamoUsers(client, table)
    users.add(ANNA, "one")
    spoil_or_take(client, table, "token#one", field, odd)
    with pytest.raises(DamagedRow) as raised:
        users.by_token_hash("one")
    # Never what tokens are looked up by.
    assert raised.value.row_id == name
    assert users.all() == [ANNA]
    assert users.renew("anna", "two")
    assert [users.by_token_hash(token) for token in ("one", "two")] == [None, ANNA]
    assert users.remove("anna")
    assert client.scan(TableName=table)["Items"] == []


def test_a_user_whose_token_has_no_row_is_changed_renewed_and_removed(aws: MotoAws) -> None:
    client, table = aws.client("dynamodb"), aws.new_table(USERS)
    users = DynamoUsers(client, table)
    users.add(ANNA, "one")
    for lost, kept in (("one", "two"), ("two", "three")):
        client.delete_item(TableName=table, Key={"id": {"S": f"token#{lost}"}})
        assert users.by_token_hash(lost) is None
        assert users.set_admin("anna", is_admin=True)
        assert users.renew("anna", kept)
        assert users.by_token_hash(kept) == replace(ANNA, is_admin=True)
    client.delete_item(TableName=table, Key={"id": {"S": "token#three"}})
    assert users.remove("anna")


def test_a_token_that_was_given_to_another_by_hand_is_nobodys_and_stays_anothers(aws: MotoAws) -> None:
    client, table = aws.client("dynamodb"), aws.new_table(USERS)
    users = DynamoUsers(client, table)
    users.add(ANNA, "one")
    users.add(BEN, "two")
    put(client, table, "user#anna", "token_hash", {"S": "two"})
    assert [users.by_token_hash(token) for token in ("one", "two")] == [None, BEN]
    assert users.set_admin("anna", is_admin=True)
    assert users.by_token_hash("two") == BEN
    assert users.remove("anna")
    assert users.by_token_hash("two") == BEN
    put(client, table, "token#two", "name", {"S": "anna"})
    users.add(ANNA, "three")
    assert users.by_token_hash("two") is None


def test_rows_of_other_kinds_are_nobody_and_no_dataset(aws: MotoAws, caplog: pytest.LogCaptureFixture) -> None:
    client, users_table, datasets_table = aws.client("dynamodb"), aws.new_table(USERS), aws.new_table(CATALOGUE)
    users, catalogue = DynamoUsers(client, users_table), DynamoCatalogue(client, datasets_table)
    users.add(ANNA, "one")
    record = catalogue.register("em", "s3://b/em", 7)
    for odd in ODD_VALUES.values():
        for table, fields in ((users_table, ("name", "token_hash")), (datasets_table, ("location", "dataset"))):
            for row_id in ("settings", "token#", "location#0", f"upload-{'0' * 24}"):
                client.put_item(TableName=table, Item={"id": {"S": row_id}, **dict.fromkeys(fields, odd)})
        put(client, datasets_table, place_of(client, datasets_table, record.id), "name", odd)
        assert users.all() == [ANNA]
        assert catalogue.all() == [record]
    assert caplog.messages == []


def spoil_or_take(client: Any, table: str, row_id: str, field: str, odd: dict[str, Any] | None) -> None:
    if odd is not None:
        put(client, table, row_id, field, odd)
        return
    client.update_item(
        TableName=table,
        Key={"id": {"S": row_id}},
        UpdateExpression="REMOVE #field",
        ExpressionAttributeNames={"#field": field},
    )


def place_of(client: Any, table: str, dataset_id: str) -> str:
    """The key of the row that leads to a dataset from its location."""
    rows = client.scan(TableName=table)["Items"]
    (key,) = [row["id"]["S"] for row in rows if row.get("dataset") == {"S": dataset_id}]
    return str(key)


def test_a_damaged_upload_is_told_by_its_own_id(aws: MotoAws) -> None:
    client, table = aws.client("dynamodb"), aws.new_table(ANNOTATIONS)
    uploads = DynamoUploads(client, table)
    uploads.add(UploadRecord("0" * 24, "ann", "cells.zip", 10, "", ANNOTATION.id, "multipart", 7))
    put(client, table, f"upload-{'0' * 24}", "length", {"S": "10"})
    with pytest.raises(DamagedRow) as raised:
        uploads.get("0" * 24)
    assert (raised.value.row_kind, raised.value.row_id) == ("upload", f"upload-{'0' * 24}")


def test_all_links_of_an_owner_are_listed_however_many_pages_they_fill(aws: MotoAws) -> None:
    client = Between(aws.client("dynamodb"))
    links = DynamoLinks(client, aws.new_table(LINKS))
    many = [link(number, note="x" * 300_000) for number in range(9)]
    for one in many:
        links.add(one)
    links.add(link(99, owner="ben", note="x" * 300_000))
    assert links.of_owner("anna") == many[::-1]
    assert len(links.of_owner(None)) == 10
    pages = [operation for operation, _ in client.calls if operation != "put_item"]
    assert min(pages.count("query"), pages.count("scan")) > 1


def test_a_page_of_nothing_but_revoked_links_is_not_the_end(aws: MotoAws) -> None:
    links = DynamoLinks(aws.client("dynamodb"), aws.new_table(LINKS))
    links.add(link(0))
    for number in range(1, 9):
        links.add(link(number, note="x" * 300_000))
        links.revoke(link(number).id, None, 7)
    assert links.of_owner("anna") == [link(0)]


def test_a_link_is_read_as_of_the_last_change(aws: MotoAws) -> None:
    """moto has no replicas, so the request has to tell."""
    client = Between(aws.client("dynamodb"))
    DynamoLinks(client, aws.new_table(LINKS)).get(link(1).id)
    assert [(operation, request["ConsistentRead"]) for operation, request in client.calls] == [("get_item", True)]


def test_no_change_of_many_threads_is_lost(aws: MotoAws) -> None:
    links = DynamoLinks(Between(aws.client("dynamodb")), aws.new_table(LINKS))
    links.add(link(1))
    together(
        lambda: [links.change(link(1).id, "anna", name=f"name {number}") for number in range(20)],
        lambda: [links.change(link(1).id, "anna", note=f"note {number}") for number in range(20)],
        lambda: [links.change(link(1).id, "anna", expires_ms=number) for number in range(20)],
        lambda: [links.add(link(100 + number)) for number in range(20)],
    )
    assert links.get(link(1).id) == link(1, name="name 19", note="note 19", expires_ms=19)
    assert len(links.of_owner("anna")) == 21


def test_of_many_that_want_one_thing_one_gets_it(aws: MotoAws) -> None:
    links = DynamoLinks(Between(aws.client("dynamodb")), aws.new_table(LINKS))
    added: list[str] = []
    revoked: list[bool] = []

    def add(owner: str) -> None:
        try:
            links.add(link(1, owner=owner))
        except ValueError:
            return
        added.append(owner)

    together(*(lambda owner=owner: add(owner) for owner in "abcdef"))
    together(*(lambda now=now: revoked.append(links.revoke(link(1).id, None, now)) for now in range(6)))
    assert len(added) == 1
    found = links.get(link(1).id)
    assert found is not None
    assert found.owner == added[0]
    assert sorted(revoked) == [False] * 5 + [True]


# --- time to live ---


def ttl(client: Any, table: str) -> int | None:
    item = stored(client, table, link(1).id)
    return int(item["ttl"]["N"]) if "ttl" in item else None


def test_a_row_outlives_its_link_by_thirty_days(aws: MotoAws, client: Any) -> None:
    table = aws.new_table(LINKS)
    DynamoLinks(client, table).add(link(1, expires_ms=CREATED_MS + 999))
    assert ttl(client, table) == CREATED_MS // 1000 + 30 * 24 * 3600


def test_the_row_of_a_link_that_never_expires_stays(aws: MotoAws, client: Any) -> None:
    table = aws.new_table(LINKS)
    DynamoLinks(client, table).add(link(1, expires_ms=None))
    assert ttl(client, table) is None


def test_the_end_of_a_row_follows_the_end_of_its_link(aws: MotoAws, client: Any) -> None:
    table = aws.new_table(LINKS)
    links = DynamoLinks(client, table)
    links.add(link(1))
    links.change(link(1).id, None, expires_ms=5000)
    assert ttl(client, table) == 5 + KEPT_S
    links.change(link(1).id, None, name="new")
    assert ttl(client, table) == 5 + KEPT_S
    links.change(link(1).id, None, expires_ms=None)
    assert ttl(client, table) is None


def test_the_row_of_a_revoked_link_goes_too(aws: MotoAws, client: Any) -> None:
    table = aws.new_table(LINKS)
    links = DynamoLinks(client, table)
    links.add(link(1, expires_ms=None))
    links.revoke(link(1).id, None, 7000)
    assert ttl(client, table) == 7 + KEPT_S


def test_the_row_of_a_revoked_link_stays_no_longer_than_it_would_have(aws: MotoAws, client: Any) -> None:
    table = aws.new_table(LINKS)
    links = DynamoLinks(client, table)
    links.add(link(1, expires_ms=5000))
    links.revoke(link(1).id, None, 7000)
    assert ttl(client, table) == 5 + KEPT_S


def test_the_table_cleans_up_by_the_attribute_that_is_written(aws: MotoAws, client: Any) -> None:
    table = aws.new_table(LINKS)
    client.update_time_to_live(TableName=table, TimeToLiveSpecification=LINKS_TIME_TO_LIVE)
    DynamoLinks(client, table).add(link(1))
    assert LINKS_TIME_TO_LIVE["AttributeName"] in stored(client, table, link(1).id)


# --- catalogue ---


def test_two_that_register_one_location_at_once_get_one_id(aws: MotoAws) -> None:
    table = aws.new_table(CATALOGUE)
    other = DynamoCatalogue(aws.client("dynamodb"), table)

    def before(operation: str, number: int) -> None:
        if (operation, number) == ("transact_write_items", 1):
            other.register("theirs", "s3://b/em", 7)

    record = DynamoCatalogue(Between(aws.client("dynamodb"), before), table).register("ours", "s3://b/em", 8)
    assert (record.name, record.created_ms) == ("ours", 7)
    assert other.all() == [record]


def test_a_location_removed_while_it_is_registered_is_registered_anew(aws: MotoAws) -> None:
    table = aws.new_table(CATALOGUE)
    other = DynamoCatalogue(aws.client("dynamodb"), table)
    old = other.register("old", "s3://b/em", 7)

    def before(operation: str, number: int) -> None:
        if (operation, number) == ("update_item", 1):
            assert other.remove(old.id)

    record = DynamoCatalogue(Between(aws.client("dynamodb"), before), table).register("new", "s3://b/em", 8)
    assert record.id != old.id
    assert other.all() == [record] == [DatasetRecord(record.id, "new", "s3://b/em", 8)]


def test_a_row_from_before_there_were_revisions_is_at_the_first(aws: MotoAws) -> None:
    client, table = aws.client("dynamodb"), aws.new_table(CATALOGUE)
    catalogue = DynamoCatalogue(client, table)
    record = catalogue.register("em", "s3://b/em", 7)
    client.update_item(TableName=table, Key={"id": {"S": record.id}}, UpdateExpression="REMOVE revision")
    assert catalogue.get(record.id) == record
    assert catalogue.revise(record.id) == replace(record, revision=2) == catalogue.get(record.id)


def test_a_dataset_is_removed_by_one_alone(aws: MotoAws) -> None:
    table = aws.new_table(CATALOGUE)
    other = DynamoCatalogue(aws.client("dynamodb"), table)
    old = other.register("em", "s3://b/em", 7)
    came_after: list[DatasetRecord] = []

    def before(operation: str, number: int) -> None:
        if (operation, number) == ("transact_write_items", 1):
            assert other.remove(old.id)
            came_after.append(other.register("em", "s3://b/em", 8))

    assert not DynamoCatalogue(Between(aws.client("dynamodb"), before), table).remove(old.id)
    assert other.all() == came_after


def test_many_threads_that_register_agree(aws: MotoAws) -> None:
    catalogue = DynamoCatalogue(Between(aws.client("dynamodb")), aws.new_table(CATALOGUE))
    found: list[str] = []
    together(*(lambda: found.append(catalogue.register("em", "s3://b/em", 7).id) for _ in range(8)))
    assert len(found) == 8
    assert len(set(found)) == 1
    assert len(catalogue.all()) == 1


def test_one_that_others_keep_from_registering_gives_up(aws: MotoAws) -> None:
    table = aws.new_table(CATALOGUE)
    other = DynamoCatalogue(aws.client("dynamodb"), table)

    def before(operation: str, _: int) -> None:
        if operation == "transact_write_items":
            other.register("theirs", "s3://b/em", 7)
        if operation == "update_item":
            other.remove(other.all()[0].id)

    with pytest.raises(SourceUnavailable):
        DynamoCatalogue(Between(aws.client("dynamodb"), before), table).register("ours", "s3://b/em", 8)


def test_all_datasets_are_listed_however_many_pages_they_fill(aws: MotoAws) -> None:
    catalogue = DynamoCatalogue(aws.client("dynamodb"), aws.new_table(CATALOGUE))
    many = [catalogue.register(f"{number} " + "x" * 300_000, f"s3://b/{number}", 7) for number in range(9)]
    assert catalogue.all() == many


def test_the_row_of_a_location_is_no_dataset(aws: MotoAws, client: Any) -> None:
    table = aws.new_table(CATALOGUE)
    catalogue = DynamoCatalogue(client, table)
    record = catalogue.register("em", "s3://b/em", 7)
    keys = {item["id"]["S"] for item in client.scan(TableName=table)["Items"]}
    (place,) = keys - {record.id}
    assert catalogue.get(place) is None
    assert not catalogue.remove(place)
    assert catalogue.all() == [record]


@pytest.mark.parametrize("location", [None, {"NULL": True}, {"N": "1"}, {"S": "s3://b/other"}, {"S": ""}], ids=str)
@pytest.mark.parametrize("is_whole", [True, False])
def test_a_dataset_is_forgotten_and_its_location_registered_anew_whatever_its_row_says(
    aws: MotoAws, client: Any, location: dict[str, Any] | None, is_whole: bool
) -> None:
    table = aws.new_table(CATALOGUE)
    catalogue = DynamoCatalogue(client, table)
    other = catalogue.register("other", "s3://b/other", 7)
    old = catalogue.register("em", "s3://b/em", 7)
    spoil_or_take(client, table, old.id, "location", location)
    if not is_whole:
        put(client, table, old.id, "tags", {"S": "{garbage"})
    assert catalogue.remove(old.id)
    assert not catalogue.remove(old.id)
    new = catalogue.register("em", "s3://b/em", 8)
    assert new.id != old.id
    assert catalogue.register("em", "s3://b/em", 9) == new
    assert catalogue.register("other", "s3://b/other", 9) == other
    assert catalogue.all() == [new, other]
    assert catalogue.remove(new.id)
    assert len(client.scan(TableName=table)["Items"]) == 2


@pytest.mark.parametrize("location", [None, {"NULL": True}, {"N": "1"}], ids=str)
def test_a_dataset_without_a_location_is_told_of_and_still_has_its_place(
    aws: MotoAws, client: Any, caplog: pytest.LogCaptureFixture, location: dict[str, Any] | None
) -> None:
    table = aws.new_table(CATALOGUE)
    catalogue = DynamoCatalogue(client, table)
    other, old = (catalogue.register(name, f"s3://b/{name}", 7) for name in ("other", "em"))
    spoil_or_take(client, table, old.id, "location", location)
    assert catalogue.all() == [other]
    assert told(caplog) == f"damaged rows are left out: dataset {old.id}"
    with pytest.raises(DamagedRow) as raised:
        catalogue.register("em", "s3://b/em", 8)
    assert raised.value.row_id == old.id


@pytest.mark.parametrize("dataset", [None, {"NULL": True}, {"N": "1"}, {"S": ""}, {"S": "0" * 24}, {"S": "x"}], ids=str)
def test_a_location_whose_own_row_is_damaged_has_one_dataset_all_the_same(
    aws: MotoAws, client: Any, dataset: dict[str, Any] | None
) -> None:
    table = aws.new_table(CATALOGUE)
    catalogue = DynamoCatalogue(client, table)
    record = catalogue.register("em", "s3://b/em", 7)
    spoil_or_take(client, table, place_of(client, table, record.id), "dataset", dataset)
    assert catalogue.register("named", "s3://b/em", 8) == replace(record, name="named")
    assert catalogue.remove(record.id)
    new = catalogue.register("em", "s3://b/em", 9)
    assert catalogue.all() == [new]
    assert catalogue.register("em", "s3://b/em", 10) == new


def test_a_location_that_was_left_behind_is_taken_once(aws: MotoAws) -> None:
    client, table = aws.client("dynamodb"), aws.new_table(CATALOGUE)
    other = DynamoCatalogue(client, table)
    old = other.register("old", "s3://b/em", 7)
    client.delete_item(TableName=table, Key={"id": {"S": old.id}})

    def before(operation: str, number: int) -> None:
        if (operation, number) == ("transact_write_items", 1):
            other.register("theirs", "s3://b/em", 8)

    record = DynamoCatalogue(Between(client, before), table).register("ours", "s3://b/em", 9)
    assert (record.name, record.created_ms) == ("ours", 8)
    assert other.all() == [record]


def test_a_location_may_be_long(aws: MotoAws) -> None:
    catalogue = DynamoCatalogue(aws.client("dynamodb"), aws.new_table(CATALOGUE))
    record = catalogue.register("em", "s3://b/" + "x" * 5000, 7)
    assert catalogue.register("em", "s3://b/" + "x" * 5000, 8) == record


def test_rows_from_before_datasets_were_described_and_shared_are_read(aws: MotoAws, client: Any) -> None:
    table = aws.new_table(CATALOGUE)
    catalogue = DynamoCatalogue(client, table)
    row = {"id": {"S": "1" * 24}, "name": {"S": "em"}, "location": {"S": "s3://b/em"}, "created_ms": {"N": "7"}}
    client.put_item(TableName=table, Item=row)
    record = DatasetRecord("1" * 24, "em", "s3://b/em", 7)
    assert catalogue.get(record.id) == record
    assert catalogue.all() == [record]
    assert catalogue.change(record.id, Changes(tags=("x",))) == replace(record, tags=("x",))


def test_a_name_given_while_a_location_is_registered_stays(aws: MotoAws) -> None:
    table = aws.new_table(CATALOGUE)
    other = DynamoCatalogue(aws.client("dynamodb"), table)
    record = other.register("em", "s3://b/em", 7)

    def before(operation: str, number: int) -> None:
        if (operation, number) == ("update_item", 1):
            other.change(record.id, Changes(name="ours"))

    again = DynamoCatalogue(Between(aws.client("dynamodb"), before), table).register("folder", "s3://b/em", 8)
    assert again == replace(record, name="ours", is_renamed=True)


def test_rows_from_before_annotations_were_shared_are_read(aws: MotoAws, client: Any) -> None:
    table = aws.new_table(ANNOTATIONS)
    texts = ("id", "name", "description", "owner", "dataset", "location", "revision", "source_id")
    row = {name: {"S": getattr(ANNOTATION, name)} for name in texts}
    client.put_item(TableName=table, Item={**row, "created_ms": {"N": "7"}, "modified_ms": {"N": "7"}})
    annotations = DynamoAnnotations(client, table)
    assert annotations.get(ANNOTATION.id) == ANNOTATION
    assert annotations.all() == [ANNOTATION]
    assert annotations.change(ANNOTATION.id, Changes(visibility="public")) == replace(ANNOTATION, visibility="public")


@pytest.mark.parametrize("field", ["revision", "location", "name"])
@pytest.mark.parametrize("odd", [None, {"NULL": True}], ids=str)
def test_an_annotation_that_misses_something_is_damaged_and_not_absent(
    aws: MotoAws, client: Any, caplog: pytest.LogCaptureFixture, field: str, odd: dict[str, Any] | None
) -> None:
    table = aws.new_table(ANNOTATIONS)
    annotations, uploads = DynamoAnnotations(client, table), DynamoUploads(client, table)
    annotations.add(ANNOTATION)
    uploads.add(UploadRecord("0" * 24, "ann", "cells.zip", 10, "", ANNOTATION.id, "multipart", 7))
    put(client, table, f"upload-{'0' * 24}", "revision", {"S": "1"})
    spoil_or_take(client, table, ANNOTATION.id, field, odd)
    assert annotations.all() == []
    assert told(caplog) == f"damaged rows are left out: annotation {ANNOTATION.id}"
    with pytest.raises(DamagedRow):
        annotations.get(ANNOTATION.id)
    assert annotations.get(f"upload-{'0' * 24}") is None
    assert not annotations.remove(f"upload-{'0' * 24}")
    assert annotations.remove(ANNOTATION.id)
    assert annotations.get(ANNOTATION.id) is None


def test_what_is_said_of_annotations_changes_no_row_of_an_upload(aws: MotoAws, client: Any) -> None:
    table = aws.new_table(ANNOTATIONS)
    client.put_item(TableName=table, Item={"id": {"S": "upload-1"}, "name": {"S": "cells.zip"}})
    assert DynamoAnnotations(client, table).change("upload-1", Changes(name="x")) is None
    assert stored(client, table, "upload-1")["name"] == {"S": "cells.zip"}


# --- users ---


def test_users_from_before_there_were_admins_are_none(aws: MotoAws, client: Any) -> None:
    table = aws.new_table(USERS)
    facts = {"name": {"S": "anna"}, "created_ms": {"N": "7"}}
    client.put_item(TableName=table, Item={"id": {"S": "user#anna"}, "token_hash": {"S": "one"}, **facts})
    client.put_item(TableName=table, Item={"id": {"S": "token#one"}, **facts})
    users = DynamoUsers(client, table)
    assert users.by_token_hash("one") == ANNA
    assert users.set_admin("anna", is_admin=True)
    assert users.by_token_hash("one") == replace(ANNA, is_admin=True)


def test_a_token_renewed_while_somebody_becomes_an_admin_is_an_admins(aws: MotoAws) -> None:
    table = aws.new_table(USERS)
    other = DynamoUsers(aws.client("dynamodb"), table)
    other.add(ANNA, "one")

    def before(operation: str, number: int) -> None:
        if (operation, number) == ("transact_write_items", 1):
            other.set_admin("anna", is_admin=True)

    assert DynamoUsers(Between(aws.client("dynamodb"), before), table).renew("anna", "two")
    assert other.by_token_hash("two") == replace(ANNA, is_admin=True)


def test_who_becomes_an_admin_while_the_token_is_renewed_is_one(aws: MotoAws) -> None:
    table = aws.new_table(USERS)
    other = DynamoUsers(aws.client("dynamodb"), table)
    other.add(ANNA, "one")

    def before(operation: str, number: int) -> None:
        if (operation, number) == ("transact_write_items", 1):
            other.renew("anna", "two")

    assert DynamoUsers(Between(aws.client("dynamodb"), before), table).set_admin("anna", is_admin=True)
    assert other.by_token_hash("two") == replace(ANNA, is_admin=True)


def test_who_a_token_is_of_is_two_reads_as_of_the_last_change(aws: MotoAws) -> None:
    client = Between(aws.client("dynamodb"))
    users = DynamoUsers(client, aws.new_table(USERS))
    users.add(ANNA, "one")
    client.calls.clear()
    assert users.by_token_hash("one") == ANNA
    assert [(operation, request["ConsistentRead"]) for operation, request in client.calls] == [("get_item", True)] * 2


@pytest.mark.parametrize("change", ["admin", "token", "removed", "back"])
def test_who_is_changed_between_the_two_reads_is_what_was_said_last(aws: MotoAws, change: str) -> None:
    table = aws.new_table(USERS)
    other = DynamoUsers(aws.client("dynamodb"), table)
    other.add(ANNA, "one")

    def before(operation: str, number: int) -> None:
        if (operation, number) != ("get_item", 2):
            return
        if change == "admin":
            other.set_admin("anna", is_admin=True)
        elif change == "token":
            other.renew("anna", "two")
        else:
            other.remove("anna")
        if change == "back":
            other.add(ANNA, "two")

    found = DynamoUsers(Between(aws.client("dynamodb"), before), table).by_token_hash("one")
    assert found == (replace(ANNA, is_admin=True) if change == "admin" else None)


def test_nothing_is_left_of_a_removed_user(aws: MotoAws, client: Any) -> None:
    table = aws.new_table(USERS)
    users = DynamoUsers(client, table)
    users.add(ANNA, "one")
    users.remove("anna")
    assert client.scan(TableName=table)["Items"] == []


def test_a_name_is_no_token_and_a_token_is_no_name(aws: MotoAws) -> None:
    users = DynamoUsers(aws.client("dynamodb"), aws.new_table(USERS))
    users.add(ANNA, "one")
    assert users.by_token_hash("anna") is None
    assert not users.remove("one")
    users.add(BEN, "anna")
    assert users.all() == [ANNA, BEN]


def test_a_user_who_comes_back_meanwhile_is_not_removed(aws: MotoAws) -> None:
    table = aws.new_table(USERS)
    other = DynamoUsers(aws.client("dynamodb"), table)
    other.add(ANNA, "one")

    def before(operation: str, number: int) -> None:
        if (operation, number) == ("transact_write_items", 1):
            other.remove("anna")
            other.add(ANNA, "two")

    assert not DynamoUsers(Between(aws.client("dynamodb"), before), table).remove("anna")
    assert other.by_token_hash("two") == ANNA


# --- a service that refuses or fails ---

LinksCall = Callable[[DynamoLinks], object]
CALLS: dict[str, LinksCall] = {
    "add": lambda links: links.add(link(2)),
    "get": lambda links: links.get(link(1).id),
    "of_owner": lambda links: links.of_owner("anna"),
    "all": lambda links: links.of_owner(None),
    "change": lambda links: links.change(link(1).id, "anna", name="new"),
    "revoke": lambda links: links.revoke(link(1).id, "anna", 7),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(
    ("trouble", "word"),
    [
        (client_error("AccessDeniedException"), "AccessDeniedException"),
        (client_error("ProvisionedThroughputExceededException"), "ProvisionedThroughputExceededException"),
        (client_error("ResourceNotFoundException"), "ResourceNotFoundException"),
        (client_error("ExpiredTokenException"), "ExpiredTokenException"),
        (client_error("500"), "500"),
        (ReadTimeoutError(endpoint_url="http://x"), "ReadTimeoutError"),
        (BotoCoreError(), "BotoCoreError"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_refused_or_failed_call_is_neither_absence_nor_success(
    client: Any, call: LinksCall, trouble: Exception, word: str
) -> None:
    with pytest.raises(SourceUnavailable) as refused:
        call(DynamoLinks(failing(client, trouble), "table"))
    assert refused.value.reason.startswith("DynamoDB ")
    assert refused.value.reason.endswith(f": {word}")
    assert word not in str(refused.value)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_missing_table_is_an_error(client: Any, call: LinksCall) -> None:
    with pytest.raises(SourceUnavailable):
        call(DynamoLinks(client, "no-such-table"))


def test_failed_calls_of_catalogue_and_users_are_errors(client: Any) -> None:
    broken = failing(client, client_error("AccessDeniedException"))
    catalogue, users = DynamoCatalogue(broken, "table"), DynamoUsers(broken, "table")
    for call in (
        lambda: catalogue.register("em", "s3://b/em", 7),
        lambda: catalogue.get("0" * 24),
        catalogue.all,
        lambda: catalogue.remove("0" * 24),
        lambda: users.add(ANNA, "one"),
        lambda: users.by_token_hash("one"),
        users.all,
        lambda: users.remove("anna"),
    ):
        with pytest.raises(SourceUnavailable):
            call()


@contextmanager
def client_of(server: CannedServer) -> Iterator[Any]:
    client = boto3.client(
        "dynamodb",
        endpoint_url=server.endpoint,
        region_name=REGION,
        aws_access_key_id="key",
        aws_secret_access_key="secret",
        config=Config(retries={"mode": "standard", "max_attempts": 1}),
    )
    yield client
    client.close()


@pytest.mark.parametrize(
    ("wire", "word"),
    [
        (answer("400 Bad Request", b'{"__type":"a#ThrottlingException"}'), "ThrottlingException"),
        (answer("503 Service Unavailable", b"<html>"), "503"),
        (NOTHING, "ConnectionClosedError"),
    ],
    ids=["throttled", "unavailable", "closed"],
)
def test_what_botocore_makes_of_a_bad_answer_is_understood(wire: Any, word: str) -> None:
    with (
        CannedServer(wire) as server,
        client_of(server) as client,
        pytest.raises(SourceUnavailable) as refused,
    ):
        DynamoLinks(client, "table").get(link(1).id)
    assert refused.value.reason == f"DynamoDB get_item: {word}"


def test_a_port_where_nobody_listens_is_an_error() -> None:
    with CannedServer(NOTHING) as server:
        pass
    with client_of(server) as client, pytest.raises(SourceUnavailable) as refused:
        DynamoLinks(client, "table").get(link(1).id)
    assert refused.value.reason == "DynamoDB get_item: EndpointConnectionError"


@pytest.mark.parametrize("mistake", [KeyError("ours"), ParamValidationError(report="ours")])
def test_a_mistake_of_our_own_is_not_blamed_on_the_service(client: Any, mistake: Exception) -> None:
    with pytest.raises(type(mistake)):
        DynamoLinks(failing(client, mistake), "table").get(link(1).id)


# --- writers that meet ---


def test_writers_that_meet_at_one_row_try_again(aws: MotoAws) -> None:
    client = aws.client("dynamodb")
    conflict = client_error("TransactionConflictException")
    links = DynamoLinks(client, aws.new_table(LINKS))
    links.add(link(1))
    links._table._client = failing(client, conflict, times=3)
    assert links.change(link(1).id, "anna", name="new") == link(1, name="new")


def test_transactions_that_meet_try_again(aws: MotoAws) -> None:
    client = failing(aws.client("dynamodb"), cancelled("None", "TransactionConflict"), times=3)
    DynamoUsers(client, aws.new_table(USERS)).add(ANNA, "one")
    assert [operation for operation, _ in client.calls] == ["transact_write_items"] * 4


def test_writers_that_meet_over_and_over_give_up(client: Any) -> None:
    broken = failing(client, cancelled("TransactionConflict", "None"))
    with pytest.raises(SourceUnavailable) as refused:
        DynamoUsers(broken, "table").add(ANNA, "one")
    assert refused.value.reason == "DynamoDB transact_write_items: TransactionConflict"
    assert len(broken.calls) == dynamodb_table._ATTEMPTS


@pytest.mark.parametrize(
    "codes", [("ConditionalCheckFailed", "None"), ("TransactionConflict", "ConditionalCheckFailed")]
)
def test_a_transaction_whose_condition_failed_is_taken(client: Any, codes: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="anna"):
        DynamoUsers(failing(client, cancelled(*codes)), "table").add(ANNA, "one")


@pytest.mark.parametrize("codes", [("ThrottlingError", "None"), ("TransactionConflict", "ThrottlingError"), ()])
def test_a_transaction_that_was_called_off_for_another_reason_is_an_error(client: Any, codes: tuple[str, ...]) -> None:
    with pytest.raises(SourceUnavailable):
        DynamoUsers(failing(client, cancelled(*codes)), "table").add(ANNA, "one")


# --- keys ---


@pytest.mark.parametrize("key", ["", "x" * 2049, "\u4e2d" * 700])
def test_a_key_that_no_row_can_have_is_not_asked_for(client: Any, key: str) -> None:
    counted = Between(client)
    table = DynamoTable(counted, "table")
    assert table.get(key) is None
    assert table.update(key, "SET #name = #name", "attribute_exists(#id)", {}) is None
    assert counted.calls == []


def test_of_two_renewals_at_once_one_token_holds(client: Any, aws: MotoAws) -> None:
    table = aws.new_table(USERS)
    other = DynamoUsers(client, table)
    other.add(ANNA, "one")

    def meanwhile(operation: str, number: int) -> None:
        if (operation, number) == ("transact_write_items", 1):
            other.renew("anna", "theirs")

    assert DynamoUsers(Between(client, meanwhile), table).renew("anna", "ours")
    assert [other.by_token_hash(token) for token in ("one", "theirs", "ours")] == [None, None, ANNA]


def test_who_is_removed_while_a_token_is_renewed_stays_removed(client: Any, aws: MotoAws) -> None:
    table = aws.new_table(USERS)
    other = DynamoUsers(client, table)
    other.add(ANNA, "one")

    def meanwhile(operation: str, number: int) -> None:
        if (operation, number) == ("transact_write_items", 1):
            other.remove("anna")

    assert not DynamoUsers(Between(client, meanwhile), table).renew("anna", "ours")
    assert (other.all(), other.by_token_hash("ours")) == ([], None)
