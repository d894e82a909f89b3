"""What a link is, and how long it lives."""

from __future__ import annotations

import calendar
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zarrlink.errors import InvalidRequest, LinkGone
from zarrlink.links.model import (
    MAX_NAME,
    MAX_NOTE,
    MAX_TIME_MS,
    Link,
    check_expiry,
    check_words,
    default_expiry_ms,
    end_of_day_ms,
    iso_time,
    new_link_id,
)
from zarrlink.view import View

moments = st.datetimes(datetime(1970, 1, 1), datetime(9998, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001
NOW_MS = 1_790_000_000_000


def ms(moment: datetime) -> int:
    return calendar.timegm(moment.timetuple()) * 1000 + moment.microsecond // 1000


def default_expiry(created: str) -> str:
    return iso_time(default_expiry_ms(ms(datetime.fromisoformat(created).astimezone(UTC))))


def link(**changed: Any) -> Link:
    facts: dict[str, Any] = {
        "id": "a" * 16,
        "owner": "anna",
        "view": View("0" * 24, ("em",)),
        "geometry": {"em": "x"},
        "name": "",
        "note": "",
        "created_ms": NOW_MS,
        "expires_ms": NOW_MS,
    }
    return Link(**{**facts, **changed})


# --- default expiry ---


@pytest.mark.parametrize(
    ("created", "expires"),
    [
        pytest.param("2026-11-23T03:47:25Z", "2026-12-23T23:59:59.999Z", id="plain"),
        pytest.param("2026-11-23T00:00:00Z", "2026-12-23T23:59:59.999Z", id="first-moment-of-a-day"),
        pytest.param("2026-11-23T23:59:59.999Z", "2026-12-23T23:59:59.999Z", id="last-moment-of-a-day"),
        pytest.param("2026-12-10T12:00:00Z", "2027-01-10T23:59:59.999Z", id="december"),
        pytest.param("2026-12-31T23:59:59Z", "2027-01-31T23:59:59.999Z", id="last-day-of-december"),
        pytest.param("2026-01-31T12:00:00Z", "2026-02-28T23:59:59.999Z", id="february"),
        pytest.param("2028-01-31T12:00:00Z", "2028-02-29T23:59:59.999Z", id="february-of-a-leap-year"),
        pytest.param("2028-01-29T12:00:00Z", "2028-02-29T23:59:59.999Z", id="leap-day"),
        pytest.param("2028-02-29T12:00:00Z", "2028-03-29T23:59:59.999Z", id="from-a-leap-day"),
        pytest.param("2100-01-30T12:00:00Z", "2100-02-28T23:59:59.999Z", id="a-century-is-no-leap-year"),
        pytest.param("2000-01-30T12:00:00Z", "2000-02-29T23:59:59.999Z", id="every-fourth-century-is"),
        pytest.param("2026-03-31T12:00:00Z", "2026-04-30T23:59:59.999Z", id="clamped-to-30"),
        pytest.param("2026-04-30T12:00:00Z", "2026-05-30T23:59:59.999Z", id="not-stretched-to-31"),
        pytest.param("2026-10-25T00:30:00+02:00", "2026-11-24T23:59:59.999Z", id="days-are-days-of-utc"),
    ],
)
def test_a_link_lives_for_a_calendar_month(created: str, expires: str) -> None:
    assert default_expiry(created) == expires


@given(moments)
def test_the_default_expiry_is_the_last_moment_of_a_day_of_the_next_month(created: datetime) -> None:
    expires = datetime.fromtimestamp(default_expiry_ms(ms(created)) // 1000, UTC)
    assert default_expiry_ms(ms(created)) % 1000 == 999
    assert (expires.hour, expires.minute, expires.second) == (23, 59, 59)
    assert (expires.year * 12 + expires.month) - (created.year * 12 + created.month) == 1
    last_day = calendar.monthrange(expires.year, expires.month)[1]
    assert expires.day == min(created.day, last_day)


@given(moments)
def test_a_link_lives_at_least_28_days_and_less_than_33(created: datetime) -> None:
    lifetime = timedelta(milliseconds=default_expiry_ms(ms(created)) - ms(created))
    assert timedelta(days=28) <= lifetime < timedelta(days=33)


@given(moments)
def test_a_day_ends_a_millisecond_before_the_next(day: datetime) -> None:
    end = end_of_day_ms(day)
    assert (end + 1) % (24 * 3600 * 1000) == 0
    assert 0 <= end - ms(day) < 24 * 3600 * 1000


def test_the_last_day_that_can_be_written_down_has_an_end() -> None:
    assert end_of_day_ms(datetime(9999, 12, 31, tzinfo=UTC)) == MAX_TIME_MS


# --- life ---


def test_a_link_opens_until_its_last_millisecond() -> None:
    link().check(NOW_MS)
    with pytest.raises(LinkGone) as gone:
        link().check(NOW_MS + 1)
    assert gone.value.reason == "expired"


def test_a_link_without_expiry_opens_for_ever() -> None:
    link(expires_ms=None).check(MAX_TIME_MS)


@pytest.mark.parametrize("expires_ms", [None, NOW_MS, 0])
def test_a_revoked_link_opens_nothing(expires_ms: int | None) -> None:
    with pytest.raises(LinkGone) as gone:
        link(expires_ms=expires_ms, revoked_ms=NOW_MS).check(0)
    assert gone.value.reason == "revoked"


def test_outside_one_cannot_tell_why_a_link_is_gone() -> None:
    sentences = set()
    for dead in (link(revoked_ms=1), link(expires_ms=0)):
        with pytest.raises(LinkGone) as gone:
            dead.check(NOW_MS)
        sentences.add(str(gone.value))
    assert len(sentences) == 1


@pytest.mark.parametrize("expires_ms", [None, 0, 1, MAX_TIME_MS])
def test_an_expiry_is_a_time_that_can_be_written_down(expires_ms: int | None) -> None:
    check_expiry(expires_ms)


@pytest.mark.parametrize("expires_ms", [-1, MAX_TIME_MS + 1])
def test_another_expiry_is_refused(expires_ms: int) -> None:
    with pytest.raises(InvalidRequest):
        check_expiry(expires_ms)


# --- words ---


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("", ""),
        ("for the paper", ""),
        ("\u00e9\u4e2d \U0001f9e0", "two\nlines\tand more"),
        ("n" * MAX_NAME, "n" * MAX_NOTE),
    ],
)
def test_words_for_people_are_fine(name: str, note: str) -> None:
    check_words(name, note)


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("n" * (MAX_NAME + 1), ""),
        ("", "n" * (MAX_NOTE + 1)),
        ("two\nlines", ""),
        ("\0", ""),
        ("\u202e", ""),
        ("\ud800", ""),
        ("", "\0"),
        ("", "\x1b[31m"),
        ("", "\r\n"),
        ("", "\udc80"),
    ],
)
def test_words_that_are_too_long_or_cannot_be_printed_are_refused(name: str, note: str) -> None:
    with pytest.raises(InvalidRequest):
        check_words(name, note)


# --- ids, times ---


def test_link_ids_are_16_characters_and_never_the_same() -> None:
    ids = {new_link_id() for _ in range(2000)}
    assert len(ids) == 2000
    assert all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{15}", link_id) for link_id in ids)


@given(st.integers(0, MAX_TIME_MS))
def test_a_time_is_written_to_the_millisecond(time_ms: int) -> None:
    text = iso_time(time_ms)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text)
    assert ms(datetime.fromisoformat(text)) == time_ms


def test_the_last_time_is_the_last_of_the_year_9999() -> None:
    assert iso_time(MAX_TIME_MS) == "9999-12-31T23:59:59.999Z"
