"""Pinned addresses, `/c/{view id}/{revision}/{rest}`: what the edge lets through, and the CDN keeps for all links to a view."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from typing import Final

from zarrlink.edge.revision import revision_of, source_revision
from zarrlink.errors import LinkGone
from zarrlink.library import Subject
from zarrlink.links.interface import LinkStore
from zarrlink.links.model import Link
from zarrlink.streaming import Pin

MAX_KNOWN: Final = 4096


class PinnedLink:
    """A link, of which only what never changes is used: its view and geometry."""

    __slots__ = ("_revision", "_source", "link")

    def __init__(self, link: Link) -> None:
        self.link = link
        self._source: tuple[str, str] | None = None
        self._revision = ""

    def pin(self, revision: str) -> Pin:
        """Tells whether a subject is at this revision."""
        return partial(self._is_at, revision)

    def _is_at(self, revision: str, subject: Subject) -> bool:
        source = source_revision(subject)
        if source != self._source:
            # Chunk by chunk it is the same one: hashing it anew would take longer than finding the chunk.
            self._source, self._revision = source, revision_of(source, self.link.geometry)
        return revision == self._revision


class PinnedLinks:
    """Links by id, looked up once. Whether they are expired or revoked is the edge's to ask: requests of several links for
    one address become one, and must not fail for the one that it was made of."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, PinnedLink] = OrderedDict()

    def get(self, links: LinkStore, link_id: str, view: str) -> PinnedLink:
        """Raises LinkGone for one that is not there, or that is not to that view."""
        known = self._known.get(link_id)
        if known is None:
            link = links.get(link_id) if link_id else None
            if link is None:
                raise LinkGone("unknown")
            known = self._known[link_id] = PinnedLink(link)
            while len(self._known) > MAX_KNOWN:
                self._known.popitem(last=False)
        if known.link.view.id != view:
            raise LinkGone("another view")
        return known
