"""`Annotations` in DynamoDB. Table: `zarrlink.aws_tables.ANNOTATIONS`, a row for each by its id.

Uploads have rows there, too (`uploads_dynamodb.py`), by keys of another form.
"""

from __future__ import annotations

import re
from dataclasses import asdict
from operator import itemgetter
from typing import Final

from zarrlink.catalogue.annotations import REVISED, AnnotationRecord
from zarrlink.catalogue.changes import Changes, pack, unpack
from zarrlink.dynamodb_table import DynamoClient, DynamoTable, Row, Value, assignments, delete_action
from zarrlink.rows import reads, whole

_ID: Final = re.compile(r"[0-9a-f]{24}", re.ASCII)


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
        if not _ID.fullmatch(annotation_id):
            return None
        new: dict[str, Value] = {**changes.columns()}
        row = self._table.update(annotation_id, assignments(new) or "SET #name = #name", "attribute_exists(#id)", new)
        return None if row is None else _record(row)

    def get(self, annotation_id: str) -> AnnotationRecord | None:
        row = self._table.get(annotation_id) if _ID.fullmatch(annotation_id) else None
        return None if row is None else _record(row)

    def all(self) -> list[AnnotationRecord]:
        rows = (row for row in self._table.scan("attribute_exists(#id)") if _ID.fullmatch(row["id"]))
        return sorted(whole(_record, rows), key=lambda record: (record.name, record.id))

    def remove(self, annotation_id: str) -> bool:
        # Without making anything of the row: a damaged one is forgotten as well.
        return (
            _ID.fullmatch(annotation_id) is not None
            and self._table.get(annotation_id) is not None
            and self._table.transact(delete_action(annotation_id, "attribute_exists(#id)", {}))
        )


def _row(record: AnnotationRecord) -> dict[str, Value | None]:
    return {name: pack(value) if isinstance(value, tuple) else value for name, value in asdict(record).items()}


@reads("annotation", itemgetter("id"))
def _record(row: Row) -> AnnotationRecord:
    # What is not there was written before there was such a thing.
    lists: Row = {name: unpack(row[name]) for name in ("tags", "collaborators") if name in row}
    return AnnotationRecord(**{**row, **lists})
