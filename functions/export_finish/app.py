"""`export_finish`: the last part of an export, and its end."""

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
    """`job` and `attempt` to whether it is done, and the units that have to be run again where it is not."""
    started = time.perf_counter()
    with counted(METRICS, STARTS):
        again = STEPS.run(lambda work: work.finish(event["job"], event["attempt"]), context)
    LOGGER.info(
        "finish",
        extra={
            "request_id": getattr(context, "aws_request_id", ""),
            "job": event["job"],
            "attempt": event["attempt"],
            "again": len(again),
            "milliseconds": round((time.perf_counter() - started) * 1000, 2),
        },
    )
    METRICS.add_metric(name="Again" if again else "JobsDone", unit=MetricUnit.Count, value=1)
    return {"done": not again, "again": again}
