"""A `Catalogue` in SQLite."""

from __future__ import annotations

import secrets

from zarrlink.catalogue.interface import DatasetRecord
from zarrlink.sqlite_file import SqliteFile


class SqliteCatalogue:
    """Datasets in the state file."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    def register(self, name: str, location: str, now_ms: int) -> DatasetRecord:
        with self._file.write() as connection:
            row = connection.execute(
                "INSERT INTO datasets (id, name, location, created_ms) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (location) DO UPDATE SET name = excluded.name RETURNING id, name, location, created_ms",
                (secrets.token_hex(12), name, location, now_ms),
            ).fetchone()
        return DatasetRecord(*row)

    def get(self, dataset_id: str) -> DatasetRecord | None:
        rows = self._file.rows("SELECT id, name, location, created_ms FROM datasets WHERE id = ?", (dataset_id,))
        return DatasetRecord(*rows[0]) if rows else None

    def all(self) -> list[DatasetRecord]:
        rows = self._file.rows("SELECT id, name, location, created_ms FROM datasets ORDER BY name, id")
        return [DatasetRecord(*row) for row in rows]

    def remove(self, dataset_id: str) -> bool:
        with self._file.write() as connection:
            return connection.execute("DELETE FROM datasets WHERE id = ?", (dataset_id,)).rowcount > 0
