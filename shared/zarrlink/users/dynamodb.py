"""`Users` in DynamoDB. Table: `zarrlink.aws_tables.USERS`.

Two rows a user, written and taken away together:

    user#<name>           name, created_ms, is_admin (1, or not there), token_hash
    token#<token hash>    name, created_ms, is_admin

The second leads from a token to the first, and what that says holds: two reads that see every finished change tell a
request's user, so who was removed is nobody at once. A user one of whose rows is damaged does not sign in.
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
    unchanged,
    update_action,
)
from zarrlink.errors import SourceUnavailable
from zarrlink.rows import flag, reads, whole
from zarrlink.users.interface import User

_USER: Final = "user#"
_ATTEMPTS: Final = 10
_OVER_AND_OVER: Final = "a user is being changed over and over"


class DynamoUsers:
    """Users in a table of their own."""

    def __init__(self, client: DynamoClient, table: str) -> None:
        self._table = DynamoTable(client, table)

    def add(self, user: User, token_hash: str) -> None:
        facts = _facts(user)
        added = self._table.transact(
            put_new_action({"id": _USER + user.name, **facts, "token_hash": token_hash}),
            put_new_action({"id": _token(token_hash), **facts}),
        )
        if not added:
            raise ValueError(f"there is a user {user.name!r} already")

    def by_token_hash(self, token_hash: str) -> User | None:
        token = self._table.get(_token(token_hash))
        if token is None:
            return None
        row = self._table.get(_USER + _of_token(token).name)
        if row is None:
            return None
        kept = row.get("token_hash")
        # Where it is damaged, this may have been the token.
        return None if isinstance(kept, str) and kept != token_hash else _user(row)

    def all(self) -> list[User]:
        rows = self._table.scan("begins_with(#id, :user)", {"user": _USER})
        return sorted(whole(_user, rows), key=lambda user: user.name)

    def has(self, name: str) -> bool:
        return self._table.get(_USER + name) is not None

    def renew(self, name: str, token_hash: str) -> bool:
        # Each round sees what another did in the meantime: changed the user as well, or removed it.
        for _ in range(_ATTEMPTS):
            row = self._table.get(_USER + name)
            if row is None:
                return False
            user = _user(row)
            if self._table.transact(
                update_action(
                    _USER + name,
                    "SET #token_hash = :new",
                    f"#token_hash = :old AND attribute{'' if user.is_admin else '_not'}_exists(#is_admin)",
                    {"new": token_hash, "old": row["token_hash"]},
                ),
                *(delete_action(old, "attribute_exists(#id)", {}) for old in self._tokens_of(name, row)),
                put_new_action({"id": _token(token_hash), **_facts(user)}),
            ):
                return True
        raise SourceUnavailable(_OVER_AND_OVER)

    def set_admin(self, name: str, *, is_admin: bool) -> bool:
        new = {"is_admin": 1 if is_admin else None}
        values: dict[str, Value] = {"is_admin": 1} if is_admin else {}
        for _ in range(_ATTEMPTS):
            row = self._table.get(_USER + name)
            if row is None:
                return False
            _user({key: value for key, value in row.items() if key != "is_admin"})
            hashed = {**values, "hash": row["token_hash"]}
            if self._table.transact(
                update_action(_USER + name, assignments(new), "#token_hash = :hash", hashed),
                *(
                    update_action(token, assignments(new), "attribute_exists(#id)", values)
                    for token in self._tokens_of(name, row)
                ),
            ):
                return True
        raise SourceUnavailable(_OVER_AND_OVER)

    def remove(self, name: str) -> bool:
        row = self._table.get(_USER + name)
        return row is not None and self._table.transact(
            delete_action(_USER + name, *unchanged(row, "token_hash")),
            *(delete_action(token, "attribute_exists(#id)", {}) for token in self._tokens_of(name, row)),
        )

    def _tokens_of(self, name: str, row: Row) -> list[str]:
        """The key of the row that leads to a user from the token: none where it is missing, or is another's."""
        token_hash = row.get("token_hash")
        token = self._table.get(_token(token_hash)) if isinstance(token_hash, str) else None
        if token is None or (isinstance(of := token.get("name"), str) and of != name):
            return []
        return [token["id"]]


def _token(token_hash: str) -> str:
    return f"token#{token_hash}"


def _facts(user: User) -> dict[str, Value | None]:
    return {"name": user.name, "created_ms": user.created_ms, "is_admin": 1 if user.is_admin else None}


@reads("user", lambda row: row["id"].removeprefix(_USER))
def _user(row: Row) -> User:
    # Under another name, somebody would be taken for another.
    if row["id"] != _USER + row["name"] or not isinstance(row["token_hash"], str):
        raise ValueError(row["id"])
    return _read(row)


# Never by the row's own id, which tokens are looked up by.
@reads("user", lambda row: row["name"] if isinstance(row.get("name"), str) else "unknown")
def _of_token(row: Row) -> User:
    return _read(row)


def _read(row: Row) -> User:
    return User(row["name"], row["created_ms"], is_admin=flag(row.get("is_admin"), None))
