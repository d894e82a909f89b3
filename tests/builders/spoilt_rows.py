"""Rows as somebody leaves them who edits a table by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zarrlink.sqlite_file import SqliteFile

Spoil = Callable[[str, str, str | int], None]
"""Gives a field of the row with that id another value."""


def in_file(file: SqliteFile, table: str, key: str = "id") -> Spoil:
    def spoil(row_id: str, field: str, value: str | int) -> None:
        with file.write() as connection:
            connection.execute(f"UPDATE {table} SET {field} = ? WHERE {key} = ?", (value, row_id))

    return spoil


def in_dynamodb(client: Any, table: str, prefix: str = "") -> Spoil:
    def spoil(row_id: str, field: str, value: str | int) -> None:
        put(client, table, prefix + row_id, field, {"S": value} if isinstance(value, str) else {"N": str(value)})

    return spoil


def put(client: Any, table: str, row_id: str, field: str, typed: dict[str, Any]) -> None:
    """A value of any of DynamoDB's types."""
    client.update_item(
        TableName=table,
        Key={"id": {"S": row_id}},
        UpdateExpression="SET #field = :value",
        ExpressionAttributeNames={"#field": field},
        ExpressionAttributeValues={":value": typed},
    )
