"""`link_sync` over tables and their streams as moto plays them, and the KeyValueStore as MiniStack does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from builders.emf import NAMES, emf_lines, values
from builders.lambda_door import load_function
from builders.ministack import MiniStack, ministack
from builders.moto_aws import MotoAws
from contracts.edge_store import put
from contracts.link_store import link
from zarrlink.aws_tables import ANNOTATIONS, CATALOGUE, LINKS
from zarrlink.catalogue.annotations import AnnotationRecord
from zarrlink.catalogue.annotations_dynamodb import DynamoAnnotations
from zarrlink.catalogue.changes import Changes
from zarrlink.catalogue.dynamodb import DynamoCatalogue
from zarrlink.catalogue.uploads_dynamodb import DynamoUploads, UploadRecord
from zarrlink.edge.entries import key_entries, link_entry
from zarrlink.edge.kvs import KeyValueStore
from zarrlink.edge.revision import revision_of, source_revision
from zarrlink.errors import SourceUnavailable
from zarrlink.library import Subject
from zarrlink.links.dynamodb import DynamoLinks
from zarrlink.links.model import Link, Uses
from zarrlink.links.token import parse_key_ring
from zarrlink.view import View

CONTEXT = SimpleNamespace(aws_request_id="1")
STREAMED = {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}}
SECRET = json.dumps({"current": "a", "a": "x" * 64})
NEVER = {"created_ms": 1_795_429_320_000, "expires_ms": None}
CELLS = AnnotationRecord("5" * 24, "cells", "", "anna", "", "s3://b/a", "first", "", 7, 7)
NO_FAILURE: dict[str, Any] = {"batchItemFailures": []}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniStack]:
    with ministack(tmp_path_factory.mktemp("ministack")) as running:
        yield running


class Site:
    """The tables with their streams, the store, and the function."""

    def __init__(self, aws: MotoAws, stack: MiniStack) -> None:
        self.aws = aws
        tables = {"LINKS_TABLE": LINKS, "CATALOGUE_TABLE": CATALOGUE, "ANNOTATIONS_TABLE": ANNOTATIONS}
        self.names = {name: aws.new_table({**definition, **STREAMED}) for name, definition in tables.items()}
        self.names["EDGE_STORE"] = stack.new_store()
        secret = aws.client("secretsmanager").create_secret(Name=self.names["LINKS_TABLE"], SecretString=SECRET)
        self.names["LINK_KEYS_SECRET"] = secret["ARN"]
        client = aws.client("dynamodb")
        self.links = DynamoLinks(client, self.names["LINKS_TABLE"])
        self.catalogue = DynamoCatalogue(client, self.names["CATALOGUE_TABLE"])
        self.annotations = DynamoAnnotations(client, self.names["ANNOTATIONS_TABLE"])
        self.uploads = DynamoUploads(client, self.names["ANNOTATIONS_TABLE"])
        self.store = KeyValueStore(stack.client("cloudfront-keyvaluestore"), self.names["EDGE_STORE"])
        self.dataset = self.catalogue.register("em", "s3://b/em", 7)
        self.function: Any = None
        self._read: dict[str, int] = {}

    def add(self, number: int, *, annotation: str = "") -> Link:
        made = replace(link(number, **NEVER), view=View(self.dataset.id, ("em",), annotation=annotation))
        self.links.add(made)
        return made

    def records(self, variable: str = "LINKS_TABLE") -> list[dict[str, Any]]:
        """What a table's stream tells since it was last asked, as Lambda is given it."""
        table = self.names[variable]
        arn = self.aws.client("dynamodb").describe_table(TableName=table)["Table"]["LatestStreamArn"]
        streams = self.aws.client("dynamodbstreams")
        shard = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"][0]["ShardId"]
        start = streams.get_shard_iterator(StreamArn=arn, ShardId=shard, ShardIteratorType="TRIM_HORIZON")
        found = streams.get_records(ShardIterator=start["ShardIterator"])["Records"]
        new = found[self._read.get(variable, 0) :]
        self._read[variable] = len(found)
        return [{**record, "eventSourceARN": arn} for record in new]

    def tell(self, *variables: str) -> Any:
        """Have the function told of all that is new in these tables."""
        records = [record for variable in variables or ("LINKS_TABLE",) for record in self.records(variable)]
        return self.function.handler({"Records": records}, CONTEXT)

    def meant(self, of: Link) -> str | None:
        source = Subject(self.catalogue.get(of.view.dataset), self.annotations.get(of.view.annotation or "0"))
        return link_entry(of, revision_of(source_revision(source), of.geometry), 0)

    def entry(self, of: Link) -> str | None:
        return self.store.entries().get(f"l:{of.id}")

    def version(self) -> str:
        return self.store._version().etag


