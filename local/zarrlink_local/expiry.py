"""Expiries as people type them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from zarrlink.errors import InvalidRequest
from zarrlink.links.model import end_of_day_ms, iso_time

_SPAN: Final = re.compile(r"([0-9]{1,5})([hdw])", re.ASCII)
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_DAY_MS: Final = 86_400_000
_UNIT_MS: Final = {"h": 3_600_000, "d": _DAY_MS, "w": 7 * _DAY_MS}


def parse_expiry(text: str, now_ms: int) -> int | None:
    """Milliseconds since 1970, None for never.

    Accepted: `never`; a day, which is meant to its end (UTC); a moment such as 2026-12-23T12:00:00Z; a span from now
    such as 12h, 30d, 2w.
    """
    if text == "never":
        return None
    span = _SPAN.fullmatch(text)
    if span:
        return now_ms + int(span[1]) * _UNIT_MS[span[2]]
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        accepted = "never, 2026-12-23, 2026-12-23T12:00:00Z, 12h, 30d or 2w"
        raise InvalidRequest(f"{text[:40]!r} is not an expiry; accepted are {accepted}") from error
    if _DAY.fullmatch(text):
        return end_of_day_ms(moment)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def in_words(expires_ms: int | None, now_ms: int) -> str:
    """As `2026-12-23 (in 30 days)`."""
    if expires_ms is None:
        return "never"
    # Days of the UTC calendar, as on the web page: counted in hours, a link of 30 days would have 29 a moment later.
    day, days = iso_time(expires_ms)[:10], expires_ms // _DAY_MS - now_ms // _DAY_MS
    if expires_ms < now_ms:
        return f"{day} (expired)"
    return f"{day} ({('today', 'tomorrow')[days] if days < 2 else f'in {days} days'})"
