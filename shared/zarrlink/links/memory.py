"""A `LinkStore` in memory: for tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

from zarrlink.links.interface import KEEP, Keep
from zarrlink.links.model import Link, Uses


class MemoryLinks:
    """Links of one process."""

    def __init__(self) -> None:
        self._links: dict[str, Link] = {}

    def add(self, link: Link) -> None:
        if link.id in self._links:
            raise ValueError(f"link id {link.id} is taken")
        self._links[link.id] = replace(link, geometry=MappingProxyType(dict(link.geometry)))

    def get(self, link_id: str) -> Link | None:
        return self._links.get(link_id)

    def of_owner(self, owner: str | None) -> list[Link]:
        mine = [link for link in self._links.values() if link.revoked_ms is None and owner in (None, link.owner)]
        return sorted(mine, key=lambda link: (-link.created_ms, link.id))

    def ids_of(self, owner: str) -> list[str]:
        return [link.id for link in self.of_owner(owner)]

    def change(
        self,
        link_id: str,
        owner: str | None,
        *,
        name: str | Keep = KEEP,
        note: str | Keep = KEEP,
        expires_ms: int | Keep | None = KEEP,
    ) -> Link | None:
        link = self._alive(link_id, owner)
        if link is None:
            return None
        self._links[link_id] = replace(
            link,
            name=link.name if isinstance(name, Keep) else name,
            note=link.note if isinstance(note, Keep) else note,
            expires_ms=link.expires_ms if isinstance(expires_ms, Keep) else expires_ms,
        )
        return self._links[link_id]

    def revoke(self, link_id: str, owner: str | None, now_ms: int) -> bool:
        link = self._alive(link_id, owner)
        if link is None:
            return False
        self._links[link_id] = replace(link, revoked_ms=now_ms)
        return True

    def all(self) -> Iterator[tuple[str, Link | None]]:
        yield from list(self._links.items())

    def confirm_revoked(self, link_id: str, now_ms: int) -> bool:
        link = self._links.get(link_id)
        if link is None or link.revoked_ms is None or link.edge_ms is not None:
            return False
        self._links[link_id] = replace(link, edge_ms=now_ms)
        return True

    def count(self, uses: Mapping[str, Uses]) -> None:
        for link_id, (openings, last_ms) in uses.items():
            link = self._alive(link_id, None)
            if link is not None:
                last = max(last_ms, link.last_used_ms or 0)
                self._links[link_id] = replace(link, uses=link.uses + openings, last_used_ms=last)

    def _alive(self, link_id: str, owner: str | None) -> Link | None:
        link = self._links.get(link_id)
        if link is None or link.revoked_ms is not None or owner not in (None, link.owner):
            return None
        return link
