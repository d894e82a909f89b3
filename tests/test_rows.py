"""Values out of rows of tables. What the stores do with damaged ones: tests/contracts/damaged_rows.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Literal

import pytest

from zarrlink.errors import DamagedRow
from zarrlink.rows import MAX_TIME_MS, checked, flag, reads, whole, whole_or_none

State = Literal["open", "done"]


@dataclass(frozen=True)
class Record:
    name: str = "a"
    count: int = 1
    flag: bool = False
    tags: tuple[str, ...] = ()
    pairs: tuple[tuple[str, int], ...] = ()
    state: State = "open"
    before: State | None = None
    facts: Mapping[str, str] | None = None
    ended_ms: int | None = None


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"tags": ("\u4e2d", ""), "pairs": (("x", 1), ("y", -2)), "flag": True},
        {"before": "done", "facts": {"a": "b"}, "ended_ms": 0},
        {"ended_ms": MAX_TIME_MS, "count": -(10**20)},
    ],
    ids=str,
)
def test_what_is_as_it_is_declared_passes(facts: dict[str, Any]) -> None:
    record = Record(**facts)
    assert checked(record) is record


@pytest.mark.parametrize(
    "facts",
    [
        {"name": None},
        {"name": 1},
        {"name": "\ud800"},
        {"count": "1"},
        {"count": True},
        {"count": 1.0},
        {"flag": 1},
        {"tags": ["a"]},
        {"tags": ("a", 1)},
        {"tags": "a"},
        {"pairs": (("x",),)},
        {"pairs": (("x", "1"),)},
        {"state": "Open"},
        {"state": ["open"]},
        {"before": ""},
        {"facts": {"a": 1}},
        {"facts": []},
        {"ended_ms": -1},
        {"ended_ms": MAX_TIME_MS + 1},
        {"ended_ms": "0"},
    ],
    ids=str,
)
def test_what_is_not_as_it_is_declared_is_noticed(facts: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError)):
        checked(Record(**facts))


@reads("dataset", itemgetter("id"))
def record_of(row: dict[str, Any]) -> Record:
    return Record(count=row["count"])


def test_hundreds_of_damaged_rows_are_one_line(caplog: pytest.LogCaptureFixture) -> None:
    rows: list[dict[str, Any]] = [{"id": f"n{number}", "secret": number} for number in range(250)]
    assert whole(record_of, [{"id": "whole", "count": 7}, *rows]) == [Record(count=7)]
    (line,) = caplog.messages
    assert line.startswith("damaged rows are left out: dataset n0, dataset n1, ")
    assert line.endswith("dataset n99 and 150 more")


def test_what_is_beside_something_else_is_nothing_where_it_is_damaged(caplog: pytest.LogCaptureFixture) -> None:
    assert whole_or_none(record_of, {"id": "1", "count": 7}) == Record(count=7)
    assert not caplog.messages
    assert whole_or_none(record_of, {"id": "1"}) is None
    assert caplog.messages == ["damaged rows are left out: dataset 1"]


@pytest.mark.parametrize("no", [0, None])
def test_a_flag_is_one_or_what_says_no(no: int | None) -> None:
    assert flag(1, no)
    assert not flag(no, no)
    for odd in (2, -1, 0.5, "", "1", {}, {"BOOL": True}, frozenset({1}), None if no == 0 else 0):
        with pytest.raises(ValueError, match="flag"):
            flag(odd, no)


def test_the_words_of_a_row_are_in_no_failure() -> None:
    with pytest.raises(DamagedRow) as raised:
        record_of({"id": "1", "count": "a secret"})
    assert str(raised.value) == "the row of this dataset cannot be read"
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__
