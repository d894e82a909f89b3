"""`Annotations` in DynamoDB. Table: `zarrlink.aws_tables.ANNOTATIONS`, a row for each; uploads have rows there, too."""

from __future__ import annotations

from dataclasses import asdict
from operator import itemgetter

from zarrlink.catalogue.annotations import REVISED, AnnotationRecord
from zarrlink.catalogue.changes import Changes, pack, unpack
from zarrlink.dynamodb_table import DynamoClient, DynamoTable, Row, Value, assignments, delete_action
from zarrlink.rows import reads, whole


class DynamoAnnotations:
    """Annotations in a table of their own."""

    def __init__(self, client: DynamoClient, table: str) -> None:
        self._table = DynamoTable(client, table)

    def add(self, record: AnnotationRecord) -> bool:
        return self._table.put_new(_row(record))

    def revise(self, record: AnnotationRecord, revision: str) -> AnnotationRecord | None:
        new = {name: getattr(record, name) for name in REVISED}
        values = {**new, "expected": revision}
        row = self._table.update(record.id, assignments(new), "#revision = :expected", values)
        return None if row is None else _record(row)

    def change(self, annotation_id: str, changes: Changes) -> AnnotationRecord | None:
        new: dict[str, Value] = {**changes.columns()}
        # The row of an upload (`uploads_dynamodb.py`) has no revision.
        row = self._table.update(
            annotation_id, assignments(new) or "SET #name = #name", "attribute_exists(#revision)", new
        )
        return None if row is None else _record(row)

    def get(self, annotation_id: str) -> AnnotationRecord | None:
        row = self._table.get(annotation_id)
        # As above.
        return None if row is None or "revision" not in row else _record(row)

    def all(self) -> list[AnnotationRecord]:
        rows = self._table.scan("attribute_exists(#revision)")
        return sorted(whole(_record, rows), key=lambda record: (record.name, record.id))

    def remove(self, annotation_id: str) -> bool:
        # As above; and a damaged one is forgotten as well.
        return self._table.get(annotation_id) is not None and self._table.transact(
            delete_action(annotation_id, "attribute_exists(#revision)", {})
        )


def _row(record: AnnotationRecord) -> dict[str, Value | None]:
    return {name: pack(value) if isinstance(value, tuple) else value for name, value in asdict(record).items()}


@reads("annotation", itemgetter("id"))
def _record(row: Row) -> AnnotationRecord:
    # What is not there was written before there was such a thing.
    lists: Row = {name: unpack(row[name]) for name in ("tags", "collaborators") if name in row}
    return AnnotationRecord(**{**row, **lists})
