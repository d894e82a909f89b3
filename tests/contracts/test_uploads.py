"""Large uploads in their table."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from builders.moto_aws import MotoAws, moto_aws
from contracts.annotations import CELLS
from zarrlink.aws_tables import ANNOTATIONS
from zarrlink.catalogue.annotations_dynamodb import DynamoAnnotations
from zarrlink.catalogue.uploads_dynamodb import DynamoUploads, UploadRecord

UPLOAD = UploadRecord("0" * 24, "ann", "cells.zip", 10, "", CELLS.id, "multipart", 7)


@pytest.fixture(scope="module")
def aws() -> Iterator[MotoAws]:
    with moto_aws() as aws:
        yield aws


@pytest.fixture
def table(aws: MotoAws) -> str:
    return aws.new_table(ANNOTATIONS)


@pytest.fixture
def uploads(aws: MotoAws, table: str) -> DynamoUploads:
    uploads = DynamoUploads(aws.client("dynamodb"), table)
    assert uploads.add(UPLOAD)
    return uploads


def test_what_was_added_is_found_and_an_id_is_taken_once(uploads: DynamoUploads) -> None:
    assert uploads.get(UPLOAD.id) == UPLOAD
    assert not uploads.add(UPLOAD)
    assert uploads.get("1" * 24) is None


def test_what_has_ended_stays_so(uploads: DynamoUploads) -> None:
    assert uploads.set_state(UPLOAD.id, "importing")
    assert uploads.set_state(UPLOAD.id, "failed", "for a reason")
    for state in ("importing", "done"):
        assert not uploads.set_state(UPLOAD.id, state)  # type: ignore[arg-type]
    found = uploads.get(UPLOAD.id)
    assert found is not None
    assert (found.state, found.sentence) == ("failed", "for a reason")
    assert not uploads.set_state("1" * 24, "done")


def test_attempts_are_counted(uploads: DynamoUploads) -> None:
    assert [uploads.begin_attempt(UPLOAD.id) for _ in range(3)] == [1, 2, 3]
    assert uploads.begin_attempt("1" * 24) == 0


def test_only_what_is_open_is_removed(uploads: DynamoUploads) -> None:
    uploads.set_state(UPLOAD.id, "importing")
    assert not uploads.remove(UPLOAD.id)
    other = UploadRecord("2" * 24, "ann", "cells.zip", 10, "", CELLS.id, "multipart", 7)
    uploads.add(other)
    assert uploads.remove(other.id)
    assert uploads.get(other.id) is None
    assert not uploads.remove(other.id)


def test_rows_of_uploads_are_no_annotations(aws: MotoAws, table: str, uploads: DynamoUploads) -> None:
    annotations = DynamoAnnotations(aws.client("dynamodb"), table)
    annotations.add(CELLS)
    assert annotations.all() == [CELLS]
    assert annotations.get(f"upload-{UPLOAD.id}") is None
    assert not annotations.remove(f"upload-{UPLOAD.id}")
    assert uploads.get(UPLOAD.id) == UPLOAD
