"""A `Catalogue` in SQLite."""

from __future__ import annotations

import secrets
from dataclasses import fields
from operator import itemgetter
from typing import Any, Final

from zarrlink.catalogue.changes import Changes, pack, unpack
from zarrlink.catalogue.interface import NOTHING_SAID, DatasetRecord, new_record
from zarrlink.rows import flag, reads, whole
from zarrlink.sqlite_file import SqliteFile

_COLUMNS: Final = tuple(field.name for field in fields(DatasetRecord))
_SELECT: Final = f"SELECT {', '.join(_COLUMNS)} FROM datasets"
_INSERT: Final = f"INSERT INTO datasets ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' for _ in _COLUMNS)})"


class SqliteCatalogue:
    """Datasets in the state file."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    def register(
        self, name: str, location: str, now_ms: int, *, owner: str = "", about: Changes = NOTHING_SAID
    ) -> DatasetRecord:
        new = new_record(secrets.token_hex(12), name, location, now_ms, owner=owner, about=about)
        with self._file.write() as connection:
            row = connection.execute(
                f"{_INSERT} ON CONFLICT (location) DO UPDATE SET name = iif(is_renamed, name, ?) "
                f"RETURNING {', '.join(_COLUMNS)}",
                (*_row(new), name),
            ).fetchone()
        return _record(row)

    def get(self, dataset_id: str) -> DatasetRecord | None:
        rows = self._file.rows(f"{_SELECT} WHERE id = ?", (dataset_id,))
        return _record(rows[0]) if rows else None

    def all(self) -> list[DatasetRecord]:
        return whole(_record, self._file.rows(f"{_SELECT} ORDER BY name, id"))

    def change(self, dataset_id: str, changes: Changes) -> DatasetRecord | None:
        new: dict[str, Any] = changes.columns()
        if changes.name is not None:
            new["is_renamed"] = True
        return self._update(dataset_id, ", ".join(f"{column} = ?" for column in new) or "id = id", *new.values())

    def revise(self, dataset_id: str) -> DatasetRecord | None:
        return self._update(dataset_id, "revision = revision + 1")

    def remove(self, dataset_id: str) -> bool:
        with self._file.write() as connection:
            return connection.execute("DELETE FROM datasets WHERE id = ?", (dataset_id,)).rowcount > 0

    def _update(self, dataset_id: str, assignments: str, *values: Any) -> DatasetRecord | None:
        with self._file.write() as connection:
            rows = connection.execute(
                f"UPDATE datasets SET {assignments} WHERE id = ? RETURNING {', '.join(_COLUMNS)}",
                (*values, dataset_id),
            ).fetchall()
        return _record(rows[0]) if rows else None


def _row(record: DatasetRecord) -> tuple[Any, ...]:
    values = (getattr(record, column) for column in _COLUMNS)
    return tuple(pack(value) if isinstance(value, tuple) else value for value in values)


@reads("dataset", itemgetter(0))
def _record(row: tuple[Any, ...]) -> DatasetRecord:
    facts = dict(zip(_COLUMNS, row, strict=True))
    lists = {name: unpack(facts[name]) for name in ("tags", "collaborators")}
    return DatasetRecord(**{**facts, **lists, "is_renamed": flag(facts["is_renamed"], 0)})
