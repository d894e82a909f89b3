"""Verbs of annotations."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import unquote

from zarrlink.annotations.download import download, safe_file_name
from zarrlink.annotations.manifest import Manifest
from zarrlink.annotations.nml_boxes import user_boxes
from zarrlink.annotations.volume_zip import VolumeData
from zarrlink.catalogue.annotations import AnnotationRecord
from zarrlink.errors import DamagedRow, InvalidRequest, ZarrlinkError
from zarrlink.library import Subject
from zarrlink.opening.annotation import volume_name
from zarrlink_local.remote import Api, ApiRefusal, Reply
from zarrlink_local.state import State
from zarrlink_local.verbs.edit import Edit
from zarrlink_local.verbs.facts import Facts, Place, Show, is_found, iso, only_one, segment
from zarrlink_local.verbs.find import find_annotation
from zarrlink_local.verbs.received import draft_of

# A deployed server makes a large download first, and says when to come again.
_PATIENCE_S: Final = 900


@dataclass(frozen=True, slots=True)
class WantedDownload:
    """`output`: a file, or a folder to put it in under its own name; None: this folder. `volume_data` None: without."""

    volume_data: VolumeData | None
    output: Path | None = None

    def path(self, file_name: str) -> Path:
        if self.output is not None and not self.output.is_dir():
            return self.output
        return (self.output or Path()) / file_name


class AnnotationVerbs(Protocol):
    """Annotations are named by their name or id. Every verb raises InvalidRequest for one that is not there."""

    def all(self, query: str = "", tags: tuple[str, ...] = ()) -> list[Facts]: ...

    def one(self, name: str) -> Facts:
        """With its layers and the bounding boxes that somebody drew in it."""
        ...

    def download(self, name: str, wanted: WantedDownload, show: Show) -> Path:
        """Where it was written to. `show` is told bytes; of how many is 0 where that is not known."""
        ...

    def change(self, name: str, edit: Edit) -> Facts: ...

    def remove(self, name: str) -> Facts: ...


def annotation_verbs(place: Place) -> AnnotationVerbs:
    return RemoteAnnotations(place) if isinstance(place, Api) else StateAnnotations(place)


class StateAnnotations:
    """Annotations of a state, all of them: its keeper is the operator."""

    def __init__(self, state: State) -> None:
        self._state = state

    def all(self, query: str = "", tags: tuple[str, ...] = ()) -> list[Facts]:
        found = [of_record(record) for record in self._state.shelf.annotations.all()]
        return [facts for facts in found if is_found(facts, query, tags)]

    def one(self, name: str) -> Facts:
        record = find_annotation(self._state, name)
        return {**of_record(record), **asyncio.run(self._contents(record))}

    async def _contents(self, record: AnnotationRecord) -> Facts:
        source, manifest = await self._state.library.manifest(Subject(None, record))
        boxes = await user_boxes(source)
        return {
            "layers": _layers(manifest),
            "boundingBoxes": [{"name": found.name, "box": found.box.to_list()} for found in boxes],
        }

    def download(self, name: str, wanted: WantedDownload, show: Show) -> Path:
        record = find_annotation(self._state, name)
        try:
            return asyncio.run(self._download(record, wanted, show))
        except ZarrlinkError as error:
            if isinstance(error, InvalidRequest):
                raise
            raise InvalidRequest(f"{record.name}: {error}") from error

    async def _download(self, record: AnnotationRecord, wanted: WantedDownload, show: Show) -> Path:
        source, manifest = await self._state.library.manifest(Subject(None, record))
        found = download(manifest, source, volume_data=wanted.volume_data, name=record.name)
        path = wanted.path(found.file_name)
        written = 0
        with draft_of(path) as file:
            async for piece in found.body:
                written += file.write(piece)
                show(written, 0)
        return path

    def change(self, name: str, edit: Edit) -> Facts:
        record = find_annotation(self._state, name)
        changes = edit.changes(record.tags, record.collaborators)
        changed = self._state.shelf.annotations.change(record.id, changes)
        if changed is None:
            raise InvalidRequest(f"the annotation {name!r} was removed in the meantime")
        return of_record(changed)

    def remove(self, name: str) -> Facts:
        try:
            facts = of_record(find_annotation(self._state, name))
        except DamagedRow as error:
            # Asked for by its id.
            facts = {"id": error.row_id, "name": error.row_id}
        self._state.shelf.remove(facts["id"])
        return facts


def of_record(record: AnnotationRecord) -> Facts:
    """A record as it is shown."""
    return {
        "id": record.id,
        "name": record.name,
        "dataset": record.dataset,
        "owner": record.owner,
        "visibility": record.visibility,
        "collaborators": list(record.collaborators),
        "tags": list(record.tags),
        "description": record.description,
        "revision": record.revision,
        "created": iso(record.created_ms),
        "modified": iso(record.modified_ms),
    }


def _layers(manifest: Manifest) -> list[Facts]:
    skeleton = [{"name": "Skeleton", "kind": "Skeleton"}] if manifest.nodes or not manifest.volumes else []
    return skeleton + [{"name": volume_name(volume), "kind": "Volume"} for volume in manifest.volumes]


class RemoteAnnotations:
    """Annotations of a server, as far as one may see them."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def all(self, query: str = "", tags: tuple[str, ...] = ()) -> list[Facts]:
        found = [_of_body(body) for body in self._api.get("/annotations/readable")]
        return [facts for facts in found if is_found(facts, query, tags)]

    def one(self, name: str) -> Facts:
        return self.of_id(only_one(self.all(), name, "annotation")["id"])

    def of_id(self, annotation_id: str) -> Facts:
        body = self._api.get(f"/annotations/{segment(annotation_id)}/info")
        return {
            **_of_body(body),
            "layers": [{"name": layer["name"], "kind": layer["typ"]} for layer in body["annotationLayers"]],
            "boundingBoxes": [{"name": box["name"], "box": box["boundingBox"]} for box in body["boundingBoxes"]],
        }

    def download(self, name: str, wanted: WantedDownload, show: Show) -> Path:
        facts = only_one(self.all(), name, "annotation")
        address = f"/annotations/{segment(facts['id'])}/download"
        skips = wanted.volume_data is None
        query = {
            "skipVolumeData": skips,
            "ids": "uploaded",
            "volumeDataZipFormat": None if skips else wanted.volume_data,
        }
        with ExitStack() as stack:
            reply = self._begun(stack, address, query)
            path = wanted.path(_file_name(reply, facts["name"]))
            written, of = 0, int(reply.headers.get("Content-Length") or 0)
            file = stack.enter_context(draft_of(path))
            for piece in reply.pieces():
                written += file.write(piece)
                show(written, of)
        return path

    def _begun(self, stack: ExitStack, address: str, query: Facts) -> Reply:
        give_up = time.monotonic() + _PATIENCE_S
        while True:
            try:
                return stack.enter_context(self._api.open("GET", address, query=query))
            except ApiRefusal as error:
                if error.retry_after_s is None or time.monotonic() > give_up:
                    raise
                time.sleep(error.retry_after_s)

    def change(self, name: str, edit: Edit) -> Facts:
        facts = only_one(self.all(), name, "annotation")
        return _of_body(self._api.send("PATCH", f"/annotations/{segment(facts['id'])}", body=edit.body(facts)))

    def remove(self, name: str) -> Facts:
        facts = only_one(self.all(), name, "annotation")
        self._api.send("DELETE", f"/annotations/{segment(facts['id'])}")
        return facts


def _file_name(reply: Reply, name: str) -> str:
    """What the answer calls its file, never a path."""
    told = unquote(reply.headers.get_filename() or "")
    return safe_file_name(told or f"{name}.zip")


def _of_body(body: Facts) -> Facts:
    return {
        "id": body["id"],
        "name": body["name"],
        "dataset": body["dataSetId"] or "",
        "owner": body["owner"]["firstName"],
        "visibility": body["visibility"],
        "collaborators": body["collaborators"],
        "tags": body["tags"],
        "description": body["description"],
        "revision": None,
        "created": iso(body["created"]),
        "modified": iso(body["modified"]),
    }
