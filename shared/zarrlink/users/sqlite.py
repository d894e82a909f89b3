"""`Users` in SQLite."""

from __future__ import annotations

import sqlite3
from typing import Any, Final

from zarrlink.sqlite_file import SqliteFile
from zarrlink.users.interface import User

_SELECT: Final = "SELECT name, created_ms, is_admin FROM users"


class SqliteUsers:
    """Users in the state file."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    def add(self, user: User, token_hash: str) -> None:
        try:
            with self._file.write() as connection:
                connection.execute(
                    "INSERT INTO users (name, token_hash, created_ms, is_admin) VALUES (?, ?, ?, ?)",
                    (user.name, token_hash, user.created_ms, user.is_admin),
                )
        except sqlite3.IntegrityError as error:
            raise ValueError(f"there is a user {user.name!r} already") from error

    def by_token_hash(self, token_hash: str) -> User | None:
        rows = self._file.rows(f"{_SELECT} WHERE token_hash = ?", (token_hash,))
        return _user(rows[0]) if rows else None

    def all(self) -> list[User]:
        return [_user(row) for row in self._file.rows(f"{_SELECT} ORDER BY name")]

    def renew(self, name: str, token_hash: str) -> bool:
        with self._file.write() as connection:
            changed = connection.execute("UPDATE users SET token_hash = ? WHERE name = ?", (token_hash, name))
            return changed.rowcount > 0

    def set_admin(self, name: str, *, is_admin: bool) -> bool:
        with self._file.write() as connection:
            changed = connection.execute("UPDATE users SET is_admin = ? WHERE name = ?", (is_admin, name))
            return changed.rowcount > 0

    def remove(self, name: str) -> bool:
        with self._file.write() as connection:
            return connection.execute("DELETE FROM users WHERE name = ?", (name,)).rowcount > 0


def _user(row: tuple[Any, ...]) -> User:
    name, created_ms, is_admin = row
    return User(name, created_ms, is_admin=bool(is_admin))
