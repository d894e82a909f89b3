"""Rows that come back from a table's copy of an earlier time."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from builders.kept import KeptInStack
from builders.moto_aws import MotoAws, moto_aws
from builders.moto_stack import environment
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


def copied(aws: MotoAws, state: CloudState) -> str:
    """The table of datasets as it is now, beside it."""
    client, source, name = aws.client("dynamodb"), state.stack.catalogue_table, f"of-yesterday-{next(_NUMBERS)}"
    client.update_continuous_backups(
        TableName=source, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
    )
    client.restore_table_to_point_in_time(SourceTableName=source, TargetTableName=name, UseLatestRestorableTime=True)
    return name


def test_what_is_gone_or_changed_is_told_and_comes_back_when_it_is_named(
    aws: MotoAws, state: CloudState, restore: Restore
) -> None:
    first, second, third = (state.catalogue.register(name, f"s3://b/{name}", 1) for name in ("one", "two", "three"))
    copy = copied(aws, state)
    state.catalogue.remove(first.id)
    state.catalogue.revise(second.id)
    fourth = state.catalogue.register("four", "s3://b/four", 1)

    status, told, _ = restore("datasets", copy)
    assert status == 0
    gone, changed, together = told.splitlines()
    assert gone.split() == ["gone", first.id]
    assert changed.split()[:2] == ["changed", second.id]
    assert together == "1 gone, 1 changed, 1 new since"
    assert state.catalogue.get(first.id) is None, "nothing was written"

    assert restore("datasets", copy, "gone") == (0, f"restored {first.id}\n", "")
    assert restore("datasets", copy, second.id) == (0, f"restored {second.id}\n", "")
    assert {record.id: record for record in state.catalogue.all()} == {
        it.id: it for it in (first, second, third, fourth)
    }
    assert restore("datasets", copy)[1] == "0 gone, 0 changed, 1 new since\n"


def test_a_location_that_was_registered_anew_keeps_its_dataset(
    aws: MotoAws, state: CloudState, restore: Restore
) -> None:
    old = state.catalogue.register("one", "s3://b/one", 1)
    copy = copied(aws, state)
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
    copy = copied(aws, state)
    for arguments, said in [
        (("users", copy), "TABLE=users cannot be: it is one of links, datasets, annotations"),
        (("datasets", "no-such-table"), "there is no table no-such-table"),
        (("datasets", state.stack.catalogue_table), "is the table itself"),
        (("datasets", copy, "no-such-row"), "has no row no-such-row; nothing was written"),
    ]:
        status, out, err = restore(*arguments)
        assert (status, out, err.count("\n")) == (2, "", 1), arguments
        assert said in err
