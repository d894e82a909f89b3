"""`Users` in SQLite."""

from __future__ import annotations

import sqlite3
from operator import itemgetter
from typing import Any, Final

from zarrlink.rows import flag, reads, whole
from zarrlink.sqlite_file import SqliteFile
from zarrlink.users.interface import User

_COLUMNS: Final = "name, created_ms, is_admin"
_SELECT: Final = f"SELECT {_COLUMNS} FROM users"


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
        return whole(_user, self._file.rows(f"{_SELECT} ORDER BY name"))

    def has(self, name: str) -> bool:
        return bool(self._file.rows("SELECT 1 FROM users WHERE name = ?", (name,)))

    def renew(self, name: str, token_hash: str) -> bool:
        return self._update(name, "token_hash", token_hash)

    def set_admin(self, name: str, *, is_admin: bool) -> bool:
        return self._update(name, "is_admin", is_admin)

    def remove(self, name: str) -> bool:
        with self._file.write() as connection:
            return connection.execute("DELETE FROM users WHERE name = ?", (name,)).rowcount > 0

    def _update(self, name: str, column: str, value: str | bool) -> bool:  # noqa: FBT001 (a column's)
        with self._file.write() as connection:
            change = f"UPDATE users SET {column} = ? WHERE name = ? RETURNING {_COLUMNS}"
            # One that is damaged afterwards stays as it was.
            return any(map(_user, connection.execute(change, (value, name)).fetchall()))


@reads("user", itemgetter(0))
def _user(row: tuple[Any, ...]) -> User:
    name, created_ms, is_admin = row
    return User(name, created_ms, is_admin=flag(is_admin, 0))
