"""What a link is, and the rules of its life."""

from __future__ import annotations

import calendar
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal, NamedTuple

from zarrlink.errors import InvalidRequest, LinkGone
from zarrlink.rows import MAX_TIME_MS
from zarrlink.view import View

MAX_NAME: Final = 200
MAX_NOTE: Final = 2000

LinkState = Literal["active", "expired", "revoking", "revoked"]
"""`revoking`: revoked, but the edge is not known to refuse it yet."""


@dataclass(frozen=True, slots=True)
class Link:
    """A row of the link table. Times in ms since 1970, UTC. It holds no secret: the token is made from the id and a key.

    `geometry`: layer -> fingerprint of its geometry when the link was made. `expires_ms` None: never.
    `uses`: openings that were counted, `last_used_ms` when the last of them was; None: none was. `edge_ms`: since when the
    edge is known to refuse it after it was revoked; None: it is not (or there is no edge).
    """

    id: str
    owner: str
    view: View
    geometry: Mapping[str, str]
    name: str
    note: str
    created_ms: int
    expires_ms: int | None
    revoked_ms: int | None = None
    uses: int = 0
    last_used_ms: int | None = None
    edge_ms: int | None = None

    def is_expired(self, now_ms: int) -> bool:
        return self.expires_ms is not None and self.expires_ms < now_ms

    def state(self, now_ms: int, *, has_edge: bool) -> LinkState:
        """What becomes of whoever opens it. `has_edge`: whether a CDN is to be told of revocations."""
        if self.revoked_ms is not None:
            return "revoking" if has_edge and self.edge_ms is None else "revoked"
        return "expired" if self.is_expired(now_ms) else "active"

    def check(self, now_ms: int) -> None:
        """Raises LinkGone unless the link opens its view now."""
        if self.revoked_ms is not None:
            raise LinkGone("revoked")
        if self.is_expired(now_ms):
            raise LinkGone("expired")


class Uses(NamedTuple):
    """Openings of one link, and when the last of them was (ms since 1970).

    An opening is an answered GET of a metadata document of one of its layers. Programs ask for one to a few of them
    whenever they open a layer, and for none while they read on; so people have opened it at most that often.
    """

    openings: int
    last_ms: int


def new_link_id() -> str:
    """96 random bits, URL-safe, 16 characters; never starting with `-`, so that it can be typed after a command."""
    while True:
        link_id = secrets.token_urlsafe(12)
        if not link_id.startswith("-"):
            return link_id


def default_expiry_ms(created_ms: int) -> int:
    """One calendar month on (the month's last day where there is no such day), at 23:59:59.999 UTC."""
    created = datetime.fromtimestamp(created_ms / 1000, UTC)
    year, month = (created.year + 1, 1) if created.month == 12 else (created.year, created.month + 1)
    day = min(created.day, calendar.monthrange(year, month)[1])
    return end_of_day_ms(datetime(year, month, day, tzinfo=UTC))


def end_of_day_ms(day: datetime) -> int:
    """23:59:59.999 UTC of that day, in ms since 1970."""
    # In numbers, since the last day of all (9999-12-31) has no next one.
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000 + 86_400_000 - 1


def check_expiry(expires_ms: int | None) -> None:
    if expires_ms is not None and not 0 <= expires_ms <= MAX_TIME_MS:
        raise InvalidRequest(f"an expiry is milliseconds since 1970, from 0 to {MAX_TIME_MS}, or null for never")


def check_words(name: str, note: str) -> None:
    """A name and a note for people: bounded, and without control characters."""
    if len(name) > MAX_NAME or not (name.isprintable() or name == ""):
        raise InvalidRequest(f"a link's name has at most {MAX_NAME} printable characters")
    if len(note) > MAX_NOTE or not note.replace("\n", "").replace("\t", "").isprintable():
        raise InvalidRequest(f"a link's note has at most {MAX_NOTE} printable characters")


def iso_time(time_ms: int) -> str:
    """As `2026-12-23T23:59:59.999Z`."""
    moment = datetime.fromtimestamp(time_ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time_ms % 1000:03d}Z"
