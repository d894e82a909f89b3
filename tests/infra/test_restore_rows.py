"""Rows that come back from a table's copy of an earlier time."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from builders.kept import KeptInStack
from builders.moto_aws import MotoAws, moto_aws
from builders.moto_stack import environment
from zarrlink.catalogue.annotations import AnnotationRecord
from zarrlink.catalogue.annotations_dynamodb import DynamoAnnotations
from zarrlink.catalogue.changes import Changes
from zarrlink.catalogue.uploads_dynamodb import DynamoUploads, UploadRecord
from zarrlink_local.cloud import CloudState, open_stack

Restore = Callable[..., tuple[int, str, str]]
_NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def aws() -> Iterator[MotoAws]:
    with moto_aws() as aws:
        yield aws


@pytest.fixture
def state(aws: MotoAws, monkeypatch: pytest.MonkeyPatch) -> CloudState:
    for name, value in environment(aws).items():
        monkeypatch.setenv(name, value)
    return open_stack(KeptInStack(aws).name)


@pytest.fixture
def restore(
    state: CloudState, restore_rows: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Restore:
    """Exit status and what was written to where."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["restore_rows.py", state.stack.name, *arguments])
        status: Any = 0
        try:
            restore_rows.main()
        except SystemExit as ended:
            status = ended.code
        return status, *capsys.readouterr()

    return run


def copied(aws: MotoAws, table: str) -> str:
    """A table as it is now, beside it."""
    client, name = aws.client("dynamodb"), f"of-yesterday-{next(_NUMBERS)}"
    client.update_continuous_backups(
        TableName=table, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
    )
    client.restore_table_to_point_in_time(SourceTableName=table, TargetTableName=name, UseLatestRestorableTime=True)
    return name


def test_what_is_gone_or_changed_is_told_and_comes_back_when_it_is_named(
    aws: MotoAws, state: CloudState, restore: Restore
) -> None:
    first, second, third = (state.catalogue.register(name, f"s3://b/{name}", 1) for name in ("one", "two", "three"))
    copy = copied(aws, state.stack.catalogue_table)
    state.catalogue.remove(first.id)
    state.catalogue.revise(second.id)
    state.catalogue.change(second.id, Changes(description="not so"))
    fourth = state.catalogue.register("four", "s3://b/four", 1)

    status, told, _ = restore("datasets", copy)
    assert status == 0
    gone, changed, together = told.splitlines()
    assert gone.split() == ["gone", first.id]
    assert changed.split() == ["changed", second.id, "description"], "a revision does not come back"
    assert together == "1 gone, 1 changed, 1 new since"
    assert state.catalogue.get(first.id) is None, "nothing was written"

    assert restore("datasets", copy, "gone") == (0, f"restored {first.id}\n", "")
    assert restore("datasets", copy, second.id) == (0, f"restored {second.id}\n", "")
    assert {record.id: replace(record, revision=1) for record in state.catalogue.all()} == {
        it.id: it for it in (first, second, third, fourth)
    }
    assert restore("datasets", copy)[1] == "0 gone, 0 changed, 1 new since\n"


def test_a_dataset_never_comes_to_a_revision_that_it_had(aws: MotoAws, state: CloudState, restore: Restore) -> None:
    """The CDN keeps what it had for a year, by that number."""
    catalogue = state.catalogue
    kept, removed = (catalogue.register(name, f"s3://b/{name}", 1) for name in ("kept", "removed"))
    served = {it.id: {it.revision} for it in (kept, removed)}

    def exchange(dataset: str) -> None:
        found = catalogue.revise(dataset)
        assert found is not None
        assert found.revision not in served[dataset]
        served[dataset].add(found.revision)

    def come_back(dataset: str, copy: str) -> None:
        assert restore("datasets", copy, dataset)[0] == 0
        found = catalogue.get(dataset)
        assert found is not None
        assert found.revision > max(served[dataset])
        served[dataset].add(found.revision)

    copy = copied(aws, state.stack.catalogue_table)
    for _ in range(2):
        for dataset in (kept.id, removed.id):
            exchange(dataset)
            exchange(dataset)
        catalogue.remove(removed.id)
        for dataset in (kept.id, removed.id):
            come_back(dataset, copy)
            exchange(dataset)


