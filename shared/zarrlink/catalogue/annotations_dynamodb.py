"""`Annotations` in DynamoDB. Table: `zarrlink.aws_tables.ANNOTATIONS`, a row for each; uploads have rows there, too."""

from __future__ import annotations

from dataclasses import asdict

from zarrlink.catalogue.annotations import AnnotationRecord
from zarrlink.dynamodb_table import DynamoClient, DynamoTable, Row, assignments, delete_action


class DynamoAnnotations:
    """Annotations in a table of their own."""

    def __init__(self, client: DynamoClient, table: str) -> None:
        self._table = DynamoTable(client, table)

    def add(self, record: AnnotationRecord) -> bool:
        return self._table.put_new(asdict(record))

    def replace(self, record: AnnotationRecord, revision: str) -> bool:
        changes = asdict(record)
        del changes["id"]
        values = {**changes, "expected": revision}
        return self._table.update(record.id, assignments(changes), "#revision = :expected", values) is not None

    def get(self, annotation_id: str) -> AnnotationRecord | None:
        row = self._table.get(annotation_id)
        # The row of an upload (`uploads_dynamodb.py`) has none.
        return None if row is None or "revision" not in row else _record(row)

    def all(self) -> list[AnnotationRecord]:
        rows = self._table.scan("attribute_exists(#revision)")
        return sorted(map(_record, rows), key=lambda record: (record.name, record.id))

    def remove(self, annotation_id: str) -> bool:
        return self.get(annotation_id) is not None and self._table.transact(
            delete_action(annotation_id, "attribute_exists(#id)", {})
        )


def _record(row: Row) -> AnnotationRecord:
    return AnnotationRecord(**row)
