"""From the tables to the edge's store: each entry is brought to what its row says.

What sets it off (an event of a stream, a listing) only tells which rows to look at. The row is read when the store's
version is known already, and the store takes nothing that was decided by an older one (`EdgeStore.change`). So events may
come twice, late, in any order or not at all: a link that was revoked stays so at the edge.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from zarrlink.catalogue.annotations import AnnotationRecord, Annotations
from zarrlink.catalogue.interface import Catalogue, DatasetRecord
from zarrlink.edge.entries import entry_bytes, is_key, key_entries, link_entry, link_id_of, link_key
from zarrlink.edge.revision import revision_of, source_revision
from zarrlink.edge.store import EdgeStore
from zarrlink.errors import DamagedRow
from zarrlink.links.interface import LinkStore
from zarrlink.links.model import Link
from zarrlink.links.token import KeyRing

FULL: Final = 0.8
"""Above this share of the store's room, links that are not used have no entry: the rest is for revocations."""
_FULLER: Final = 0.95
_EXPIRED: Final = -1
_LATELY_MS: Final = 7 * 24 * 3_600_000

_LeaveOut = Callable[[str, Link, float], bool]
"""(key, link, share of the room that is taken) -> whether a link that is not revoked is to have no entry."""


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What was found. `mended`: entries that were not what the tables say; `left_out`: links, but for expired ones, that have
    none for lack of room; `damaged`: links whose rows, or those of what they open, cannot be read, and which have no entry therefore."""

    mended: int
    left_out: int
    damaged: tuple[str, ...]


class EdgeSync:
    """Keeps a store as the tables are. Every call raises SourceUnavailable where a table or the store cannot be reached.

    `keys`: reads the key ring as it is now. Of what is damaged there are ids of links, as in Reconciled: it keeps no other
    link waiting.
    """

    def __init__(
        self,
        links: LinkStore,
        catalogue: Catalogue,
        annotations: Annotations,
        keys: Callable[[], KeyRing],
        store: EdgeStore,
        now_ms: Callable[[], int],
    ) -> None:
        self._links = links
        self._catalogue = catalogue
        self._annotations = annotations
        self._keys = keys
        self._store = store
        self._now_ms = now_ms

    def sync_links(self, link_ids: Iterable[str]) -> frozenset[str]:
        """Bring the entries of these links up to date, and confirm those that are revoked. Which of them are damaged."""
        keys = {link_id: link_key(link_id) for link_id in dict.fromkeys(link_ids)}
        damaged = self._write([key for key in keys.values() if key is not None], self._no_room_for)
        return frozenset(damaged | {link_id for link_id, key in keys.items() if key is None})

    def sync_sources(self, source_ids: Collection[str]) -> frozenset[str]:
        """The same for all links to these datasets and annotations, whose revisions have changed or which are gone."""
        wanted = set(source_ids)
        return self.sync_links(
            [
                link_id
                for link_id, link in (self._links.all() if wanted else ())
                # Of a damaged row it cannot be told; `reconcile` reports it.
                if link is not None and wanted & {link.view.dataset, link.view.annotation}
            ]
        )

    def sync_keys(self) -> None:
        """Have every key of the ring in the store. One that was taken out of the ring goes with the next `reconcile`."""
        self._write_keys(list(key_entries(self._keys())))

    def reconcile(self) -> Reconciled:
        """Compare the store with all rows, and mend every difference: what events were lost for, and what others did."""
        held, ring = self._store.entries(), key_entries(self._keys())
        self._write_keys([key for key in held.keys() | ring.keys() if is_key(key) and held.get(key) != ring.get(key)])
        tables = self._read_tables()
        left_out = _least_used(ring | tables.meant, tables.used_ms, self._store.room_bytes)
        meant = {key: entry for key, entry in tables.meant.items() if key not in left_out}
        differing = {
            key for key in held.keys() | meant.keys() if not is_key(key) and held.get(key) != meant.get(key)
        } | tables.doubtful
        # First what ends links, and what makes room.
        in_turn = sorted(differing, key=lambda key: (key in tables.used_ms and key not in left_out, key))
        damaged = self._write(in_turn, lambda key, _link, _taken: key in left_out)
        mended = sum(held.get(key) != value for key, value in (ring | meant).items())
        mended += sum(key not in ring and key not in meant for key in held)
        # Expired ones, the first to be left out, miss nothing.
        missed = sum(tables.used_ms[key] != _EXPIRED for key in left_out)
        return Reconciled(mended, missed, tuple(sorted({*damaged, *tables.misnamed})))

    def _read_tables(self) -> _Tables:
        now_ms, sources, found = self._now_ms(), _Sources(self._catalogue, self._annotations), _Tables()
        for link_id, link in self._links.all():
            key = link_key(link_id)
            if key is None:
                found.misnamed.append(link_id)
                continue
            if link is None or (link.revoked_ms is not None and link.edge_ms is None):
                found.doubtful.add(key)
            try:
                entry = None if link is None else _entry(link, sources, now_ms)
            except DamagedRow:
                found.doubtful.add(key)
                continue
            if link is not None and entry is not None:
                found.meant[key] = entry
                if link.revoked_ms is None:
                    found.used_ms[key] = _EXPIRED if link.is_expired(now_ms) else _last_used_ms(link)
        return found

    def _write(self, keys: Sequence[str], leave_out: _LeaveOut) -> set[str]:
        """Entries as the rows of their links say, and no entry for what is no link's."""
        damaged: set[str] = set()
        revoked: set[str] = set()

        def decide(batch: Sequence[str], taken: float) -> dict[str, str | None]:
            decided: dict[str, str | None] = {}
            now_ms, sources = self._now_ms(), _Sources(self._catalogue, self._annotations)
            for key in batch:
                decided[key], link_id = None, link_id_of(key)
                if link_id is None:
                    continue
                # This may be the second time.
                damaged.discard(link_id)
                revoked.discard(link_id)
                try:
                    link = self._links.get(link_id)
                    entry = None if link is None else _entry(link, sources, now_ms)
                except DamagedRow:
                    damaged.add(link_id)
                    continue
                if link is None:
                    continue
                if link.revoked_ms is not None and link.edge_ms is None:
                    revoked.add(link_id)
                if link.revoked_ms is not None or not leave_out(key, link, taken):
                    decided[key] = entry
            return decided

        self._store.change(keys, decide)
        for link_id in sorted(revoked):
            self._links.confirm_revoked(link_id, self._now_ms())
        return damaged

    def _write_keys(self, keys: Sequence[str]) -> None:
        def decide(batch: Sequence[str], _taken: float) -> dict[str, str | None]:
            ring = key_entries(self._keys())
            return {key: ring.get(key) for key in batch}

        self._store.change(keys, decide)

    def _no_room_for(self, _key: str, link: Link, taken: float) -> bool:
        """Between two calls of `reconcile`, which knows who is used the least."""
        return taken >= _FULLER or (taken >= FULL and _last_used_ms(link) < self._now_ms() - _LATELY_MS)


