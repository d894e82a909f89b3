"""The JSON of jobs: WEBKNOSSOS's field names where it has them, then ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from pydantic import BaseModel, Field

from zarrlink.exports.args import ExportArgs, args_of
from zarrlink.jobs.limits import JobLimits
from zarrlink.jobs.model import Job, Kind, State
from zarrlink.jobs.service import Estimate, renumbers

# WEBKNOSSOS's word, and its manner for what it has no job for.
COMMANDS: Final[dict[Kind, str]] = {
    "ome_tiff": "export_tiff",
    "tiff_stack": "export_tiff",
    "annotation_wkw": "export_annotation",
    "annotation_import": "import_annotation",
}


class JobBody(BaseModel):
    """A job, as only its owner sees it. Times in ms since 1970.

    `resultLink`: once there is a result, until it expires; `idsLink`: likewise, where 64-bit ids were renumbered, to the
    table of them. `progress` in [0, 1]. `sizeEstimate` in bytes and
    `timeEstimateSeconds`: rough, from before it began. `message`: why it failed.
    """

    id: str
    owner: dict[str, Any]
    command: str
    commandArgs: dict[str, Any]  # noqa: N815 (JSON in WEBKNOSSOS's manner)
    state: State
    manualState: State | None  # noqa: N815
    latestRunId: str  # noqa: N815
    returnValue: str | None = None  # noqa: N815
    resultLink: str | None  # noqa: N815
    idsLink: str | None  # noqa: N815
    voxelyticsWorkflowHash: str | None = None  # noqa: N815
    created: int
    started: int | None
    ended: int | None
    creditCost: str | None = None  # noqa: N815
    progress: float
    attempt: int
    sizeEstimate: int | None  # noqa: N815
    timeEstimateSeconds: int | None  # noqa: N815
    resultBytes: int | None  # noqa: N815
    resultExpires: int | None  # noqa: N815
    message: str | None


class EstimateBody(BaseModel):
    """What an export would come to. `sizeEstimate` in bytes: by a few samples of the box; both estimates are rough."""

    sizeEstimate: int  # noqa: N815
    timeEstimateSeconds: int  # noqa: N815
    sizeInMag: list[int] = Field(description="Voxels along x, y and z at the mag.")  # noqa: N815
    units: int = Field(description="Shares that can be worked on at the same time.")


class WorkerBody(BaseModel):
    """Who works on jobs."""

    name: str
    supportedJobCommands: list[str]  # noqa: N815


class JobStatusBody(BaseModel):
    """Who works on jobs, and how many of yours are in which state."""

    workers: list[WorkerBody]
    jobsByState: dict[State, int]  # noqa: N815


class FeaturesBody(BaseModel):
    """What a client has to know of this server before it offers exports. Voxels of a box in its mag: 1024 * 1024 of them,
    and of its longest side."""

    jobsEnabled: bool  # noqa: N815
    exportTiffMaxVolumeMVx: int  # noqa: N815
    exportTiffMaxEdgeLengthVx: int  # noqa: N815


def features_body(limits: JobLimits | None) -> FeaturesBody:
    """None: without jobs."""
    known = limits or JobLimits()
    return FeaturesBody(
        jobsEnabled=limits is not None,
        exportTiffMaxVolumeMVx=known.told_volume_mvx,
        exportTiffMaxEdgeLengthVx=known.told_edge_vx,
    )


def estimate_body(found: Estimate) -> EstimateBody:
    return EstimateBody(
        sizeEstimate=found.bytes,
        timeEstimateSeconds=found.seconds,
        sizeInMag=list(found.size_vox),
        units=found.units,
    )


def job_body(job: Job, now_ms: int, dataset_name: Callable[[str], str | None]) -> JobBody:
    """`dataset_name`: of an id, None where it is known no more."""
    has_result = job.state == "SUCCESS" and job.stands(now_ms)
    return JobBody(
        id=job.id,
        owner={
            "id": job.owner,
            "email": "",
            "firstName": job.owner,
            "lastName": "",
            "isAdmin": False,
            "isDatasetManager": False,
        },
        command=COMMANDS[job.kind],
        commandArgs=_arguments(job, dataset_name(job.dataset)),
        state=job.state,
        manualState="CANCELLED" if job.state == "CANCELLED" else None,
        latestRunId=f"{job.id}-{job.attempt}",
        resultLink=f"/api/jobs/{job.id}/export" if has_result else None,
        idsLink=f"/api/jobs/{job.id}/ids" if has_result and renumbers(job) else None,
        created=job.created_ms,
        started=job.started_ms,
        ended=job.ended_ms,
        progress=job.progress,
        attempt=job.attempt,
        sizeEstimate=job.expected_bytes,
        timeEstimateSeconds=job.expected_seconds,
        resultBytes=job.result_bytes,
        resultExpires=job.expires_ms,
        message=job.sentence or None,
    )


def _arguments(job: Job, dataset_name: str | None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "dataset_directory_name": dataset_name,
        "organization_id": "",
        "dataset_name": dataset_name,
        "dataset_id": job.dataset or None,
        "annotation_id": job.annotation or None,
        "export_file_name": job.file_name,
    }
    if job.kind == "annotation_import":
        return found
    args = args_of(job)
    if job.kind == "annotation_wkw":
        return {**found, "volume_data_zip_format": args.volume_format}
    return {
        **found,
        "nd_bbox": _box(args),
        "layer_name": None if job.annotation else args.layer,
        "annotation_layer_name": args.layer if job.annotation else None,
        "mag": None if args.mag is None else args.mag.literal,
        "additional_coordinates": [{"name": name, "value": at} for name, at in args.extra],
        "compression": args.compression,
        "wide": args.wide,
        "levels": args.levels,
        "mapping_name": args.mapping,
    }


def _box(args: ExportArgs) -> dict[str, Any] | None:
    """In the dictionary form of WEBKNOSSOS's library."""
    if args.box is None:
        return None
    width, height, depth = args.box.size
    return {
        "topLeft": list(args.box.top_left),
        "width": width,
        "height": height,
        "depth": depth,
        "additionalAxes": [],
        "axisOrder": {"c": 0, "x": 1, "y": 2, "z": 3},
    }
