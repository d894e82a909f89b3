"""The annotation routes of the API: WEBKNOSSOS's upload, download and information; describing, sharing and removing."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response, StreamingResponse
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException

from zarrlink.access import Act, may
from zarrlink.annotations.download import Download
from zarrlink.annotations.downloads import Elsewhere, disposition
from zarrlink.annotations.manifest import Manifest
from zarrlink.annotations.nml_boxes import NamedBox, user_boxes
from zarrlink.annotations.shelf import Upload
from zarrlink.annotations.volume_zip import VolumeData
from zarrlink.catalogue.annotations import AnnotationRecord
from zarrlink.catalogue.interface import DatasetRecord
from zarrlink.errors import InvalidRequest, SourceUnavailable, UnknownKey
from zarrlink.http.api_models import Message
from zarrlink.http.catalogue_models import (
    AnnotationBody,
    AnnotationLayerBody,
    ChangesBody,
    NamedBoxBody,
    PreviewBody,
    UploadedBody,
)
from zarrlink.http.dataset_api import Tag, Words, preview, sharing_facts, speaks_of
from zarrlink.http.found import (
    ChangeableAnnotation,
    DownloadableAnnotation,
    DownloadableSubject,
    ReadableAnnotation,
    ReadableSubject,
    RemovableAnnotation,
    find_dataset,
)
from zarrlink.http.sign_in import SignedIn, SignedInOrNot
from zarrlink.http.webknossos_facts import identity_of
from zarrlink.library import Subject
from zarrlink.users.interface import User

if TYPE_CHECKING:
    from zarrlink.http.api import ApiServices

# WEBKNOSSOS's kinds of annotations, as they stand in older addresses; every one of ours is the first.
Kind = Literal["Explorational", "Task", "CompoundTask", "CompoundProject", "CompoundTaskType"]

IMPORTS_AT_ONCE: Final = 2


def add_annotation_routes(api: APIRouter, services: ApiServices) -> None:  # noqa: C901 (a list of routes)
    """Add the routes to the API's."""
    shelf = services.shelf
    # Threads of their own: those that chunks are read and decoded by must not wait for imports.
    importers = ThreadPoolExecutor(IMPORTS_AT_ONCE, "zarrlink-import")

    @api.get(
        "/annotations/readable", summary="The annotations that you may read; not signed in: those that anybody may"
    )
    def readable(
        who: SignedInOrNot,
        query: Words = None,
        tag: Tag = None,
        dataset_id: Annotated[str | None, Query(alias="datasetId", max_length=100)] = None,
    ) -> list[AnnotationBody]:
        datasets = {record.id: record for record in services.catalogue.all() if may(who, Act.READ, record)}
        return [
            _body(Subject(datasets.get(record.dataset), record), record, who)
            for record in shelf.annotations.all()
            if may(who, Act.READ, record)
            and (dataset_id is None or (dataset_id == record.dataset and dataset_id in datasets))
            and (tag is None or tag in record.tags)
            and speaks_of(query, record.name, record.description, record.owner, *record.tags)
        ]

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
                    services,
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
    async def info(record: ReadableAnnotation, subject: ReadableSubject, who: SignedInOrNot) -> AnnotationBody:
        source, manifest = await services.library.holdings(record)
        return _body(subject, record, who, manifest, await user_boxes(source))

    @api.get("/annotations/{annotation_id}/download", summary="An annotation as WEBKNOSSOS downloads it")
    @api.get("/annotations/{kind}/{annotation_id}/download", include_in_schema=False)
    async def get_download(
        record: DownloadableAnnotation,
        subject: DownloadableSubject,
        kind: Kind = "Explorational",  # noqa: ARG001 (older addresses name it)
        skip: Annotated[bool, Query(alias="skipVolumeData")] = False,  # noqa: FBT002
        # As upstream, a word that is not known means wkw.
        data_format: Annotated[str, Query(alias="volumeDataZipFormat")] = "wkw",
        ids: Annotated[
            Literal["here", "uploaded"],
            Query(
                description="With skipVolumeData: whose ids the NML has; those of here open the annotation from here."
            ),
        ] = "here",
    ) -> Response:
        identity = identity_of(record, subject.dataset) if skip and ids == "here" else None
        wanted: VolumeData | None = None if skip else ("zarr3" if data_format == "zarr3" else "wkw")
        found = await services.downloads.get(record, wanted, identity)
        if isinstance(found, Elsewhere):
            return Response(status_code=303, headers={"location": found.url, "cache-control": "no-store"})
        return _attachment(found)

    @api.patch(
        "/annotations/{annotation_id}", summary="Rename, describe, tag or share an annotation; what is absent stays"
    )
    def change(
        record: ChangeableAnnotation, subject: ReadableSubject, body: ChangesBody, user: SignedIn
    ) -> AnnotationBody:
        changed = shelf.annotations.change(record.id, body.changes())
        if changed is None:
            raise UnknownKey("there is no such annotation")
        return _body(subject, changed, user)

    @api.delete("/annotations/{annotation_id}", summary="Remove an annotation; its links end")
    def remove(annotation: RemovableAnnotation) -> Message:
        shelf.remove(annotation)
        return Message(messages=[{"success": "annotation deleted"}])

    @api.post(
        "/annotations/{annotation_id}/view", summary="An address to draw pictures of an annotation from, for an hour"
    )
    async def view(subject: ReadableSubject) -> PreviewBody:
        return await preview(services, subject)


def dataset_of_upload(services: ApiServices, user: User, dataset_id: str | None) -> DatasetRecord | None:
    """The dataset that an upload is said to be of, None where nothing is said. Raises InvalidRequest."""
    try:
        return find_dataset(services, user, Act.READ, dataset_id) if dataset_id else None
    except UnknownKey as error:
        raise InvalidRequest("there is no dataset of this datasetId") from error


def _import(services: ApiServices, part: UploadFile, user: User, dataset_id: str | None) -> AnnotationRecord:
    dataset = dataset_of_upload(services, user, dataset_id)
    name = (part.filename or "").rpartition("/")[2]
    if not name.lower().endswith((".nml", ".zip")):
        raise InvalidRequest("an upload is called NAME.nml or NAME.zip")
    # What is put there has no name: a server that is killed leaves nothing.
    given = Upload(part.file, name, user.name, Path(tempfile.gettempdir()), dataset)
    return services.shelf.add(given, services.now_ms(), lambda _done, _total: None)


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


def _body(
    subject: Subject,
    record: AnnotationRecord,
    who: User | None,
    manifest: Manifest | None = None,
    boxes: Sequence[NamedBox] = (),
) -> AnnotationBody:
    """An annotation as `who` may see it; `subject`: what `who` may read of it and its dataset."""
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
        tags=list(record.tags),
        owner={"id": record.owner, "firstName": record.owner, "lastName": ""},
        dataSetId=None if subject.dataset is None else subject.dataset.id,
        modified=record.modified_ms,
        created=record.created_ms,
        state="Active",
        annotationLayers=layers,
        boundingBoxes=[NamedBoxBody(name=box.name, boundingBox=box.box.to_list()) for box in boxes],
        **sharing_facts(record, who),
    )
