"""Rows of a DynamoDB table: what the adapters of links, catalogue and users are made of.

Expressions are DynamoDB's own. Every attribute in them is written `#name`, since half of our names are reserved words,
and `:name` stands for the value given under that name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, Protocol

from zarrlink.aws_errors import service_error
from zarrlink.errors import SourceUnavailable

# Text, whole numbers and sets of them are all that our rows hold; nothing is an attribute that is not there.
Value = str | int | frozenset[int]
Row = dict[str, Any]

_NAME: Final = re.compile(r"#([a-z_]+)", re.ASCII)
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html, read 2026-11
_MAX_KEY_BYTES: Final = 2048
# Two writers at one row: each round takes DynamoDB some milliseconds, which is all the waiting that is needed.
_ATTEMPTS: Final = 10
_FAILED: Final = "ConditionalCheckFailed"
_CONFLICT: Final = "TransactionConflict"


class DynamoClient(Protocol):
    """What is asked of botocore's client, and so what a function must be allowed to do."""

    def get_item(self, **request: Any) -> Mapping[str, Any]: ...
    def put_item(self, **request: Any) -> Mapping[str, Any]: ...
    def update_item(self, **request: Any) -> Mapping[str, Any]: ...
    def query(self, **request: Any) -> Mapping[str, Any]: ...
    def scan(self, **request: Any) -> Mapping[str, Any]: ...
    def transact_write_items(self, **request: Any) -> Mapping[str, Any]: ...


class DynamoTable:
    """A table with the key `id`. Every call raises SourceUnavailable where DynamoDB refuses, fails or is not there."""

    def __init__(self, client: DynamoClient, name: str) -> None:
        self._client = client
        self._name = name

    def get(self, key: str) -> Row | None:
        """A row as of the last finished write of anybody."""
        if not _is_key(key):
            return None
        answer = self._call("get_item", Key=_stored({"id": key}), ConsistentRead=True)
        return _row(answer["Item"]) if "Item" in answer else None

    def put_new(self, row: Mapping[str, Value | None]) -> bool:
        """False where its key is taken."""
        return self._write("put_item", **_put_new(row)) is not None

    def update(self, key: str, change: str, only_if: str, values: Mapping[str, Value]) -> Row | None:
        """The row after an update expression; None where `only_if` did not hold."""
        if not _is_key(key):
            return None
        request = {
            "Key": _stored({"id": key}),
            "UpdateExpression": change,
            **_condition(only_if, change, values=values),
            "ReturnValues": "ALL_NEW",
        }
        answer = self._write("update_item", **request)
        return None if answer is None else _row(answer["Attributes"])

    def transact(self, *actions: dict[str, Any]) -> bool:
        """All of them (`put_new_action`, `update_action`, `delete_action`) or none; False where the condition of one did not hold."""
        items = [{kind: {**request, "TableName": self._name}} for action in actions for kind, request in action.items()]
        return self._write("transact_write_items", table=False, TransactItems=items) is not None

    def query(self, index: str, attribute: str, value: Value, only_if: str) -> Iterator[Row]:
        """Rows of an index, all pages. An index runs after its table by some milliseconds."""
        condition = {
            "IndexName": index,
            "KeyConditionExpression": f"#{attribute} = :{attribute}",
            "FilterExpression": only_if,
            "ExpressionAttributeNames": _names(only_if, f"#{attribute}"),
            "ExpressionAttributeValues": _stored({f":{attribute}": value}),
        }
        return self._pages("query", condition)

    def scan(self, only_if: str, values: Mapping[str, Value] | None = None) -> Iterator[Row]:
        """Rows of the whole table, all pages: what that costs grows with the table."""
        condition = {
            "FilterExpression": only_if,
            "ExpressionAttributeNames": _names(only_if),
            **_given(values),
            "ConsistentRead": True,
        }
        return self._pages("scan", condition)

    def _pages(self, operation: str, request: dict[str, Any]) -> Iterator[Row]:
        start: dict[str, Any] = {}
        while True:
            answer = self._call(operation, **request, **start)
            yield from map(_row, answer["Items"])
            if "LastEvaluatedKey" not in answer:
                return
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    def _write(self, operation: str, *, table: bool = True, **request: Any) -> Mapping[str, Any] | None:
        """DynamoDB's answer; None where a condition did not hold."""
        for _ in range(_ATTEMPTS):
            try:
                return self._call(operation, table=table, **request)
            except _Cancelled as error:
                if _FAILED in error.reasons:
                    return None
        raise SourceUnavailable(f"DynamoDB {operation}: {_CONFLICT}")

    def _call(self, operation: str, *, table: bool = True, **request: Any) -> Mapping[str, Any]:
        if table:
            request["TableName"] = self._name
        try:
            answer: Mapping[str, Any] = getattr(self._client, operation)(**request)
        except Exception as error:
            code = service_error(error)
            if code is None:
                raise
            reasons = _reasons(code, error)
            if reasons:
                raise _Cancelled(reasons) from error
            raise SourceUnavailable(f"DynamoDB {operation}: {code}") from error
        return answer