def test_a_clock_that_is_behind_lowers_no_revision(
    aws: MotoAws, state: CloudState, restore: Restore, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = state.catalogue.register("one", "s3://b/one", 1)
    copy = copied(aws, state.stack.catalogue_table)
    for _ in range(4):
        state.catalogue.revise(old.id)
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    assert restore("datasets", copy, old.id)[0] == 0
    assert state.catalogue.get(old.id) == replace(old, revision=6)


def test_a_dataset_of_before_there_were_revisions_comes_to_one(
    aws: MotoAws, state: CloudState, restore: Restore
) -> None:
    old = state.catalogue.register("one", "s3://b/one", 1)
    place = {"TableName": state.stack.catalogue_table, "Key": {"id": {"S": old.id}}}
    aws.client("dynamodb").update_item(**place, UpdateExpression="REMOVE revision")
    assert restore("datasets", copied(aws, state.stack.catalogue_table), old.id)[0] == 0
    found = state.catalogue.get(old.id)
    assert found is not None
    assert found.revision > 1


def test_annotations_come_back_with_their_files_and_uploads_do_not(
    aws: MotoAws, state: CloudState, restore: Restore
) -> None:
    table = state.stack.annotations_table
    client = aws.client("dynamodb")
    annotations, uploads = DynamoAnnotations(client, table), DynamoUploads(client, table)
    drawn = AnnotationRecord("a" * 24, "cells", "", "ann", "", "s3://b/annotations/1", "0" * 16, "", 1, 1)
    assert annotations.add(drawn)
    assert uploads.add(UploadRecord("u1", "ann", "cells.zip", 1, "", "b" * 24, "m", 1))
    copy = copied(aws, table)
    assert annotations.remove(drawn.id)
    assert uploads.remove("u1")

    assert restore("annotations", copy)[1].splitlines() == [f"gone     {drawn.id}", "1 gone, 0 changed, 0 new since"]
    assert restore("annotations", copy, "gone") == (0, f"restored {drawn.id}\n", "")
    # Its revision is part of where its files lie, and what lies there never changes.
    assert annotations.get(drawn.id) == drawn
    assert uploads.get("u1") is None
    assert "has no row upload-u1; nothing was written" in restore("annotations", copy, "upload-u1")[2]


def test_a_location_that_was_registered_anew_keeps_its_dataset(
    aws: MotoAws, state: CloudState, restore: Restore
) -> None:
    old = state.catalogue.register("one", "s3://b/one", 1)
    copy = copied(aws, state.stack.catalogue_table)
    state.catalogue.remove(old.id)
    new = state.catalogue.register("one", "s3://b/one", 2)
    status, out, err = restore("datasets", copy, "gone")
    assert (status, out) == (2, "")
    assert f"{old.id}: its location has been registered anew since" in err
    assert state.catalogue.all() == [new]
    state.catalogue.remove(new.id)
    assert restore("datasets", copy, "gone")[0] == 0
    # Its location too: it is found by it.
    assert state.catalogue.register("again", "s3://b/one", 3).id == old.id


def test_what_cannot_be_is_said_in_one_line(aws: MotoAws, state: CloudState, restore: Restore) -> None:
    copy = copied(aws, state.stack.catalogue_table)
    for arguments, said in [
        (("users", copy), "TABLE=users cannot be: it is one of links, datasets, annotations"),
        (("datasets", "no-such-table"), "there is no table no-such-table"),
        (("datasets", state.stack.catalogue_table), "is the table itself"),
        (("datasets", copy, "no-such-row"), "has no row no-such-row; nothing was written"),
    ]:
        status, out, err = restore(*arguments)
        assert (status, out, err.count("\n")) == (2, "", 1), arguments
        assert said in err
