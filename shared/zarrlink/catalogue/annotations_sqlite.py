"""`Annotations` in SQLite."""

from __future__ import annotations

from dataclasses import astuple, fields
from typing import Final

from zarrlink.catalogue.annotations import AnnotationRecord
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
                    astuple(record),
                ).rowcount
                > 0
            )

    def replace(self, record: AnnotationRecord, revision: str) -> bool:
        changes = ", ".join(f"{column} = ?" for column in _COLUMNS)
        with self._file.write() as connection:
            return (
                connection.execute(
                    f"UPDATE annotations SET {changes} WHERE id = ? AND revision = ?",
                    (*astuple(record), record.id, revision),
                ).rowcount
                > 0
            )

    def get(self, annotation_id: str) -> AnnotationRecord | None:
        rows = self._file.rows(f"{_SELECT} WHERE id = ?", (annotation_id,))
        return AnnotationRecord(*rows[0]) if rows else None

    def all(self) -> list[AnnotationRecord]:
        return [AnnotationRecord(*row) for row in self._file.rows(f"{_SELECT} ORDER BY name, id")]

    def remove(self, annotation_id: str) -> bool:
        with self._file.write() as connection:
            return connection.execute("DELETE FROM annotations WHERE id = ?", (annotation_id,)).rowcount > 0
