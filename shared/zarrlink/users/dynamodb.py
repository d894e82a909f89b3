"""`Users` in DynamoDB. Table: `zarrlink.aws_tables.USERS`.

Two rows a user, written and taken away together:

    user#<name>           name, created_ms, is_admin (1, or not there), token_hash
    token#<token hash>    name, created_ms, is_admin

The second lets a request's user be told by one read that sees every finished change: who was removed is nobody at once.
"""

from __future__ import annotations

from typing import Final

from zarrlink.dynamodb_table import (
    DynamoClient,
    DynamoTable,
    Row,
    Value,
    assignments,
    delete_action,
    put_new_action,
    update_action,
)
from zarrlink.errors import SourceUnavailable
from zarrlink.rows import reads, whole
from zarrlink.users.interface import User

_ATTEMPTS: Final = 10
_OVER_AND_OVER: Final = "a user is being changed over and over"


class DynamoUsers:
    """Users in a table of their own."""

    def __init__(self, client: DynamoClient, table: str) -> None:
        self._table = DynamoTable(client, table)

    def add(self, user: User, token_hash: str) -> None:
        facts: dict[str, Value | None] = {
            "name": user.name,
            "created_ms": user.created_ms,
            "is_admin": 1 if user.is_admin else None,
        }
        added = self._table.transact(
            put_new_action({"id": f"user#{user.name}", **facts, "token_hash": token_hash}),
            put_new_action({"id": f"token#{token_hash}", **facts}),
        )
        if not added:
            raise ValueError(f"there is a user {user.name!r} already")

    def by_token_hash(self, token_hash: str) -> User | None:
        row = self._table.get(f"token#{token_hash}")
        return None if row is None else _user(row)

    def all(self) -> list[User]:
        rows = self._table.scan("attribute_exists(#token_hash)")
        return sorted(whole(_user, rows), key=lambda user: user.name)

    def renew(self, name: str, token_hash: str) -> bool:
        # Each round sees what another did in the meantime: changed the user as well, or removed it.
        for _ in range(_ATTEMPTS):
            row = self._table.get(f"user#{name}")
            if row is None:
                return False
            old, is_admin = row["token_hash"], row.get("is_admin")
            facts: dict[str, Value | None] = {"name": name, "created_ms": row["created_ms"], "is_admin": is_admin}
            if self._table.transact(
                update_action(
                    f"user#{name}",
                    "SET #token_hash = :new",
                    f"#token_hash = :old AND attribute{'_not' if is_admin is None else ''}_exists(#is_admin)",
                    {"new": token_hash, "old": old},
                ),
                delete_action(f"token#{old}", "attribute_exists(#id)", {}),
                put_new_action({"id": f"token#{token_hash}", **facts}),
            ):
                return True
        raise SourceUnavailable(_OVER_AND_OVER)

    def set_admin(self, name: str, *, is_admin: bool) -> bool:
        new = {"is_admin": 1 if is_admin else None}
        values: dict[str, Value] = {"is_admin": 1} if is_admin else {}
        for _ in range(_ATTEMPTS):
            row = self._table.get(f"user#{name}")
            if row is None:
                return False
            token_hash = row["token_hash"]
            if self._table.transact(
                update_action(f"user#{name}", assignments(new), "#token_hash = :hash", {**values, "hash": token_hash}),
                update_action(f"token#{token_hash}", assignments(new), "attribute_exists(#id)", values),
            ):
                return True
        raise SourceUnavailable(_OVER_AND_OVER)

    def remove(self, name: str) -> bool:
        row = self._table.get(f"user#{name}")
        return row is not None and self._table.transact(
            delete_action(f"user#{name}", "#token_hash = :token_hash", {"token_hash": row["token_hash"]}),
            delete_action(f"token#{row['token_hash']}", "attribute_exists(#id)", {}),
        )


# Not by the row's own id, which may be the hash of a token.
@reads("user", lambda row: row.get("name"))
def _user(row: Row) -> User:
    return User(row["name"], row["created_ms"], is_admin="is_admin" in row)
