"""An export by a server: a job is submitted, waited for, and its result fetched."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from zarrlink.errors import ExportFailed, InvalidRequest
from zarrlink.exports.args import ExportArgs
from zarrlink_local.remote import Api, Broken
from zarrlink_local.verbs.annotations import annotation_verbs
from zarrlink_local.verbs.datasets import dataset_verbs
from zarrlink_local.verbs.facts import Facts, only_one, segment
from zarrlink_local.verbs.jobs import RemoteJobs
from zarrlink_local.verbs.received import check_free

_FIRST_LOOK_S: Final = 0.2
_LOOK_S: Final = 2.0
# A server that is being restarted goes on with the job.
_PATIENCE_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class RemoteExport:
    """`dataset`, `annotation`: name or id at the server; without an annotation None. `replaces`: files may be there."""

    kind: Literal["ome_tiff", "tiff_stack"]
    args: ExportArgs
    dataset: str
    annotation: str | None
    replaces: bool


def submit(api: Api, wanted: RemoteExport, target: Path) -> str:
    """The id of the job. The same request while such a job runs is that job. Raises InvalidRequest."""
    check_free(target, replaces=wanted.replaces)
    if not target.parent.is_dir():
        raise InvalidRequest(f"there is no folder {target.parent}")
    dataset = only_one(dataset_verbs(api).all(), wanted.dataset, "dataset")["id"]
    annotation = None
    if wanted.annotation is not None:
        annotation = only_one(annotation_verbs(api).all(), wanted.annotation, "annotation")["id"]
    args = wanted.args
    box = _whole(api, dataset, annotation, args.layer) if args.box is None else args.box.to_list()
    query: Facts = {
        "bbox": ",".join(map(str, box)),
        "asOmeTiff": wanted.kind == "ome_tiff",
        "mag": None if args.mag is None else args.mag.literal,
        "layerName": args.layer,
        "annotationId": annotation,
        "annotationLayerName": None if annotation is None else args.layer,
        "additionalCoordinates": json.dumps([{"name": name, "value": at} for name, at in args.extra]),
        "compression": args.compression,
        "wide": args.wide,
        "levels": args.levels,
        "mappingName": args.mapping,
    }
    job: Facts = api.send("POST", f"/jobs/run/exportTiff/{segment(dataset)}", query=query)
    return str(job["id"])


def _whole(api: Api, dataset: str, annotation: str | None, layer: str) -> list[int]:
    """The box of a layer, of a view that the server makes for a while."""
    # NumPy is needed by a few commands alone.
    from zarrlink_local.link_library import read_link

    subject = f"/datasets/{segment(dataset)}" if annotation is None else f"/annotations/{segment(annotation)}"
    facts = read_link(api.send("POST", f"{subject}/view")["page"])
    for found in facts.layers:
        if found.name == layer:
            return found.box.to_list()
    raise InvalidRequest(f"there is no layer {layer!r}; there are {', '.join(found.name for found in facts.layers)}")


def wait(api: Api, job_id: str, show: Callable[[float], None]) -> None:
    """Until the job has succeeded; `show` is told from time to time how much is done. Raises ExportFailed where it has not."""
    jobs, pause, answered = RemoteJobs(api), _FIRST_LOOK_S, time.monotonic()
    while True:
        try:
            facts = jobs.one(job_id)
        except Broken:
            if time.monotonic() - answered > _PATIENCE_S:
                raise
        else:
            answered = time.monotonic()
            show(facts["progress"])
            if facts["state"] == "SUCCESS":
                return
            if facts["state"] not in ("PENDING", "STARTED"):
                raise ExportFailed(facts["error"] or f"job {job_id} is {facts['state']}")
        time.sleep(pause)
        pause = min(pause * 1.5, _LOOK_S)