@pytest.fixture
def site(aws: MotoAws, stack: MiniStack) -> Iterator[Site]:
    site = Site(aws, stack)
    environment = {
        **stack.environment(),
        **site.names,
        "AWS_ENDPOINT_URL": aws.endpoint,
        "POWERTOOLS_SERVICE_NAME": "link_sync",
        "POWERTOOLS_METRICS_NAMESPACE": "zarrlink",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        site.function = load_function("link_sync")
        yield site


def test_the_first_link_of_a_new_stack_brings_the_keys_along(site: Site) -> None:
    made = site.add(1)
    assert site.tell() == NO_FAILURE
    ring = parse_key_ring(SECRET)
    assert ring is not None
    assert site.store.entries() == {**key_entries(ring), f"l:{made.id}": site.meant(made)}


def test_a_revocation_reaches_the_store_and_its_confirmation_changes_nothing(site: Site) -> None:
    made = site.add(1)
    site.tell()
    assert site.links.revoke(made.id, None, 7)
    assert site.tell() == NO_FAILURE
    assert site.entry(made) == "-"
    found = site.links.get(made.id)
    assert found is not None
    assert found.edge_ms is not None
    assert replace(found, edge_ms=None) == replace(made, revoked_ms=7)
    before = site.version()
    echo = site.records()
    assert [record["eventName"] for record in echo] == ["MODIFY"]
    assert site.function.handler({"Records": echo}, CONTEXT) == NO_FAILURE
    assert site.version() == before
    assert site.links.get(made.id) == found


def test_uses_that_are_counted_write_nothing(site: Site) -> None:
    made = site.add(1)
    site.tell()
    before = site.version()
    site.links.count({made.id: Uses(3, 8)})
    site.links.change(made.id, None, name="new")
    assert site.tell() == NO_FAILURE
    assert site.version() == before


def test_records_that_come_twice_late_and_turned_round_bring_nothing_back(site: Site) -> None:
    made = [site.add(number) for number in range(3)]
    site.links.change(made[0].id, None, expires_ms=4_000_000_000_000)
    site.links.revoke(made[0].id, None, 7)
    site.links.change(made[1].id, None, expires_ms=4_000_000_000_000)
    records = site.records()
    for batch in (records[::-1], records[:2], records, [records[0]], records[1:3]):
        assert site.function.handler({"Records": batch}, CONTEXT) == NO_FAILURE
    assert site.entry(made[0]) == "-"
    shortened = site.links.get(made[1].id)
    assert shortened is not None
    assert site.entry(made[1]) == site.meant(shortened) != site.meant(made[1])


def test_a_row_that_the_table_cleans_up_takes_its_entry_along(site: Site) -> None:
    made, stays = site.add(1), site.add(2)
    site.tell()
    site.aws.client("dynamodb").delete_item(TableName=site.names["LINKS_TABLE"], Key={"id": {"S": made.id}})
    assert site.tell() == NO_FAILURE
    assert site.entry(made) is None
    assert site.entry(stays) is not None


def test_a_replaced_dataset_and_an_annotation_imported_again_move_their_links(site: Site) -> None:
    site.annotations.add(CELLS)
    plain, painted = site.add(1), site.add(2, annotation=CELLS.id)
    assert site.tell("LINKS_TABLE", "CATALOGUE_TABLE", "ANNOTATIONS_TABLE") == NO_FAILURE
    first = site.entry(plain), site.entry(painted)
    site.annotations.revise(replace(CELLS, revision="second"), "first")
    site.tell("ANNOTATIONS_TABLE")
    second = site.entry(plain), site.entry(painted)
    assert second[0] == first[0]
    assert second[1] == site.meant(painted) != first[1]
    site.catalogue.revise(site.dataset.id)
    site.tell("CATALOGUE_TABLE")
    assert site.entry(plain) == site.meant(plain) != second[0]
    assert site.entry(painted) == site.meant(painted) != second[1]


def test_what_is_said_of_a_dataset_and_uploads_write_nothing(site: Site) -> None:
    site.add(1)
    site.tell("LINKS_TABLE", "CATALOGUE_TABLE")
    before = site.version()
    site.catalogue.change(site.dataset.id, Changes(name="new", tags=("x",)))
    site.catalogue.register("more", "s3://b/more", 7)
    site.uploads.add(UploadRecord("u", "anna", "a.zip", 7, "", "6" * 24, "m", 7))
    site.uploads.set_state("u", "importing")
    assert site.tell("CATALOGUE_TABLE", "ANNOTATIONS_TABLE") == NO_FAILURE
    assert site.version() == before


def test_links_to_a_dataset_that_is_forgotten_are_left_to_the_origin(site: Site) -> None:
    made = site.add(1)
    site.tell()
    site.records("CATALOGUE_TABLE")
    site.catalogue.remove(site.dataset.id)
    assert site.tell("CATALOGUE_TABLE") == NO_FAILURE
    assert site.entry(made) is None


def spoil(site: Site, of: Link) -> None:
    site.aws.client("dynamodb").update_item(
        TableName=site.names["LINKS_TABLE"],
        Key={"id": {"S": of.id}},
        UpdateExpression="SET #view = :view",
        ExpressionAttributeNames={"#view": "view"},
        ExpressionAttributeValues={":view": {"S": "{"}},
    )


def test_a_damaged_row_is_told_of_and_keeps_no_other_waiting(site: Site) -> None:
    """It is not given back: what is behind it in the stream would wait until it is too old to be tried again."""
    made = [site.add(number) for number in range(3)]
    site.tell()
    spoil(site, made[0])
    site.links.revoke(made[1].id, None, 7)
    site.links.change(made[2].id, None, expires_ms=4_000_000_000_000)
    records = site.records()
    answer = site.function.handler({"Records": records}, CONTEXT)
    assert answer == NO_FAILURE
    assert site.entry(made[0]) is None
    assert site.entry(made[1]) == "-"
    changed = site.links.get(made[2].id)
    assert changed is not None
    assert site.entry(made[2]) == site.meant(changed)
    # No failure of the hourly look: it would find the same rows again, and leave a dead letter each time.
    assert site.function.handler({}, CONTEXT) == {"mended": 0, "left_out": 0, "damaged": 1}


def test_what_it_did_is_counted_for_the_alarms(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    made = [site.add(number) for number in range(3)]
    site.tell()
    site.function.handler({}, CONTEXT)
    told, compared = map(values, emf_lines(capsys.readouterr().out))
    assert told == {"ColdStarts": 1, "Attempts": 1, "UnreadableRows": 0}
    nothing = {"UnreadableRows": 0, "EdgeEntriesMended": 0, "EdgeLinksLeftOut": 0}
    assert compared == {"ColdStarts": 0, "Attempts": 1, **nothing}
    assert compared.keys() <= NAMES["link_sync"]
    spoil(site, made[0])
    site.function.handler({}, CONTEXT)
    (counted,) = map(values, emf_lines(capsys.readouterr().out))
    assert (counted["UnreadableRows"], counted["EdgeLinksLeftOut"]) == (1, 0)
    assert "Failed" not in counted


def test_every_hour_the_store_is_made_what_the_tables_say(site: Site) -> None:
    made = [site.add(number) for number in range(60)]
    # Every event was lost.
    site.links.revoke(made[0].id, None, 7)
    assert site.function.handler({"source": "aws.events"}, CONTEXT) == {"mended": 62, "left_out": 0, "damaged": 0}
    meant = site.store.entries()
    assert meant[f"l:{made[0].id}"] == "-"
    assert len(meant) == 62
    # Somebody opens a link again that was revoked, closes another, and puts in what is not ours.
    put(
        site.store,
        {f"l:{made[0].id}": meant[f"l:{made[1].id}"], f"l:{made[1].id}": "-", "l:x": "- v/r", "k:b": "eA==", "z": "z"},
    )
    assert site.function.handler({}, CONTEXT)["mended"] == 5
    assert site.store.entries() == meant
    assert site.function.handler({}, CONTEXT)["mended"] == 0


def test_a_retired_key_goes_with_the_next_look(site: Site) -> None:
    site.add(1)
    site.tell()
    site.aws.client("secretsmanager").put_secret_value(
        SecretId=site.names["LINK_KEYS_SECRET"], SecretString=json.dumps({"current": "b", "b": "y" * 64})
    )
    site.function.handler({}, CONTEXT)
    assert [key for key in site.store.entries() if key.startswith("k:")] == ["k:", "k:b"]


def test_a_store_that_is_not_there_fails_the_whole_batch(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    made = site.add(1)
    site.links.revoke(made.id, None, 7)
    monkeypatch.setattr(site.function.SYNC._store, "_arn", site.names["EDGE_STORE"] + "x")
    with pytest.raises(SourceUnavailable):
        site.tell()
    found = site.links.get(made.id)
    assert found is not None
    assert found.edge_ms is None


def test_records_are_told_apart_without_their_images(site: Site) -> None:
    # A stream of keys alone tells less; then every record counts.
    made = site.add(1)
    records = [
        {**record, "dynamodb": {k: v for k, v in record["dynamodb"].items() if not k.endswith("Image")}}
        for record in site.records()
    ]
    assert site.function.handler({"Records": records}, CONTEXT) == NO_FAILURE
    assert site.entry(made) == site.meant(made)
