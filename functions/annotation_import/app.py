"""`annotation_import`: what takes longer than a request: importing a large upload, and making a large download."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any, Final

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from zarrlink.annotations.import_job import ImportJob, ImportParts, run_import
from zarrlink.annotations.s3_downloads import S3Downloads
from zarrlink.annotations.s3_vault import S3Vault
from zarrlink.annotations.shelf import Shelf
from zarrlink.annotations.upload import ImportLimits
from zarrlink.annotations.volume_zip import VolumeData
from zarrlink.aws_parts import FRESHNESS_S, LazyClient, counted, now_ms, source_opener, starts
from zarrlink.catalogue.annotations import AnnotationRecord
from zarrlink.catalogue.annotations_dynamodb import DynamoAnnotations
from zarrlink.catalogue.dynamodb import DynamoCatalogue
from zarrlink.catalogue.uploads_dynamodb import DynamoUploads
from zarrlink.errors import ZarrlinkError
from zarrlink.library import Library
from zarrlink.settings import AnnotationImportSettings

SETTINGS = AnnotationImportSettings.from_environment(os.environ)
LOGGER = Logger()
METRICS = Metrics()
STARTS = starts()
# Nobody waits; putting the parts of many gigabytes together takes S3 up to minutes.
S3_ANSWERS_S: Final = 120


@cache
def parts() -> ImportParts:
    """Made at the first event."""
    dynamodb, s3 = LazyClient("dynamodb"), LazyClient("s3", answer_s=S3_ANSWERS_S)
    annotations = DynamoAnnotations(dynamodb, SETTINGS.annotations_table)
    catalogue = DynamoCatalogue(dynamodb, SETTINGS.catalogue_table)
    return ImportParts(
        uploads=DynamoUploads(dynamodb, SETTINGS.annotations_table),
        shelf=Shelf(annotations, catalogue, S3Vault(s3, SETTINGS.annotation_bucket), ImportLimits()),
        client=s3,
        bucket=SETTINGS.annotation_bucket,
        scratch=Path(tempfile.gettempdir()),
        scratch_bytes=SETTINGS.scratch_space * 2**20,
        now_ms=now_ms,
    )


@METRICS.log_metrics
def handler(event: dict[str, Any], context: Any) -> dict[str, str]:
    """An upload's event (`LargeUploads`) or a download's to what became of it. An exception asks for another attempt."""
    started = time.perf_counter()
    with counted(METRICS, STARTS):
        answer = _download(event) if "download" in event else _import(event, context)
    LOGGER.info(
        "job",
        extra={
            "request_id": getattr(context, "aws_request_id", ""),
            "kind": "download" if "download" in event else "import",
            # Without the sentence, which may name what lies in an upload: its owner's business. The upload's row has it.
            **{name: value for name, value in answer.items() if name != "sentence"},
            "milliseconds": round((time.perf_counter() - started) * 1000, 2),
        },
    )
    METRICS.add_metric(name="Done" if answer["state"] == "done" else "Refused", unit=MetricUnit.Count, value=1)
    return answer


def _import(event: dict[str, Any], context: Any) -> dict[str, str]:
    outcome = run_import(
        ImportJob.from_event(event), parts(), lambda: float(context.get_remaining_time_in_millis()) / 1000
    )
    if outcome.record is not None:
        try:
            asyncio.run(_keep(outcome.record, "wkw"))
        except ZarrlinkError as error:
            # The annotation is there; whoever downloads it has it made then.
            LOGGER.warning("no download was made of it", extra={"reason": getattr(error, "reason", str(error))})
    return outcome.to_json()


def _download(event: dict[str, Any]) -> dict[str, str]:
    record = parts().shelf.annotations.get(str(event["download"]))
    if record is None:
        return {"state": "failed", "sentence": "the annotation is not there any more"}
    words: dict[str, VolumeData] = {"wkw": "wkw", "zarr3": "zarr3"}
    length = asyncio.run(_keep(record, words.get(str(event["format"]))))
    return {"state": "done", "annotation": record.id, "bytes": str(length)}


async def _keep(record: AnnotationRecord, volume_data: VolumeData | None) -> int:
    found = parts()
    # Of this event's own loop: what reads from S3 belongs to the loop that it was made in.
    library = Library(
        found.shelf.catalogue,
        source_opener(),
        monotonic=time.monotonic,
        freshness_s=FRESHNESS_S,
        annotations=found.shelf.annotations,
    )
    downloads = S3Downloads(
        library.holdings, found.client, found.bucket, now_ms=now_ms, make_elsewhere=lambda _record, _format: None
    )
    try:
        length = await downloads.keep(record, volume_data)
    finally:
        downloads.made(record, volume_data)
    # Removed meanwhile: nothing of it may stay.
    if found.shelf.annotations.get(record.id) is None:
        found.shelf.vault.keep_only(record.id, ())
    return length