class _Cancelled(Exception):
    """A write did not come to pass, for these reasons: a condition that did not hold, or another writer."""

    def __init__(self, reasons: set[str]) -> None:
        super().__init__(*reasons)
        self.reasons = reasons


def _reasons(code: str, error: Exception) -> set[str]:
    """Why a write was called off; empty where the trouble is of another kind."""
    if code in (_FAILED + "Exception", _CONFLICT + "Exception"):
        return {code.removesuffix("Exception")}
    if code != "TransactionCanceledException":
        return set()
    listed = getattr(error, "response", {}).get("CancellationReasons", [])
    reasons = {reason.get("Code", "None") for reason in listed} - {"None"}
    # One that is throttled beside another that failed its condition: whether that one holds is known all the same.
    return reasons if _FAILED in reasons or reasons == {_CONFLICT} else set()


def put_new_action(row: Mapping[str, Value | None]) -> dict[str, Any]:
    """For `transact`: a row whose key must be free."""
    return {"Put": _put_new(row)}


def delete_action(key: str, only_if: str, values: Mapping[str, Value]) -> dict[str, Any]:
    """For `transact`: a row away, on a condition."""
    return {"Delete": {"Key": _stored({"id": key}), **_condition(only_if, values=values)}}


def update_action(key: str, change: str, only_if: str, values: Mapping[str, Value]) -> dict[str, Any]:
    """For `transact`: a row changed, on a condition."""
    key_and_change = {"Key": _stored({"id": key}), "UpdateExpression": change}
    return {"Update": {**key_and_change, **_condition(only_if, change, values=values)}}


def unchanged(row: Row, name: str) -> tuple[str, dict[str, Value]]:
    """The condition that a row is there and a text of it as it was read, with its values. What was no text still is none."""
    text = row.get(name)
    if isinstance(text, str):
        return f"#{name} = :seen", {"seen": text}
    return f"attribute_exists(#id) AND NOT attribute_type(#{name}, :text)", {"text": "S"}


def assignments(changes: Mapping[str, Value | None]) -> str:
    """The update expression that sets each attribute to the value of its name, or takes it away for None."""
    kept = ", ".join(f"#{name} = :{name}" for name, new in changes.items() if new is not None)
    gone = ", ".join(f"#{name}" for name, new in changes.items() if new is None)
    return " ".join(([f"SET {kept}"] if kept else []) + ([f"REMOVE {gone}"] if gone else []))


def _put_new(row: Mapping[str, Value | None]) -> dict[str, Any]:
    return {"Item": _stored(row), **_condition("attribute_not_exists(#id)")}


def _condition(*expressions: str, values: Mapping[str, Value] | None = None) -> dict[str, Any]:
    """The first is the condition; names in the others are translated as well."""
    return {
        "ConditionExpression": expressions[0],
        "ExpressionAttributeNames": _names(*expressions),
        **_given(values),
    }


def _given(values: Mapping[str, Value] | None) -> dict[str, Any]:
    """DynamoDB refuses an expression without values that comes with an empty list of them."""
    if not values:
        return {}
    return {"ExpressionAttributeValues": _stored({f":{name}": value for name, value in values.items()})}


def _names(*expressions: str) -> dict[str, str]:
    return {f"#{name}": name for expression in expressions for name in _NAME.findall(expression)}


def _stored(row: Mapping[str, Value | None]) -> dict[str, dict[str, Any]]:
    return {name: _typed(value) for name, value in row.items() if value is not None}


def _typed(value: Value) -> dict[str, Any]:
    if isinstance(value, frozenset):
        return {"NS": [str(number) for number in sorted(value)]}
    return {"N": str(value)} if isinstance(value, int) else {"S": value}


def _row(item: Mapping[str, Mapping[str, Any]]) -> Row:
    return {name: _plain(typed) for name, typed in item.items()}


def _plain(typed: Mapping[str, Any]) -> Any:
    """A Value. What we never write (a fraction, a truth value, a list, ...) stays as it came, which no reader of rows takes."""
    try:
        if "NS" in typed:
            return frozenset(map(int, typed["NS"]))
        return int(typed["N"]) if "N" in typed else str(typed["S"])
    except (KeyError, ValueError):
        return typed


def _is_key(text: str) -> bool:
    """DynamoDB refuses other keys as an error; for us nothing can be there."""
    return 0 < len(text.encode(errors="replace")) <= _MAX_KEY_BYTES
