"""Keeping annotations: uploads in, revisions on the shelf, records in their table."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from zarrlink.annotations.imports import Progress, import_opened
from zarrlink.annotations.manifest import Manifest
from zarrlink.annotations.sink import PackSink
from zarrlink.annotations.upload import ImportLimits, OpenUpload, open_upload
from zarrlink.catalogue.annotations import AnnotationRecord, Annotations
from zarrlink.catalogue.interface import Catalogue, DatasetRecord
from zarrlink.errors import InvalidRequest

MAX_NAME: Final = 200


class Vault(Protocol):
    """Where imports lie: a place for each revision of each annotation."""

    def sink(self, annotation_id: str, revision: str) -> tuple[PackSink, str]:
        """Where a new revision is written, and the location that it will have."""
        ...

    def keep_only(self, annotation_id: str, revisions: tuple[str, ...]) -> None:
        """Remove every other revision; what cannot be removed stays."""
        ...

    def discard(self, annotation_id: str, revision: str) -> None:
        """Remove one revision that nobody has come to know of; what cannot be removed stays."""
        ...


@dataclass(frozen=True, slots=True)
class Upload:
    """A file to import. `name`: what it is called, with its ending; `owner`: whose it becomes.

    `dataset`: the one that it is of, None for the one that its NML names. `scratch`: a folder for temporary files.
    """

    file: BinaryIO
    name: str
    owner: str
    scratch: Path
    dataset: DatasetRecord | None = None
    _opened: list[OpenUpload] = field(default_factory=list, init=False, repr=False, compare=False)

    def opened(self, limits: ImportLimits) -> OpenUpload:
        """With its NML read, which takes a while, and is done once. Raises InvalidRequest."""
        if not self._opened:
            stem = self.name.rpartition(".")[0] or self.name
            # It is shown in lists and terminals.
            printable = "".join(letter if letter.isprintable() else "_" for letter in stem)
            self._opened.append(open_upload(self.file, limits, printable))
        return self._opened[0]


@dataclass(frozen=True, slots=True)
class Shelf:
    """The annotations of a zarrlink."""

    annotations: Annotations
    catalogue: Catalogue
    vault: Vault
    limits: ImportLimits

    def add(self, upload: Upload, now_ms: int, progress: Progress, *, annotation_id: str = "") -> AnnotationRecord:
        """Import an annotation as a new one.

        `annotation_id`: the id that it has to have. Several imports for one id may run at once: the first to end is the
        annotation, and the others leave nothing and give its record.
        Raises InvalidRequest for what is wrong with the upload, SourceUnavailable where it cannot be written.
        """
        new_id, revision = annotation_id or secrets.token_hex(12), secrets.token_hex(8)
        record = self._import(upload, new_id, revision, now_ms, progress)
        if self.annotations.add(record) or self._at(new_id, revision) is not None:
            return record
        self.vault.discard(new_id, revision)
        first = self.annotations.get(new_id)
        if not annotation_id or first is None:
            raise InvalidRequest("another annotation took the id in the meantime: import it again")
        return first

    def revise(self, record: AnnotationRecord, upload: Upload, now_ms: int, progress: Progress) -> AnnotationRecord:
        """Import an annotation in the place of one that is there. Links follow it where its geometry is the same.

        The revision before stays until the one after next, for those who are reading it.
        """
        revision = secrets.token_hex(8)
        found = self._import(upload, record.id, revision, now_ms, progress)
        newer = replace(found, dataset=record.dataset) if upload.dataset is None and not found.dataset else found
        kept = self.annotations.revise(newer, record.revision) or self._at(record.id, revision)
        if kept is None:
            self.vault.discard(record.id, revision)
            raise InvalidRequest("the annotation was changed by somebody else in the meantime: import it again")
        self.vault.keep_only(record.id, (record.revision, revision))
        return kept

    def remove(self, annotation_id: str) -> bool:
        """Forget an annotation with all that it holds; its links end. False where there is none."""
        removed = self.annotations.remove(annotation_id)
        if removed:
            self.vault.keep_only(annotation_id, ())
        return removed

    def earlier(self, upload: Upload) -> AnnotationRecord | None:
        """The owner's annotation that was imported from the same one of WEBKNOSSOS. Raises InvalidRequest."""
        source_id = upload.opened(self.limits).facts.annotation_id
        if not source_id:
            return None
        found = [record for record in self.annotations.all() if record.source_id == source_id]
        return next((record for record in found if record.owner == upload.owner), None)

    def _at(self, annotation_id: str, revision: str) -> AnnotationRecord | None:
        """The record if it names a revision of ours although its table refused it: a write whose answer was lost on the
        way is sent again by the table's client, and the second finds the first."""
        current = self.annotations.get(annotation_id)
        return current if current is not None and current.revision == revision else None

    def _import(
        self, upload: Upload, annotation_id: str, revision: str, now_ms: int, progress: Progress
    ) -> AnnotationRecord:
        sink, location = self.vault.sink(annotation_id, revision)
        try:
            opened = upload.opened(self.limits)
            manifest = import_opened(opened, sink, scratch=upload.scratch, limits=self.limits, progress=progress)
            dataset = upload.dataset or self.dataset_of(manifest)
        except BaseException:
            self.vault.discard(annotation_id, revision)
            raise
        return AnnotationRecord(
            id=annotation_id,
            name=manifest.name[:MAX_NAME],
            description="",
            owner=upload.owner,
            dataset="" if dataset is None else dataset.id,
            location=location,
            revision=revision,
            source_id=manifest.annotation_id or "",
            created_ms=now_ms,
            modified_ms=now_ms,
        )

    def dataset_of(self, manifest: Manifest) -> DatasetRecord | None:
        """The dataset that an annotation names: by its id, or the only one of its name."""
        record = self.catalogue.get(manifest.dataset_id) if manifest.dataset_id else None
        if record is None and manifest.dataset_name:
            named = [record for record in self.catalogue.all() if record.name == manifest.dataset_name]
            record = named[0] if len(named) == 1 else None
        return record
