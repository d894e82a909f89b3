"""The JSON that verbs answer, and what those of one kind share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote

from zarrlink.errors import InvalidRequest
from zarrlink.links.model import iso_time
from zarrlink_local.remote import Api
from zarrlink_local.state import State

Facts = dict[str, Any]
Place = State | Api
Show = Callable[[int, int], None]
"""Told how much is done, and of how much."""


def only_one(found: Sequence[Facts], name_or_id: str, noun: str) -> Facts:
    """The one of that id, or the only one of that name. Raises InvalidRequest."""
    for facts in found:
        if facts["id"] == name_or_id:
            return facts
    named = [facts for facts in found if facts["name"] == name_or_id]
    if len(named) > 1:
        ids = ", ".join(facts["id"] for facts in named)
        raise InvalidRequest(f"{len(named)} {noun}s are called {name_or_id!r}; use an id: {ids}")
    if not named:
        raise InvalidRequest(f"there is no {noun} {name_or_id!r}; `zarrlink {noun}s list` shows what there is")
    return named[0]


def segment(text: str) -> str:
    """As a part of an address."""
    return quote(text, safe="")


def iso(time_ms: int | None) -> str | None:
    return None if time_ms is None else iso_time(time_ms)


def is_found(facts: Facts, query: str, tags: Sequence[str]) -> bool:
    """Whether the words stand in name, description, owner or a tag, in any case of letters, and all the tags are there."""
    text = "\n".join([facts["name"], facts["description"], facts["owner"], *facts["tags"]]).casefold()
    return all(word in text for word in query.casefold().split()) and set(tags) <= set(facts["tags"])
