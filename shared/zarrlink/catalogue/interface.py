"""The `Catalogue` protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from zarrlink.access import Visibility
from zarrlink.catalogue.changes import Changes


@dataclass(frozen=True, slots=True)
class DatasetRecord:
    """A registered dataset. `id`: 24 hex digits as WEBKNOSSOS's; `location`: a folder or object-store address.

    `is_renamed`: whether its name was given by somebody, and so does not follow that of its folder. `owner`: the name of
    who registered it, "" where that was the operator's command line. `revision`: raised whenever its files are exchanged.
    Beside these: `zarrlink.access.Shared`.
    """

    id: str
    name: str
    location: str
    created_ms: int
    is_renamed: bool = False
    description: str = ""
    tags: tuple[str, ...] = ()
    owner: str = ""
    visibility: Visibility = "organization"
    collaborators: tuple[str, ...] = ()
    revision: int = 1


NOTHING_SAID: Final = Changes()


class Catalogue(Protocol):
    """Datasets by id. Names need not be unique; locations are. Every call is atomic: of concurrent changes none is lost."""

    def register(
        self, name: str, location: str, now_ms: int, *, owner: str = "", about: Changes = NOTHING_SAID
    ) -> DatasetRecord:
        """The record of a location: the one it has already, or a new one of `owner` with what is said `about` it.

        `name`: of the folder; a record's name is brought up to date with it, unless somebody has given it one. All else
        of a record that is there stays.
        """
        ...

    def get(self, dataset_id: str) -> DatasetRecord | None: ...

    def all(self) -> list[DatasetRecord]:
        """By name, then id; damaged ones are left out."""
        ...

    def change(self, dataset_id: str, changes: Changes) -> DatasetRecord | None:
        """The changed record; None where there is none."""
        ...

    def revise(self, dataset_id: str) -> DatasetRecord | None:
        """Its files were exchanged: the record with its revision raised by one; None where there is none.

        To be said when all new files are there: whoever reads a file before keeps it as one of the new revision.
        """
        ...

    def remove(self, dataset_id: str) -> bool:
        """Forget a dataset (its files stay). False where there was none."""
        ...


def new_record(dataset_id: str, name: str, location: str, now_ms: int, *, owner: str, about: Changes) -> DatasetRecord:
    """What `register` adds."""
    facts = {"name": name, "is_renamed": about.name is not None, **about.given()}
    return DatasetRecord(id=dataset_id, location=location, created_ms=now_ms, owner=owner, **facts)
