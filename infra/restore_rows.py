"""Brings rows of a table back from a copy of it of an earlier time.

    restore_rows.py STACK TABLE COPY [ID ...]

TABLE is links, datasets or annotations; COPY is the table that DynamoDB's point-in-time recovery made of it. Without an ID it says
which rows are gone since, and in which others what is different, and writes nothing. Rows whose IDs are named become what they were,
`gone` being all that are gone; but a dataset comes to a revision that it never had. No row is ever removed. Works with your own AWS
credentials. Exit status 2, with one line, for what is not there.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from zarrlink.aws_errors import ask
from zarrlink.errors import InvalidRequest, SourceUnavailable
from zarrlink_local.aws_session import aws_session, client_of
from zarrlink_local.failure import in_one_line
from zarrlink_local.stack import describe_stack

# By what each is called in the command line. Users have two rows each that go together, and are added again instead.
TABLES: Final = {"links": "links_table", "datasets": "catalogue_table", "annotations": "annotations_table"}
GONE: Final = "gone"
# A dataset's second row, which makes its location unique and goes with the first (zarrlink.catalogue.dynamodb).
_PLACE: Final = "location#"
# Uploads have rows among the annotations (zarrlink.catalogue.uploads_dynamodb); what they were to become is there, or is not.
_ASIDE: Final = (_PLACE, "upload-")
# A dataset's never goes back; an annotation's goes with its location.
_REVISION: Final = "revision"
_REFUSED: Final = "TransactionCanceledException"
_NO_TABLE: Final = "ResourceNotFoundException"
# As DynamoDB gives and takes it: {"id": {"S": "..."}, ...}.
Row = Mapping[str, Any]


def main() -> None:
    if len(sys.argv) < 4:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    stack, table, copy, *ids = sys.argv[1:]
    try:
        for line in restore(stack, table, copy, ids):
            print(line, flush=True)
    except (InvalidRequest, SourceUnavailable) as error:
        print(f"restore_rows: {in_one_line(error)}", file=sys.stderr)
        sys.exit(2)


def restore(stack: str, table: str, copy: str, ids: list[str]) -> Iterator[str]:
    """A line for each row that is looked at or written. Raises InvalidRequest, SourceUnavailable."""
    if table not in TABLES:
        raise InvalidRequest(f"TABLE={table} cannot be: it is one of {', '.join(TABLES)}")
    session = aws_session()
    found = describe_stack(client_of(session, "cloudformation"), stack, session.region_name)
    name = getattr(found, TABLES[table])
    if copy == name:
        raise InvalidRequest(f"{copy} is the table itself, and no copy of it")
    client = client_of(session, "dynamodb")
    then, now = _rows(client, copy), _rows(client, name)
    places = {row["dataset"]["S"]: row for key, row in then.items() if key.startswith(_PLACE)}
    then, now = ({key: row for key, row in rows.items() if not key.startswith(_ASIDE)} for rows in (then, now))
    gone = sorted(then.keys() - now.keys())
    if not ids:
        changed = {key: _different(then[key], now[key]) for key in sorted(then.keys() & now.keys())}
        yield from (f"gone     {key}" for key in gone)
        yield from (f"changed  {key}  {', '.join(names)}" for key, names in changed.items() if names)
        yield f"{len(gone)} gone, {sum(map(bool, changed.values()))} changed, {len(now.keys() - then.keys())} new since"
        return
    wanted = [key for word in ids for key in (gone if word == GONE else [word])]
    unknown = [key for key in wanted if key not in then]
    if unknown:
        raise InvalidRequest(f"{copy} has no row {', '.join(unknown)}; nothing was written")
    for key in wanted:
        row = _unserved(then[key], now.get(key)) if table == "datasets" else then[key]
        _put(client, name, row, places.get(key))
        yield f"restored {key}"


def _unserved(then: Row, now: Row | None) -> Row:
    """A dataset's row of then, at a revision under which nothing was served yet.

    The CDN keeps chunks of each revision for a year, so none may come again. What a dataset had come to when it was removed
    is not known any more; but it was counted up one by one, from 1 or from the ms since 1970 of an earlier call, so the ms of
    now are above it. An annotation's own revision names files that never change, and may come again with them.
    """
    # A row that was written before there were revisions is at the first.
    known = [int(row.get(_REVISION, {"N": "1"})["N"]) for row in (then, now) if row is not None]
    return {**then, _REVISION: {"N": str(max(*known, time.time_ns() // 10**6) + 1)}}


def _put(client: Any, table: str, row: Row, place: Row | None) -> None:
    """With the row of its location, where it has one. Raises InvalidRequest where another dataset has come to have that."""
    writes: list[dict[str, Any]] = [{"Put": {"TableName": table, "Item": row}}]
    if place is not None:
        condition = {
            "ConditionExpression": "attribute_not_exists(id) OR dataset = :dataset",
            "ExpressionAttributeValues": {":dataset": row["id"]},
        }
        writes.append({"Put": {"TableName": table, "Item": place, **condition}})
    written = ask(
        lambda: client.transact_write_items(TransactItems=writes),
        or_none=[_REFUSED],
        service="DynamoDB transact_write_items",
    )
    if written is None:
        raise InvalidRequest(
            f"{row['id']['S']}: its location has been registered anew since; remove that dataset first"
        )


def _rows(client: Any, table: str) -> dict[str, Row]:
    """All rows by their id. Raises InvalidRequest where there is no such table."""
    rows = ask(lambda: list(_scanned(client, table)), or_none=[_NO_TABLE], service=f"DynamoDB scan of {table}")
    if rows is None:
        raise InvalidRequest(f"there is no table {table}")
    return {row["id"]["S"]: row for row in rows}


def _scanned(client: Any, table: str) -> Iterator[Row]:
    for page in client.get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
        yield from page["Items"]


def _different(then: Row, now: Row) -> list[str]:
    """Names of attributes. No values: some are only their owner's. No revision: that does not come back."""
    return sorted(name for name in then.keys() | now.keys() if name != _REVISION and then.get(name) != now.get(name))


if __name__ == "__main__":
    main()
