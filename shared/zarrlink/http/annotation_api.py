"""The annotation routes of the API: WEBKNOSSOS's upload, download and information, for the owner alone."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response, StreamingResponse
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException

from zarrlink.annotations.download import Download
from zarrlink.annotations.downloads import Downloads, Elsewhere, disposition
from zarrlink.annotations.manifest import Manifest
from zarrlink.annotations.shelf import Shelf, Upload
from zarrlink.catalogue.annotations import AnnotationRecord
from zarrlink.errors import InvalidRequest, SourceUnavailable, UnknownKey
from zarrlink.http.api_models import AnnotationBody, AnnotationLayerBody, Message, UploadedBody
from zarrlink.http.sign_in import SignedIn
from zarrlink.library import Library, Subject
from zarrlink.users.interface import User

# WEBKNOSSOS's kinds of annotations, as they stand in older addresses; every one of ours is the first.
Kind = Literal["Explorational", "Task", "CompoundTask", "CompoundProject", "CompoundTaskType"]

IMPORTS_AT_ONCE: Final = 2


def mine(annotation_id: str, user: SignedIn, request: Request) -> AnnotationRecord:
    """The annotation of an address. Raises UnknownKey for one that is not the user's as for one that is not there."""
    shelf: Shelf = request.app.state.services.shelf
    record = shelf.annotations.get(annotation_id)
    if record is None or record.owner != user.name:
        raise UnknownKey("there is no such annotation")
    return record


Mine = Annotated[AnnotationRecord, Depends(mine)]


def add_routes(api: APIRouter, shelf: Shelf, library: Library, downloads: Downloads, now_ms: Callable[[], int]) -> None:
    """Add the routes to the API's."""
    # Threads of their own: those that chunks are read and decoded by must not wait for imports.
    importers = ThreadPoolExecutor(IMPORTS_AT_ONCE, "zarrlink-import")

    @api.get("/annotations/readable", summary="Your annotations, by name")
    def readable(user: SignedIn) -> list[AnnotationBody]:
        return [_body(record) for record in shelf.annotations.all() if record.owner == user.name]

    @api.post("/annotations/upload", summary="Import a download of WEBKNOSSOS: an NML, or a zip with one")
    async def upload(request: Request, user: SignedIn) -> UploadedBody:
        # Read here and not by the framework, which would take the whole body before anybody is asked who they are.
        try:
            async with request.form(max_files=2, max_fields=8) as form:
                given = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
                if len(given) != 1:
                    raise InvalidRequest(f"one file is imported at a time, an .nml or a .zip; {len(given)} were sent")
                dataset_id = form.get("datasetId")
                record = await asyncio.get_running_loop().run_in_executor(
                    importers,
                    _import,
                    shelf,
                    now_ms(),
                    given[0],
                    user,
                    dataset_id if isinstance(dataset_id, str) else None,
                )
        except MultiPartException as error:
            raise InvalidRequest("the body is not multipart/form-data with one file") from error
        except OSError as error:
            # Of the folder for temporary files, where the upload waits.
            raise SourceUnavailable(f"an upload cannot be kept: {error.strerror}") from error
        return UploadedBody(
            annotation={"typ": "Explorational", "id": record.id}, messages=[{"success": "Successfully uploaded file"}]
        )

    @api.get("/annotations/{annotation_id}/info", summary="What an annotation holds")
    async def info(record: Mine) -> AnnotationBody:
        _, manifest = await library.manifest(Subject(None, record))
        return _body(record, manifest)

    @api.get("/annotations/{annotation_id}/download", summary="An annotation as WEBKNOSSOS downloads it")
    @api.get("/annotations/{kind}/{annotation_id}/download", include_in_schema=False)
    async def get_download(
        record: Mine,
        kind: Kind = "Explorational",  # noqa: ARG001 (older addresses name it)
        skip: Annotated[bool, Query(alias="skipVolumeData")] = False,  # noqa: FBT002
        # As upstream, a word that is not known means wkw.
        data_format: Annotated[str, Query(alias="volumeDataZipFormat")] = "wkw",
    ) -> Response:
        found = await downloads.get(record, None if skip else ("zarr3" if data_format == "zarr3" else "wkw"))
        if isinstance(found, Elsewhere):
            return Response(status_code=303, headers={"location": found.url, "cache-control": "no-store"})
        return _attachment(found)

    @api.delete("/annotations/{annotation_id}", summary="Remove an annotation; its links end")
    def remove(record: Mine) -> Message:
        shelf.remove(record.id)
        return Message(messages=[{"success": "annotation deleted"}])


def _import(shelf: Shelf, now_ms: int, part: UploadFile, user: User, dataset_id: str | None) -> AnnotationRecord:
    dataset = None if not dataset_id else shelf.catalogue.get(dataset_id)
    if dataset_id and dataset is None:
        raise InvalidRequest("there is no dataset of this datasetId")
    name = (part.filename or "").rpartition("/")[2]
    if not name.lower().endswith((".nml", ".zip")):
        raise InvalidRequest("an upload is called NAME.nml or NAME.zip")
    with tempfile.TemporaryDirectory(prefix="zarrlink-import-") as scratch:
        given = Upload(part.file, name, user.name, Path(scratch), dataset)
        return shelf.add(given, now_ms, lambda _done, _total: None)


def _attachment(found: Download) -> StreamingResponse:
    return StreamingResponse(
        _whole(found.body),
        media_type=found.media_type,
        headers={"content-disposition": disposition(found.file_name), "cache-control": "no-store"},
    )


async def _whole(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The body; closed even where the client leaves early. An error breaks it off, which the client's decoder sees."""
    async with contextlib.aclosing(body) as pieces:  # type: ignore[type-var]
        async for piece in pieces:
            yield piece


def _body(record: AnnotationRecord, manifest: Manifest | None = None) -> AnnotationBody:
    layers = []
    if manifest is not None:
        if manifest.nodes or not manifest.volumes:
            layers.append(AnnotationLayerBody(tracingId=f"{record.id}-skeleton", typ="Skeleton", name="Skeleton"))
        layers += [
            AnnotationLayerBody(tracingId=f"{record.id}-{volume.id}", typ="Volume", name=volume.name or "Volume")
            for volume in manifest.volumes
        ]
    return AnnotationBody(
        id=record.id,
        typ="Explorational",
        name=record.name,
        description=record.description,
        owner={"id": record.owner, "firstName": record.owner, "lastName": ""},
        dataSetId=record.dataset or None,
        modified=record.modified_ms,
        created=record.created_ms,
        state="Active",
        annotationLayers=layers,
    )
