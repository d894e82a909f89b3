"""What DynamoDB's streams tell: which links, datasets and annotations have changed.

Source: DynamoDB developer guide, "DynamoDB Streams and AWS Lambda triggers"; AWS Lambda developer guide, "Configuring
partial batch response with DynamoDB and Lambda"; both read 2026-11.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple

Kind = Literal["link", "source"]

# In arn:aws:dynamodb:REGION:ACCOUNT:table/NAME/stream/LABEL
_TABLE: Final = re.compile(r":table/([^/]+)/")
# What an entry is made of. A use that was counted, or our own confirmation, changes none of it.
_LINK_FACTS: Final = ("view", "geometry", "expires_ms", "revoked_ms")
_SOURCE_FACTS: Final = ("revision",)
_SOURCE_ID: Final = re.compile(r"[0-9a-f]{24}", re.ASCII)


class Changed(NamedTuple):
    """A row to look at. `id`: of a link, or of a dataset or annotation."""

    kind: Kind
    id: str


def read_records(records: Iterable[Mapping[str, Any]], links_table: str) -> Iterator[Changed]:
    """The rows to look at, in the order of the records; of any other table than that of the links: sources of views.

    Records of rows that the edge is told nothing of are passed over: uploads, the places of datasets. Raises KeyError
    for what is no record of a stream.
    """
    for record in records:
        change = record["dynamodb"]
        row_id = change["Keys"]["id"]["S"]
        table = _TABLE.search(record["eventSourceARN"])
        is_link = table is not None and table[1] == links_table
        if is_link and _differs(change, _LINK_FACTS):
            yield Changed("link", row_id)
        # To a new one there are no links yet.
        is_known = _SOURCE_ID.fullmatch(row_id) is not None and record["eventName"] != "INSERT"
        if not is_link and is_known and _differs(change, _SOURCE_FACTS):
            yield Changed("source", row_id)


def _differs(change: Mapping[str, Any], facts: Iterable[str]) -> bool:
    """Whether one of these facts is another than before, or may be."""
    if "OldImage" not in change or "NewImage" not in change:
        return True
    old, new = change["OldImage"], change["NewImage"]
    return any(old.get(fact) != new.get(fact) for fact in facts)
