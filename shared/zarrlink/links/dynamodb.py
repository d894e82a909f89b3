"""A `LinkStore` in DynamoDB. Table and index: `zarrlink.aws_tables.LINKS`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from operator import itemgetter
from typing import Final

from zarrlink.aws_tables import BY_OWNER
from zarrlink.dynamodb_table import DynamoClient, DynamoTable, Row, Value, assignments
from zarrlink.errors import DamagedRow
from zarrlink.links.interface import KEEP, Keep
from zarrlink.links.model import Link, Uses
from zarrlink.rows import checked, reads, whole
from zarrlink.view import View

# How long a row outlives its link: in the owner's list, and for an expiry to be extended.
KEPT_S: Final = 30 * 24 * 3600
_NOT_REVOKED: Final = "attribute_not_exists(#revoked_ms)"
_ALIVE: Final = f"attribute_exists(#id) AND {_NOT_REVOKED}"
# To what is no number, nothing can be added.
_COUNTED: Final = f"{_ALIVE} AND (attribute_not_exists(#uses) OR attribute_type(#uses, :number))"
_LATER: Final = "(attribute_not_exists(#last_used_ms) OR #last_used_ms < :last_used_ms)"


class DynamoLinks:
    """Links in a table of their own.

    `get` sees every finished change. A list is read from an index, which follows within milliseconds: a link made or
    revoked a moment ago may be missing or listed still. `ttl` (seconds) is for clean-up alone and compared nowhere.
    """

    def __init__(self, client: DynamoClient, table: str) -> None:
        self._table = DynamoTable(client, table)

    def add(self, link: Link) -> None:
        row: dict[str, Value | None] = {
            "id": link.id,
            "owner": link.owner,
            "view": link.view.to_json(),
            "geometry": json.dumps(link.geometry, sort_keys=True),
            "name": link.name,
            "note": link.note,
            "created_ms": link.created_ms,
            "expires_ms": link.expires_ms,
            "revoked_ms": link.revoked_ms,
            # Not there until it is used.
            "uses": link.uses or None,
            "last_used_ms": link.last_used_ms,
            "edge_ms": link.edge_ms,
            "ttl": _ttl(link.expires_ms),
        }
        if not self._table.put_new(row):
            raise ValueError(f"link id {link.id} is taken")

    def get(self, link_id: str) -> Link | None:
        row = self._table.get(link_id)
        return None if row is None else _link(row)

    def of_owner(self, owner: str | None) -> list[Link]:
        if owner is None:
            rows = self._table.scan(_NOT_REVOKED)
        elif owner:
            rows = self._table.query(BY_OWNER, "owner", owner, _NOT_REVOKED)
        else:
            return []  # the key of an index cannot be empty
        return sorted(whole(_link, rows), key=lambda link: (-link.created_ms, link.id))

    def ids_of(self, owner: str) -> list[str]:
        # Not by the index, which follows later.
        rows = self._table.scan(f"{_NOT_REVOKED} AND #owner = :owner", {"owner": owner})
        return [row["id"] for row in rows]

    def change(
        self,
        link_id: str,
        owner: str | None,
        *,
        name: str | Keep = KEEP,
        note: str | Keep = KEEP,
        expires_ms: int | Keep | None = KEEP,
    ) -> Link | None:
        changes: dict[str, Value | None] = {}
        if not isinstance(name, Keep):
            changes["name"] = name
        if not isinstance(note, Keep):
            changes["note"] = note
        if not isinstance(expires_ms, Keep):
            changes |= {"expires_ms": expires_ms, "ttl": _ttl(expires_ms)}
        values = {field: new for field, new in changes.items() if new is not None}
        row = self._update(link_id, owner, assignments(changes) or "SET #name = #name", values)
        return None if row is None else _link(row)

    def revoke(self, link_id: str, owner: str | None, now_ms: int) -> bool:
        # A link that never expires would stay for good.
        change = "SET #revoked_ms = :revoked_ms, #ttl = if_not_exists(#ttl, :ttl)"
        values: dict[str, Value] = {"revoked_ms": now_ms, "ttl": now_ms // 1000 + KEPT_S}
        return self._update(link_id, owner, change, values) is not None

    def all(self) -> Iterator[tuple[str, Link | None]]:
        return ((row["id"], _link_or_none(row)) for row in self._table.scan("attribute_exists(#id)"))

    def confirm_revoked(self, link_id: str, now_ms: int) -> bool:
        only_if = "attribute_exists(#revoked_ms) AND attribute_not_exists(#edge_ms)"
        return self._table.update(link_id, "SET #edge_ms = :edge_ms", only_if, {"edge_ms": now_ms}) is not None

    def count(self, uses: Mapping[str, Uses]) -> None:
        for link_id, (openings, last_ms) in uses.items():
            change = "SET #last_used_ms = :last_used_ms ADD #uses :uses"
            values: dict[str, Value] = {"uses": openings, "number": "N"}
            latest = {**values, "last_used_ms": last_ms}
            if self._table.update(link_id, change, f"{_COUNTED} AND {_LATER}", latest) is None:
                # Another has counted a later one; or there is no such link, and an update must not make one.
                self._table.update(link_id, "ADD #uses :uses", _COUNTED, values)

    def _update(self, link_id: str, owner: str | None, change: str, values: dict[str, Value]) -> Row | None:
        condition = _ALIVE
        if owner is not None:
            condition, values = f"{_ALIVE} AND #owner = :owner", {**values, "owner": owner}
        return self._table.update(link_id, change, condition, values)


def _ttl(expires_ms: int | None) -> int | None:
    return None if expires_ms is None else expires_ms // 1000 + KEPT_S


@reads("link", itemgetter("id"))
def _link(row: Row) -> Link:
    return Link(
        id=row["id"],
        owner=row["owner"],
        view=_view(row["view"]),
        geometry=json.loads(row["geometry"]),
        name=row["name"],
        note=row["note"],
        created_ms=row["created_ms"],
        expires_ms=row.get("expires_ms"),
        revoked_ms=row.get("revoked_ms"),
        uses=row.get("uses", 0),
        last_used_ms=row.get("last_used_ms"),
        edge_ms=row.get("edge_ms"),
    )


def _link_or_none(row: Row) -> Link | None:
    try:
        return _link(row)
    except DamagedRow:
        return None


# Read for every request and never changed once written.
@lru_cache(maxsize=4096)
def _view(text: str) -> View:
    return checked(View.from_json(text))
