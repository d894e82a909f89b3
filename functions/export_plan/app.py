"""`export_plan`: what there is to do for an attempt at an export."""

from __future__ import annotations

import os
import time
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.logging.utils import copy_config_to_registered_loggers
from aws_lambda_powertools.metrics import MetricUnit

from zarrlink.aws_exports import LOG, ExportSteps
from zarrlink.aws_parts import counted, starts
from zarrlink.settings import ExportPlanSettings

SETTINGS = ExportPlanSettings.from_environment(os.environ)
LOGGER = Logger()
METRICS = Metrics()
STARTS = starts()
STEPS = ExportSteps(SETTINGS)
# Lines of the package are JSON like any other.
copy_config_to_registered_loggers(LOGGER, include={LOG.name})


@METRICS.log_metrics
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """`job` and `attempt` to whether to go on, and the numbers of the units, one list a tier."""
    started = time.perf_counter()
    with counted(METRICS, STARTS):
        planned = STEPS.run(lambda work: work.plan(event["job"], event["attempt"]), context)
    units = [list(range(start, end)) for start, end in planned.tiers]
    LOGGER.info(
        "plan",
        extra={
            "request_id": getattr(context, "aws_request_id", ""),
            "job": event["job"],
            "attempt": event["attempt"],
            "go_on": planned.go_on,
            "units": sum(map(len, units)),
            "milliseconds": round((time.perf_counter() - started) * 1000, 2),
        },
    )
    METRICS.add_metric(name="Planned" if planned.go_on else "Ended", unit=MetricUnit.Count, value=1)
    METRICS.add_metric(name="UnitsPlanned", unit=MetricUnit.Count, value=sum(map(len, units)))
    return {**planned.to_json(), "tiers": units, "concurrency": SETTINGS.export_concurrency}
