"""`Annotations` in SQLite."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from operator import itemgetter
from typing import Any, Final

from zarrlink.catalogue.annotations import REVISED, AnnotationRecord
from zarrlink.catalogue.changes import Changes, pack, unpack
from zarrlink.rows import reads, whole
from zarrlink.sqlite_file import SqliteFile

_COLUMNS: Final = tuple(field.name for field in fields(AnnotationRecord))
_SELECT: Final = f"SELECT {', '.join(_COLUMNS)} FROM annotations"


class SqliteAnnotations:
    """Annotations in the state file."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    def add(self, record: AnnotationRecord) -> bool:
        places = ", ".join("?" for _ in _COLUMNS)
        with self._file.write() as connection:
            return (
                connection.execute(
                    f"INSERT INTO annotations ({', '.join(_COLUMNS)}) VALUES ({places}) ON CONFLICT (id) DO NOTHING",
                    _row(record),
                ).rowcount
                > 0
            )

    def revise(self, record: AnnotationRecord, revision: str) -> AnnotationRecord | None:
        new = {name: getattr(record, name) for name in REVISED}
        return self._update(new, "id = ? AND revision = ?", (record.id, revision))

    def change(self, annotation_id: str, changes: Changes) -> AnnotationRecord | None:
        return self._update(changes.columns(), "id = ?", (annotation_id,))

    def get(self, annotation_id: str) -> AnnotationRecord | None:
        rows = self._file.rows(f"{_SELECT} WHERE id = ?", (annotation_id,))
        return _record(rows[0]) if rows else None

    def all(self) -> list[AnnotationRecord]:
        return whole(_record, self._file.rows(f"{_SELECT} ORDER BY name, id"))

    def remove(self, annotation_id: str) -> bool:
        with self._file.write() as connection:
            return connection.execute("DELETE FROM annotations WHERE id = ?", (annotation_id,)).rowcount > 0

    def _update(self, new: Mapping[str, str | int], only_if: str, values: tuple[str, ...]) -> AnnotationRecord | None:
        assignments = ", ".join(f"{column} = ?" for column in new) or "id = id"
        with self._file.write() as connection:
            rows = connection.execute(
                f"UPDATE annotations SET {assignments} WHERE {only_if} RETURNING {', '.join(_COLUMNS)}",
                (*new.values(), *values),
            ).fetchall()
        return _record(rows[0]) if rows else None


def _row(record: AnnotationRecord) -> tuple[str | int, ...]:
    values = (getattr(record, column) for column in _COLUMNS)
    return tuple(pack(value) if isinstance(value, tuple) else value for value in values)


@reads("annotation", itemgetter(0))
def _record(row: tuple[Any, ...]) -> AnnotationRecord:
    facts = dict(zip(_COLUMNS, row, strict=True))
    return AnnotationRecord(**{**facts, **{name: unpack(facts[name]) for name in ("tags", "collaborators")}})