@dataclass(frozen=True, slots=True)
class _Tables:
    """What the tables say. `meant`: entries of links by key; `used_ms`: of those that are not revoked, when they were used,
    or _EXPIRED.

    `doubtful`: keys of links to be looked at again, whatever the store holds. `misnamed`: ids that no link can have.
    """

    meant: dict[str, str] = field(default_factory=dict)
    used_ms: dict[str, int] = field(default_factory=dict)
    doubtful: set[str] = field(default_factory=set)
    misnamed: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Source:
    dataset: DatasetRecord | None
    annotation: AnnotationRecord | None


class _Sources:
    """What views are of, each looked up once; many links have one revision, too."""

    def __init__(self, catalogue: Catalogue, annotations: Annotations) -> None:
        self._revision = cache(self._find)
        self._dataset = cache(catalogue.get)
        self._annotation = cache(annotations.get)

    def revision(self, link: Link) -> str | None:
        """None where what the link opens is not there any more."""
        return self._revision(link.view.dataset, link.view.annotation, tuple(link.geometry.items()))

    def _find(self, dataset_id: str, annotation_id: str, geometry: tuple[tuple[str, str], ...]) -> str | None:
        dataset = self._dataset(dataset_id) if dataset_id else None
        annotation = self._annotation(annotation_id) if annotation_id else None
        if (dataset_id and dataset is None) or (annotation_id and annotation is None):
            return None
        return revision_of(source_revision(_Source(dataset, annotation)), dict(geometry))


def _entry(link: Link, sources: _Sources, now_ms: int) -> str | None:
    # A link that is revoked is so whatever has become of what it opened.
    return link_entry(link, None if link.revoked_ms is not None else sources.revision(link), now_ms)


def _last_used_ms(link: Link) -> int:
    return max(link.created_ms, link.last_used_ms or 0)


def _least_used(meant: Mapping[str, str], used_ms: Mapping[str, int], room_bytes: int | None) -> frozenset[str]:
    """The keys that are not to be there, so that the rest takes no more than `FULL` of the room."""
    if room_bytes is None:
        return frozenset()
    too_much = sum(entry_bytes(*entry) for entry in meant.items()) - FULL * room_bytes
    found: set[str] = set()
    for key in sorted(used_ms, key=lambda key: (used_ms[key], key)):
        if too_much <= 0:
            break
        found.add(key)
        too_much -= entry_bytes(key, meant[key])
    return frozenset(found)
