"""The routes of jobs: WEBKNOSSOS's exports, and an estimate of what one comes to. A job is its owner's alone."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import quote

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import RedirectResponse, Response

from zarrlink.access import Act, may
from zarrlink.catalogue.interface import Catalogue
from zarrlink.errors import CorruptFile, InvalidRequest, LinkGone, UnknownKey
from zarrlink.exports.args import ExportArgs
from zarrlink.exports.request import Compression, Wide
from zarrlink.exports.store import IDS_SUFFIX
from zarrlink.geometry import BoundingBox, Mag
from zarrlink.http.api_models import MAX_LAYER_NAME, PROBLEM_ANSWERS, Message
from zarrlink.http.job_models import (
    COMMANDS,
    EstimateBody,
    FeaturesBody,
    JobBody,
    JobStatusBody,
    WorkerBody,
    estimate_body,
    features_body,
    job_body,
)
from zarrlink.http.result_file import file_response
from zarrlink.http.sign_in import SignedIn, SignedInAnyway, signed_in
from zarrlink.jobs.model import Job
from zarrlink.jobs.service import JobService, TiffRequest
from zarrlink.rows import whole, whole_or_none
from zarrlink.users.interface import User

OpenResult = Callable[[Job, str], Path]
"""Where the result of a job lies on this machine, or the file beside it with that suffix."""

_MAX_COORDINATES: Final = 4096
_MAX_KEY: Final = 255
_Name = Annotated[str | None, Query(max_length=MAX_LAYER_NAME)]
_Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        max_length=_MAX_KEY,
        description="The same key is the same job. Absent: the same request is, while that job runs.",
    ),
]


def add_features(api: APIRouter, jobs: JobService | None) -> None:
    """Add the route that says whether there are jobs; without them also routes that refuse to have any."""

    @api.get("/features", summary="What this server offers, and the limits of exports")
    def features() -> FeaturesBody:
        return features_body(None if jobs is None else jobs.limits)

    if jobs is None:
        for path in ("/jobs", "/jobs/{rest:path}"):
            api.add_api_route(
                path,
                _refuse,
                methods=["GET", "POST", "PATCH", "DELETE"],
                dependencies=[Depends(signed_in)],
                include_in_schema=False,
            )


def _refuse() -> None:
    raise UnknownKey("this zarrlink runs no jobs, so it makes no exports")


def add_job_routes(  # noqa: C901 (a list of routes)
    api: APIRouter, service: JobService, catalogue: Catalogue, now_ms: Callable[[], int]
) -> None:
    """Add the routes to the API's."""

    def show(job: Job, user: User) -> JobBody:
        return job_body(job, now_ms(), lambda dataset: _name(catalogue, user, dataset))

    @api.post(
        "/jobs/run/exportTiff/{dataset_id}", summary="Export a box of a layer as OME-TIFF or as a zipped TIFF stack"
    )
    async def export_tiff(wanted: _Wanted, user: SignedIn, key: _Key = None) -> JobBody:
        return show(await service.submit_tiff(user, wanted, key), user)

    @api.get(
        "/jobs/run/exportTiff/{dataset_id}/estimate", summary="What such an export comes to; takes what that takes"
    )
    async def estimate(wanted: _Wanted, user: SignedIn) -> EstimateBody:
        return estimate_body(await service.estimate(user, wanted))

    @api.post("/jobs/run/exportAnnotation/{annotation_id}", summary="Make an annotation's download, whatever its size")
    async def export_annotation(
        annotation_id: str,
        user: SignedIn,
        data_format: Annotated[Literal["wkw", "zarr3"], Query(alias="volumeDataZipFormat")] = "wkw",
        key: _Key = None,
    ) -> JobBody:
        return show(await service.submit_download(user, annotation_id, data_format, key), user)

    @api.get("/jobs", summary="Your jobs, newest first")
    def listed(
        user: SignedIn,
        command: str | None = None,
        skip: Annotated[bool, Query(alias="skipForDeletedDatasets")] = False,  # noqa: FBT002
    ) -> list[JobBody]:
        names = {record.id: record.name for record in catalogue.all() if may(user, Act.READ, record)}
        mine = whole(lambda job: job_body(job, now_ms(), names.get), service.of_owner(user.name))
        chosen = [body for body in mine if command in (None, body.command)]
        gone = {body.id for body in mine if body.commandArgs["dataset_id"] not in (None, *names)}
        return [body for body in chosen if not (skip and body.id in gone)]

    @api.get("/jobs/status", summary="Who works on jobs, and how many of yours are in which state")
    def status(user: SignedIn) -> JobStatusBody:
        worker = WorkerBody(name="zarrlink", supportedJobCommands=sorted({*COMMANDS.values()} - {"import_annotation"}))
        states = Counter(job.state for job in service.of_owner(user.name))
        return JobStatusBody(workers=[worker], jobsByState=dict(states))

    @api.get("/jobs/{job_id}", summary="One of your jobs")
    def one(job_id: str, user: SignedIn) -> JobBody:
        return show(service.get(user.name, job_id), user)

    @api.patch("/jobs/{job_id}/cancel", summary="Cancel a job that has not ended")
    def cancel(job_id: str, user: SignedIn) -> JobBody:
        return show(service.cancel(user.name, job_id), user)

    @api.patch("/jobs/{job_id}/retry", summary="Try a job again that failed or was cancelled")
    def retry(job_id: str, user: SignedIn) -> JobBody:
        service.check_readable(user, job_id)
        return show(service.retry(user.name, job_id), user)

    @api.delete("/jobs/{job_id}", summary="Remove a job that has ended, and its result")
    def remove(job_id: str, user: SignedIn) -> Message:
        service.remove(user.name, job_id)
        return Message(messages=[{"success": "job deleted"}])

    @api.get(
        "/jobs/{job_id}/export", summary="To the result of a job", status_code=303, response_class=RedirectResponse
    )
    def export(request: Request, job_id: str, user: SignedInAnyway) -> Response:
        address = service.address(service.result(user.name, job_id))
        return _to(address, request, f"/data/exports/{job_id}/download")

    @api.get(
        "/jobs/{job_id}/ids",
        summary="To the table of a job's renumbered ids: CSV lines of id and stored id",
        status_code=303,
        response_class=RedirectResponse,
    )
    def ids(request: Request, job_id: str, user: SignedInAnyway) -> Response:
        address = service.address(service.ids(user.name, job_id), IDS_SUFFIX)
        return _to(address, request, f"/data/exports/{job_id}/ids")


