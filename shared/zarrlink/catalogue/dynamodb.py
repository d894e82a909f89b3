"""A `Catalogue` in DynamoDB. Table: `zarrlink.aws_tables.CATALOGUE`.

Two rows a dataset, written and taken away together:

    <dataset id>          name, location, created_ms
    location#<SHA-256>    dataset

The second makes a location unique. An id is random, not derived from the location: a location that was removed must
come back under a new one, or links to the old dataset would come back to life.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Final

from zarrlink.catalogue.interface import DatasetRecord
from zarrlink.dynamodb_table import DynamoClient, DynamoTable, Row, Value, delete_action, put_new_action
from zarrlink.errors import SourceUnavailable

_DATASET_ID: Final = re.compile(r"[0-9a-f]{24}", re.ASCII)
_ATTEMPTS: Final = 10


class DynamoCatalogue:
    """Datasets in a table of their own."""

    def __init__(self, client: DynamoClient, table: str) -> None:
        self._table = DynamoTable(client, table)

    def register(self, name: str, location: str, now_ms: int) -> DatasetRecord:
        # Each round sees what another did in the meantime: registered the location, or removed it.
        for _ in range(_ATTEMPTS):
            place = self._table.get(_place(location))
            if place is None:
                new = DatasetRecord(secrets.token_hex(12), name, location, now_ms)
                row: dict[str, Value] = {"id": new.id, "name": name, "location": location, "created_ms": now_ms}
                if self._table.transact(
                    put_new_action(row), put_new_action({"id": _place(location), "dataset": new.id})
                ):
                    return new
            else:
                known = self._table.update(
                    place["dataset"], "SET #name = :name", "attribute_exists(#id)", {"name": name}
                )
                if known is not None:
                    return _record(known)
        raise SourceUnavailable("a location is being registered and removed over and over")

    def get(self, dataset_id: str) -> DatasetRecord | None:
        # Rows of locations have keys of another form, and are nobody's business.
        row = self._table.get(dataset_id) if _DATASET_ID.fullmatch(dataset_id) else None
        return None if row is None else _record(row)

    def all(self) -> list[DatasetRecord]:
        rows = self._table.scan("attribute_exists(#location)")
        return sorted(map(_record, rows), key=lambda record: (record.name, record.id))

    def remove(self, dataset_id: str) -> bool:
        record = self.get(dataset_id)
        return record is not None and self._table.transact(
            delete_action(dataset_id, "attribute_exists(#id)", {}),
            delete_action(_place(record.location), "#dataset = :dataset", {"dataset": dataset_id}),
        )


def _place(location: str) -> str:
    """Hashed, since a key has at most 2048 bytes."""
    return "location#" + hashlib.sha256(location.encode()).hexdigest()


def _record(row: Row) -> DatasetRecord:
    return DatasetRecord(row["id"], row["name"], row["location"], row["created_ms"])
