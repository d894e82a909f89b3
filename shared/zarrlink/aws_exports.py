"""The steps of exports, as the functions of AWS take them: `zarrlink.exports.work` over S3 and DynamoDB."""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
import time
from collections.abc import Callable, Coroutine
from functools import cached_property
from pathlib import Path
from typing import Any, Final, TypeVar

from zarrlink.aws_parts import FRESHNESS_S, MOST_BYTES, LazyClient, now_ms, source_opener
from zarrlink.catalogue.annotations_dynamodb import DynamoAnnotations
from zarrlink.catalogue.dynamodb import DynamoCatalogue
from zarrlink.errors import ZarrlinkError
from zarrlink.exports.request import Limits
from zarrlink.exports.store_s3 import BucketStore
from zarrlink.exports.work import ExportWork
from zarrlink.jobs.dynamodb import DynamoJobs
from zarrlink.library import Library
from zarrlink.settings import ExportSettings
from zarrlink.sources.permission import AllowedSources
from zarrlink.storage.bucket_access import BucketAccess

T = TypeVar("T")
LOG: Final = logging.getLogger("zarrlink")
# Nobody waits for one answer; putting the parts of a terabyte together takes S3 up to minutes.
S3_ANSWERS_S: Final = 300
# S3's own, and those of a function of the template's size.
LIMITS: Final = Limits()


class ExportSteps:
    """`ExportWork` as a function has it: made at the first event and kept, with one event loop for all of them."""

    def __init__(self, settings: ExportSettings) -> None:
        self._settings = settings
        self._context: Any = None
        self.loop: Final = asyncio.new_event_loop()

    @cached_property
    def work(self) -> ExportWork:
        settings = self._settings
        dynamodb = LazyClient("dynamodb")
        catalogue = DynamoCatalogue(dynamodb, settings.catalogue_table)
        library = Library(
            catalogue,
            source_opener(BucketAccess.from_settings(settings)),
            monotonic=time.monotonic,
            freshness_s=FRESHNESS_S,
            annotations=DynamoAnnotations(dynamodb, settings.annotations_table),
            allowed=AllowedSources.from_text(settings.zarrlink_allowed_sources),
            most_bytes=MOST_BYTES,
        )
        s3 = LazyClient("s3", answer_s=S3_ANSWERS_S)
        return ExportWork(
            DynamoJobs(dynamodb, settings.jobs_table),
            library,
            BucketStore(s3, settings.export_bucket, Path(tempfile.gettempdir())),
            now_ms=now_ms,
            limits=LIMITS,
            result_days=settings.result_days,
            threads=os.cpu_count() or 1,
            seconds_left=self._seconds_left,
        )

    def run(self, step: Callable[[ExportWork], Coroutine[Any, Any, T]], context: Any) -> T:
        """One step, within the time that Lambda's context tells. What it raises is for the state machine."""
        self._context = context
        try:
            return self.loop.run_until_complete(step(self.work))
        except ZarrlinkError as error:
            # Lambda notes the sentence; these are for whoever looks for the cause.
            facts = {"error": type(error).__name__, **{name: getattr(error, name, "") for name in ("reason", "key")}}
            LOG.warning("step failed", extra={"request_id": getattr(context, "aws_request_id", ""), **facts})
            raise

    def _seconds_left(self) -> float:
        return float(self._context.get_remaining_time_in_millis()) / 1000
