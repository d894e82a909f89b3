"""The `LinkStore` protocol."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, Literal, Protocol

from zarrlink.links.model import Link, Uses


class Keep:
    """Stands for "leave this field as it is"."""


KEEP: Final = Keep()
Change = Literal["expires_ms", "name", "note"]


class LinkStore(Protocol):
    """Rows of links. Every call is atomic: of concurrent changes none is lost.

    `owner` limits a call to that owner's links (None: any): others' links are as if they were not there.
    """

    def add(self, link: Link) -> None:
        """Raises ValueError where the id is taken."""
        ...

    def get(self, link_id: str) -> Link | None:
        """The link, revoked and expired ones as well. Raises DamagedRow."""
        ...

    def of_owner(self, owner: str | None) -> list[Link]:
        """Links that are not revoked, newest first; expired ones are among them, damaged ones are not."""
        ...

    def ids_of(self, owner: str) -> list[str]:
        """Of an owner's links that are not revoked, damaged ones as well, in any order; as of every finished change."""
        ...

    def change(
        self,
        link_id: str,
        owner: str | None,
        *,
        name: str | Keep = KEEP,
        note: str | Keep = KEEP,
        expires_ms: int | Keep | None = KEEP,
    ) -> Link | None:
        """The changed link; None where there is none that is not revoked. Raises DamagedRow, maybe when it is changed."""
        ...

    def revoke(self, link_id: str, owner: str | None, now_ms: int) -> bool:
        """Revoke a link, also one whose row is damaged. False where there is none that was not revoked already.

        There is no way back.
        """
        ...

    def all(self) -> Iterator[tuple[str, Link | None]]:
        """Every link by its id, revoked and expired ones as well, in any order; None for a row that is damaged."""
        ...

    def confirm_revoked(self, link_id: str, now_ms: int) -> bool:
        """The edge refuses a revoked link from now on. False where there is none such that was not confirmed already."""
        ...

    def count(self, uses: Mapping[str, Uses]) -> None:
        """Add openings to links, by id. One that is revoked, or not there any more, stays as it is."""
        ...
