"""Expiries in words."""

from __future__ import annotations

import pytest

from zarrlink_local.expiry import in_words, parse_expiry

DAY_MS, MINUTE_MS = 86_400_000, 60_000
# 2026-11-23T20:00Z
NOW = 1_795_464_000_000


@pytest.mark.parametrize("given", ["30d", "720h", "2026-12-23", "2026-12-23T01:00:00Z"])
@pytest.mark.parametrize("later_ms", [0, 1, MINUTE_MS, 2 * 60 * MINUTE_MS])
def test_a_link_of_thirty_days_ends_in_thirty_days(given: str, later_ms: int) -> None:
    assert in_words(parse_expiry(given, NOW), NOW + later_ms) == "2026-12-23 (in 30 days)"


def test_near_ends_have_words_of_their_own() -> None:
    assert in_words(NOW + DAY_MS // 12, NOW) == "2026-11-23 (today)"
    assert in_words(NOW + DAY_MS // 2, NOW) == "2026-11-24 (tomorrow)"
    assert in_words(NOW + 2 * DAY_MS, NOW) == "2026-11-25 (in 2 days)"
    assert in_words(NOW - 1, NOW) == "2026-11-23 (expired)"
    assert in_words(None, NOW) == "never"
