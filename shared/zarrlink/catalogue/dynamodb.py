"""A `Catalogue` in DynamoDB. Table: `zarrlink.aws_tables.CATALOGUE`.

Two rows a dataset, written and taken away together:

    <dataset id>          name, location, created_ms, is_renamed (1, or not there), description, tags, owner,
                          visibility, collaborators, revision
    location#<SHA-256>    dataset

The second makes a location unique; one that leads to no dataset there is as good as none. An id is random, not derived
from the location: a location that was removed must come back under a new one, or links to the old dataset would come back
to life.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterator
from itertools import chain
from operator import itemgetter
from typing import Any, Final

from zarrlink.catalogue.changes import Changes, pack, unpack
from zarrlink.catalogue.interface import NOTHING_SAID, DatasetRecord, new_record
from zarrlink.dynamodb_table import (
    DynamoClient,
    DynamoTable,
    Row,
    Value,
    assignments,
    delete_action,
    put_new_action,
    unchanged,
    update_action,
)
from zarrlink.errors import SourceUnavailable
from zarrlink.rows import flag, reads, whole

_DATASET_ID: Final = re.compile(r"[0-9a-f]{24}", re.ASCII)
_PLACE: Final = "location#"
_ATTEMPTS: Final = 10


class DynamoCatalogue:
    """Datasets in a table of their own."""

    def __init__(self, client: DynamoClient, table: str) -> None:
        self._table = DynamoTable(client, table)

    def register(
        self, name: str, location: str, now_ms: int, *, owner: str = "", about: Changes = NOTHING_SAID
    ) -> DatasetRecord:
        # Each round sees what another did in the meantime: registered the location, removed it, or gave it a name.
        for _ in range(_ATTEMPTS):
            place = self._table.get(_place(location))
            known = None if place is None else self._at(location, place, name)
            if known is not None:
                return _record(known)
            new = new_record(secrets.token_hex(12), name, location, now_ms, owner=owner, about=about)
            if self._table.transact(put_new_action(_row(new)), _put_place(location, place, new.id)):
                return new
        raise SourceUnavailable("a location is being registered and removed over and over")

    def get(self, dataset_id: str) -> DatasetRecord | None:
        # Rows of locations have keys of another form, and are nobody's business.
        row = self._table.get(dataset_id) if _DATASET_ID.fullmatch(dataset_id) else None
        return None if row is None else _record(row)

    def all(self) -> list[DatasetRecord]:
        return sorted(whole(_record, self._rows()), key=lambda record: (record.name, record.id))

    def change(self, dataset_id: str, changes: Changes) -> DatasetRecord | None:
        if not _DATASET_ID.fullmatch(dataset_id):
            return None
        new: dict[str, Value] = {**changes.columns()}
        if changes.name is not None:
            new["is_renamed"] = 1
        row = self._table.update(dataset_id, assignments(new) or "SET #name = #name", "attribute_exists(#id)", new)
        return None if row is None else _record(row)

    def revise(self, dataset_id: str) -> DatasetRecord | None:
        if not _DATASET_ID.fullmatch(dataset_id):
            return None
        # A row that was written before there were revisions is at the first.
        change = "SET #revision = if_not_exists(#revision, :first) + :one"
        row = self._table.update(dataset_id, change, "attribute_exists(#id)", {"first": 1, "one": 1})
        return None if row is None else _record(row)

    def remove(self, dataset_id: str) -> bool:
        row = self._table.get(dataset_id) if _DATASET_ID.fullmatch(dataset_id) else None
        if row is None:
            return False
        gone = [delete_action(dataset_id, "attribute_exists(#id)", {})]
        # Of a damaged row there may be none, or that of another dataset: `register` sees that nothing is there any more.
        location = row.get("location")
        place = self._table.get(_place(location)) if isinstance(location, str) else None
        if place is not None and place.get("dataset") == dataset_id:
            gone.append(delete_action(place["id"], "#dataset = :dataset", {"dataset": dataset_id}))
        return self._table.transact(*gone)

    def _rows(self) -> Iterator[Row]:
        """Those of datasets: of locations there are as many."""
        rows = self._table.scan("NOT begins_with(#id, :place)", {"place": _PLACE})
        return (row for row in rows if _DATASET_ID.fullmatch(row["id"]))

    def _at(self, location: str, place: Row, name: str) -> Row | None:
        """The dataset at a location, by the name of its folder from now on. `place`: the location's row.

        One whose own location is damaged counts as there.
        """
        # Where the location's row leads elsewhere, somebody changed it, or a damaged dataset was removed.
        others = (row["id"] for row in self._rows() if row.get("location") == location)
        for dataset_id in chain([place.get("dataset")], others):
            if not (isinstance(dataset_id, str) and _DATASET_ID.fullmatch(dataset_id)):
                continue
            row = self._table.update(
                dataset_id,
                "SET #name = :name",
                "#location = :location AND attribute_not_exists(#is_renamed)",
                {"name": name, "location": location},
            ) or self._table.get(dataset_id)
            if row is not None and not (isinstance(row.get("location"), str) and row["location"] != location):
                return row
        return None


def _place(location: str) -> str:
    """Hashed, since a key has at most 2048 bytes."""
    return _PLACE + hashlib.sha256(location.encode()).hexdigest()


def _put_place(location: str, seen: Row | None, dataset_id: str) -> dict[str, Any]:
    """For `transact`: a location is that of a dataset, if its row is as it was seen."""
    if seen is None:
        return put_new_action({"id": _place(location), "dataset": dataset_id})
    only_if, values = unchanged(seen, "dataset")
    return update_action(_place(location), "SET #dataset = :new", only_if, {**values, "new": dataset_id})


def _row(record: DatasetRecord) -> dict[str, Value | None]:
    return {
        "id": record.id,
        "name": record.name,
        "location": record.location,
        "created_ms": record.created_ms,
        "is_renamed": 1 if record.is_renamed else None,
        "description": record.description,
        "tags": pack(record.tags),
        "owner": record.owner,
        "visibility": record.visibility,
        "collaborators": pack(record.collaborators),
        "revision": record.revision,
    }


@reads("dataset", itemgetter("id"))
def _record(row: Row) -> DatasetRecord:
    # What is not there was written before there was such a thing.
    lists: Row = {name: unpack(row[name]) for name in ("tags", "collaborators") if name in row}
    return DatasetRecord(**{**row, **lists, "is_renamed": flag(row.get("is_renamed"), None)})
