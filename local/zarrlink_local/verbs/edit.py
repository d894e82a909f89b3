"""What is to be changed of a dataset or an annotation: what people say of it, and whom it is shared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zarrlink.access import Visibility
from zarrlink.catalogue.changes import Changes
from zarrlink_local.verbs.facts import Facts


@dataclass(frozen=True, slots=True)
class Edit:
    """None and nothing: as it is. `tags`, `people`: to be there; `without_tags`, `without_people`: not to be there."""

    name: str | None = None
    description: str | None = None
    tags: tuple[str, ...] = ()
    without_tags: tuple[str, ...] = ()
    visibility: Visibility | None = None
    people: tuple[str, ...] = ()
    without_people: tuple[str, ...] = ()

    def changes(self, tags: Sequence[str] = (), people: Sequence[str] = ()) -> Changes:
        """To what has these tags and collaborators now. Raises InvalidRequest for what cannot be."""
        return Changes(
            name=self.name,
            description=self.description,
            tags=_edited(tags, self.tags, self.without_tags),
            visibility=self.visibility,
            collaborators=_edited(people, self.people, self.without_people),
        )

    def body(self, facts: Facts) -> Facts:
        """The same as the API takes it."""
        given = self.changes(facts["tags"], facts["collaborators"]).given()
        return {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}


def _edited(now: Sequence[str], more: tuple[str, ...], less: tuple[str, ...]) -> tuple[str, ...] | None:
    if not more and not less:
        return None
    return tuple(word for word in dict.fromkeys([*now, *more]) if word not in less)
