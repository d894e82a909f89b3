"""Tables and a store in memory, and what must hold of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from contracts.link_store import link
from zarrlink.catalogue.annotations import AnnotationRecord
from zarrlink.catalogue.annotations_memory import MemoryAnnotations
from zarrlink.catalogue.memory import MemoryCatalogue
from zarrlink.edge.entries import key_entries, link_entry
from zarrlink.edge.memory import MemoryStore
from zarrlink.edge.revision import revision_of, source_revision
from zarrlink.edge.store import Decide
from zarrlink.edge.sync import EdgeSync
from zarrlink.library import Subject
from zarrlink.links.memory import MemoryLinks
from zarrlink.links.model import Link
from zarrlink.links.token import KeyRing
from zarrlink.view import View

NOW_MS = 1_795_429_320_000
DAY_MS = 24 * 3_600_000
RING = KeyRing({"a": b"a" * 32}, "a")
ANNOTATION = AnnotationRecord("5" * 24, "cells", "", "anna", "", "/a", "first", "", 7, 7)


class InterruptedLinks(MemoryLinks):
    """Before each look at a row the next of `interruptions` happens: another process does something in between."""

    def __init__(self) -> None:
        super().__init__()
        self.interruptions: list[Callable[[], None]] = []

    def get(self, link_id: str) -> Link | None:
        # What was read before the interruption is what counts as read.
        found = super().get(link_id)
        if self.interruptions:
            self.interruptions.pop()()
        return found

    def drop(self, link_id: str) -> None:
        """As the clean-up does."""
        self._links.pop(link_id, None)


class WatchedStore(MemoryStore):
    """Calls `watch` after each batch that is written."""

    watch: Callable[[], None] | None = None

    def _change(self, keys: Sequence[str], decide: Decide) -> bool:
        is_done = super()._change(keys, decide)
        if is_done and self.watch is not None:
            self.watch()
        return is_done


class World:
    """All of it, and what the store should hold."""

    def __init__(self, room_bytes: int | None = None) -> None:
        self.links, self.catalogue, self.annotations = InterruptedLinks(), MemoryCatalogue(), MemoryAnnotations()
        self.store = WatchedStore(room_bytes, batch=3)
        self.ring = RING
        self.now_ms = NOW_MS
        self.cleaned: set[str] = set()
        self.dataset = self.catalogue.register("em", "/data/em", 7)
        self.annotations.add(ANNOTATION)

    def sync(self) -> EdgeSync:
        """One of any number."""
        return EdgeSync(
            self.links, self.catalogue, self.annotations, lambda: self.ring, self.store, lambda: self.now_ms
        )

    def link(self, number: int, **changed: Any) -> Link:
        """A link to the dataset that opens for a day; of every second number, one to the annotation too."""
        view = View(self.dataset.id, ("em",), annotation=ANNOTATION.id if number % 2 else "")
        facts = {"view": view, "created_ms": NOW_MS - number, "expires_ms": NOW_MS + DAY_MS, **changed}
        return replace(link(number), **facts)

    def add(self, number: int, **changed: Any) -> Link:
        made = self.link(number, **changed)
        self.links.add(made)
        return made

    def clean_up(self, link_id: str) -> None:
        """Rows go when their links are over, and ids are never used again."""
        row = self.links._links.get(link_id)
        if row is not None and (row.revoked_ms is not None or row.is_expired(self.now_ms)):
            self.links.drop(link_id)
            self.cleaned.add(link_id)

    def meant(self) -> dict[str, str]:
        """What the rows say, found another way."""
        found = dict(key_entries(self.ring))
        for link_id, row in self.links.all():
            assert row is not None
            dataset, annotation = self.catalogue.get(row.view.dataset), self.annotations.get(row.view.annotation)
            is_gone = dataset is None or (row.view.annotation and annotation is None)
            source = source_revision(Subject(dataset, annotation))
            entry = link_entry(row, None if is_gone else revision_of(source, row.geometry), self.now_ms)
            if entry is not None:
                found[f"l:{link_id}"] = entry
        return found

    def entry(self, of: Link) -> str | None:
        return self.store.entries().get(f"l:{of.id}")

    def check_confirmed_stay_closed(self) -> None:
        """No link whose revocation was confirmed is open at the edge."""
        entries = self.store.entries()
        for link_id, row in self.links.all():
            if row is not None and row.edge_ms is not None:
                assert entries.get(f"l:{link_id}") in (None, "-")
