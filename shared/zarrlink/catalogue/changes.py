"""What people say of datasets and annotations, and with whom they share them: one form, and its bounds."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import Any, Final

from zarrlink.access import VISIBILITIES, Visibility, check_collaborators
from zarrlink.errors import InvalidRequest

MAX_NAME: Final = 200
MAX_DESCRIPTION: Final = 10_000
MAX_TAGS: Final = 50
MAX_TAG: Final = 100


@dataclass(frozen=True, slots=True)
class Changes:
    """What is to be said from now on; None: what is said already. Raises InvalidRequest for what is out of bounds."""

    name: str | None = None
    description: str | None = None
    tags: tuple[str, ...] | None = None
    visibility: Visibility | None = None
    collaborators: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.name is not None and not (0 < len(self.name) <= MAX_NAME and self.name.isprintable()):
            raise InvalidRequest(f"a name has 1 to {MAX_NAME} printable characters")
        if self.description is not None:
            _check_description(self.description)
        if self.tags is not None:
            _check_tags(self.tags)
        if self.visibility is not None and self.visibility not in VISIBILITIES:
            raise InvalidRequest(f"a visibility is one of {', '.join(VISIBILITIES)}")
        if self.collaborators is not None:
            check_collaborators(self.collaborators)

    def given(self) -> dict[str, Any]:
        """What is not None, by field."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    def columns(self) -> dict[str, str]:
        """The same as tables keep it."""
        return {name: pack(value) if isinstance(value, tuple) else value for name, value in self.given().items()}


def pack(words: tuple[str, ...]) -> str:
    """Tags or collaborators as tables keep them: in one text, since the order is the owner's."""
    return json.dumps(words, ensure_ascii=False)


def unpack(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))


def _check_description(text: str) -> None:
    if len(text) > MAX_DESCRIPTION or not text.replace("\n", "").replace("\t", "").isprintable():
        raise InvalidRequest(f"a description has at most {MAX_DESCRIPTION} printable characters, line breaks and tabs")


def _check_tags(tags: tuple[str, ...]) -> None:
    if len(tags) > MAX_TAGS:
        raise InvalidRequest(f"{len(tags)} tags are given; at most {MAX_TAGS} are accepted")
    if len(set(tags)) < len(tags):
        raise InvalidRequest("a tag is given twice")
    for tag in tags:
        if not (0 < len(tag) <= MAX_TAG and tag.isprintable() and tag == tag.strip()):
            raise InvalidRequest(f"a tag has 1 to {MAX_TAG} printable characters, with no space around them")
