"""`export_part`: one unit of an export, or all of a small one."""

from __future__ import annotations

import os
import time
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.logging.utils import copy_config_to_registered_loggers
from aws_lambda_powertools.metrics import MetricUnit

from zarrlink.aws_exports import LOG, ExportSteps
from zarrlink.aws_parts import counted, starts
from zarrlink.settings import ExportSettings

SETTINGS = ExportSettings.from_environment(os.environ)
LOGGER = Logger()
METRICS = Metrics()
STARTS = starts()
STEPS = ExportSteps(SETTINGS)
# Lines of the package are JSON like any other.
copy_config_to_registered_loggers(LOGGER, include={LOG.name})


@METRICS.log_metrics
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """`job`, `attempt`, and `unit` or `small`, to nothing: what a unit tells goes by S3."""
    started = time.perf_counter()
    job, attempt, unit = event["job"], event["attempt"], event.get("unit")
    with counted(METRICS, STARTS):
        STEPS.run(lambda work: work.small(job, attempt) if unit is None else work.unit(job, attempt, unit), context)
    LOGGER.info(
        "part",
        extra={
            "request_id": getattr(context, "aws_request_id", ""),
            "job": job,
            "attempt": attempt,
            "unit": "all" if unit is None else unit,
            "milliseconds": round((time.perf_counter() - started) * 1000, 2),
        },
    )
    METRICS.add_metric(name="JobsDone" if unit is None else "UnitsDone", unit=MetricUnit.Count, value=1)
    return {}
