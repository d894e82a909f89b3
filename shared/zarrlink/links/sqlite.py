"""A `LinkStore` in SQLite."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from functools import lru_cache
from operator import itemgetter
from types import MappingProxyType
from typing import Any, Final

from zarrlink.errors import DamagedRow
from zarrlink.links.interface import KEEP, Keep
from zarrlink.links.model import Link, Uses
from zarrlink.rows import checked, reads, whole
from zarrlink.sqlite_file import SqliteFile
from zarrlink.view import View

_COLUMNS: Final = (
    "id, owner, view, geometry, name, note, created_ms, expires_ms, revoked_ms, uses, last_used_ms, edge_ms"
)


class SqliteLinks:
    """Links in the state file, seen by every process that has it open."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    def add(self, link: Link) -> None:
        row = (
            link.id,
            link.owner,
            link.view.to_json(),
            json.dumps(dict(link.geometry), sort_keys=True),
            link.name,
            link.note,
            link.created_ms,
            link.expires_ms,
            link.revoked_ms,
            link.uses,
            link.last_used_ms,
            link.edge_ms,
        )
        try:
            with self._file.write() as connection:
                connection.execute(f"INSERT INTO links ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        except sqlite3.IntegrityError as error:
            raise ValueError(f"link id {link.id} is taken") from error

    def get(self, link_id: str) -> Link | None:
        rows = self._file.rows(f"SELECT {_COLUMNS} FROM links WHERE id = ?", (link_id,))
        return _link(rows[0]) if rows else None

    def of_owner(self, owner: str | None) -> list[Link]:
        rows = self._file.rows(
            f"SELECT {_COLUMNS} FROM links WHERE revoked_ms IS NULL AND (?1 IS NULL OR owner = ?1) "
            "ORDER BY created_ms DESC, id",
            (owner,),
        )
        return whole(_link, rows)

    def ids_of(self, owner: str) -> list[str]:
        rows = self._file.rows("SELECT id FROM links WHERE revoked_ms IS NULL AND owner = ?", (owner,))
        return [link_id for (link_id,) in rows]

    def change(
        self,
        link_id: str,
        owner: str | None,
        *,
        name: str | Keep = KEEP,
        note: str | Keep = KEEP,
        expires_ms: int | Keep | None = KEEP,
    ) -> Link | None:
        fields = {"name": name, "note": note, "expires_ms": expires_ms}
        new = {field: value for field, value in fields.items() if not isinstance(value, Keep)}
        row = self._update(link_id, owner, new)
        return None if row is None else _link(row)

    def revoke(self, link_id: str, owner: str | None, now_ms: int) -> bool:
        return self._update(link_id, owner, {"revoked_ms": now_ms}) is not None

    def all(self) -> Iterator[tuple[str, Link | None]]:
        for row in self._file.rows(f"SELECT {_COLUMNS} FROM links"):
            yield row[0], _link_or_none(row)

    def confirm_revoked(self, link_id: str, now_ms: int) -> bool:
        only_if = "id = ? AND revoked_ms IS NOT NULL AND edge_ms IS NULL"
        with self._file.write() as connection:
            return connection.execute(f"UPDATE links SET edge_ms = ? WHERE {only_if}", (now_ms, link_id)).rowcount > 0

    def count(self, uses: Mapping[str, Uses]) -> None:
        rows = [(openings, last_ms, link_id) for link_id, (openings, last_ms) in uses.items()]
        with self._file.write() as connection:
            connection.executemany(
                "UPDATE links SET uses = uses + ?1, last_used_ms = max(ifnull(last_used_ms, 0), ?2) "
                "WHERE id = ?3 AND revoked_ms IS NULL",
                rows,
            )

    def forget(self, owner: str, now_ms: int) -> None:
        """Remove the rows of an owner's links that have expired."""
        with self._file.write() as connection:
            connection.execute("DELETE FROM links WHERE owner = ? AND expires_ms < ?", (owner, now_ms))

    def _update(self, link_id: str, owner: str | None, fields: dict[str, Any]) -> tuple[Any, ...] | None:
        assignments = ", ".join(f"{field} = ?" for field in fields) or "id = id"
        with self._file.write() as connection:
            rows = connection.execute(
                f"UPDATE links SET {assignments} WHERE id = ? AND revoked_ms IS NULL AND (? IS NULL OR owner = ?) "
                f"RETURNING {_COLUMNS}",
                (*fields.values(), link_id, owner, owner),
            ).fetchall()
        return rows[0] if rows else None


# Asked for at every request, and seldom another row.
@lru_cache(maxsize=4096)
@reads("link", itemgetter(0))
def _link(row: tuple[Any, ...]) -> Link:
    link_id, owner, view, geometry, *others = row
    return Link(link_id, owner, _view(view), _geometry(geometry), *others)


def _link_or_none(row: tuple[Any, ...]) -> Link | None:
    try:
        return _link(row)
    except DamagedRow:
        return None


# Read for every request and never changed once written.
@lru_cache(maxsize=4096)
def _view(text: str) -> View:
    return checked(View.from_json(text))


@lru_cache(maxsize=4096)
def _geometry(text: str) -> Mapping[str, str]:
    return MappingProxyType(json.loads(text))