def _to(address: str | None, request: Request, here: str) -> Response:
    """To a presigned address, or to one of this machine."""
    if address is None:
        # Whoever came without a header has none for the next address either.
        token = request.query_params.get("token")
        address = here + (f"?token={quote(token)}" if token else "")
    headers = {"location": address, "cache-control": "no-store", "referrer-policy": "no-referrer"}
    return Response(status_code=303, headers=headers)


def create_result_routes(jobs: JobService, open_result: OpenResult) -> APIRouter:
    """The routes that the results of one machine are fetched by, below /data."""
    routes = APIRouter(prefix="/data", responses=PROBLEM_ANSWERS)

    @routes.get("/exports/{job_id}/download", summary="The result of a job, or a range of its bytes")
    def download(request: Request, job_id: str, user: SignedInAnyway) -> Response:
        job = jobs.result(user.name, job_id)
        path = open_result(job, "")
        with _there():
            if path.stat().st_size != job.result_bytes:
                raise CorruptFile(
                    "the result of a job", key=job.id, expected=job.result_bytes, found=path.stat().st_size
                )
            return file_response(request, path, f"{job.id}-{job.attempt}")

    @routes.get("/exports/{job_id}/ids", summary="The table of a job's renumbered ids, or a range of its bytes")
    def ids(request: Request, job_id: str, user: SignedInAnyway) -> Response:
        job = jobs.ids(user.name, job_id)
        with _there():
            return file_response(request, open_result(job, IDS_SUFFIX), f"{job.id}-{job.attempt}-ids")

    return routes


@contextmanager
def _there() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        sentence = "the result of this job was removed: remove the job as well, and start the export again"
        raise LinkGone("result removed", sentence) from error


def _wanted(
    dataset_id: str,
    bbox: Annotated[str, Query(description="x,y,z,width,height,depth in mag-1 voxels.", max_length=200)],
    as_ome_tiff: Annotated[bool, Query(alias="asOmeTiff", description="false: a zip with a TIFF for each slice.")],
    mag: Annotated[str | None, Query(description="Such as 1 or 2-2-1; absent: the finest.")] = None,
    layer: Annotated[_Name, Query(alias="layerName")] = None,
    annotation: Annotated[str | None, Query(alias="annotationId")] = None,
    annotation_layer: Annotated[_Name, Query(alias="annotationLayerName")] = None,
    coordinates: Annotated[
        str | None,
        Query(
            alias="additionalCoordinates",
            max_length=_MAX_COORDINATES,
            description='Such as [{"name":"t","value":3}]; an axis that is not named is at its first.',
        ),
    ] = None,
    compression: Compression = "deflate",
    wide: Annotated[
        Wide | None, Query(description="What becomes of 64-bit numbers; absent: narrow where they fit, else renumber.")
    ] = None,
    levels: Annotated[int | None, Query(description="Of the pyramid; absent: until one fits a screen.")] = None,
    mapping: Annotated[_Name, Query(alias="mappingName", description="By which segment ids are shown.")] = None,
) -> TiffRequest:
    # As WEBKNOSSOS's client sends them: of an annotation's layer the name of that, and that of the layer below it.
    name = (annotation_layer or layer) if annotation else layer
    if not name:
        raise InvalidRequest("name a layer: layerName, of an annotation's volume layer annotationLayerName")
    args = ExportArgs(
        layer=name,
        box=BoundingBox.parse(bbox),
        mag=None if mag is None else Mag.parse(mag),
        compression=compression,
        wide=wide,
        levels=levels,
        extra=_coordinates(coordinates),
        mapping=mapping or None,
    )
    return TiffRequest("ome_tiff" if as_ome_tiff else "tiff_stack", args, dataset_id, annotation or "")


_Wanted = Annotated[TiffRequest, Depends(_wanted)]


def _coordinates(text: str | None) -> tuple[tuple[str, int], ...]:
    try:
        found = json.loads(text or "[]")
        if not isinstance(found, list):
            raise _bad_coordinates()
        pairs = [(entry["name"], entry["value"]) for entry in found]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _bad_coordinates() from error
    if not all(isinstance(name, str) and type(value) is int for name, value in pairs) or len(dict(pairs)) < len(pairs):
        raise _bad_coordinates()
    return tuple(sorted(pairs))


def _bad_coordinates() -> InvalidRequest:
    return InvalidRequest('additionalCoordinates is JSON such as [{"name":"t","value":3}], each axis once')


def _name(catalogue: Catalogue, user: User, dataset: str) -> str | None:
    """None for one that is not there for the user any more."""
    record = whole_or_none(catalogue.get, dataset)
    return None if record is None or not may(user, Act.READ, record) else record.name
