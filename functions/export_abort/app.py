"""`export_abort`: the end of an export that failed or was stopped: nothing of it stays."""

from __future__ import annotations

import os
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.logging.utils import copy_config_to_registered_loggers
from aws_lambda_powertools.metrics import MetricUnit

from zarrlink.aws_exports import LOG, ExportSteps
from zarrlink.aws_parts import LazyClient, counted, starts
from zarrlink.jobs.dynamodb import DynamoJobs
from zarrlink.jobs.step_functions import attempt_of, sentence_of
from zarrlink.settings import ExportSettings

SETTINGS = ExportSettings.from_environment(os.environ)
LOGGER = Logger()
METRICS = Metrics()
STARTS = starts()
STEPS = ExportSteps(SETTINGS)
JOBS = DynamoJobs(LazyClient("dynamodb"), SETTINGS.jobs_table)
# Lines of the package are JSON like any other.
copy_config_to_registered_loggers(LOGGER, include={LOG.name})


@METRICS.log_metrics
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """From the state machine: `job`, `attempt`, and the `error` with its `cause`. From EventBridge: what became of an
    execution, where the machine could not do that itself. Again does no harm: a job that has ended keeps its end."""
    if "detail" in event:
        found, error, cause = attempt_of(event["detail"]["name"]), str(event["detail"]["status"]), ""
    else:
        found, error, cause = (event["job"], event["attempt"]), str(event["error"]), str(event["cause"])
    with counted(METRICS, STARTS):
        if found is not None:
            STEPS.work.fail(*found, sentence_of(error, cause))
    job, attempt = found or ("", 0)
    LOGGER.info(
        "abort",
        extra={
            "request_id": getattr(context, "aws_request_id", ""),
            "job": job,
            "attempt": attempt,
            "error": error,
        },
    )
    # Once for each: the machine itself comes here for every unit that failed.
    has_failed = found is not None and "detail" in event and error in ("FAILED", "TIMED_OUT") and _is_failure(*found)
    METRICS.add_metric(name="JobsFailed", unit=MetricUnit.Count, value=int(has_failed))
    return {}


def _is_failure(job_id: str, attempt: int) -> bool:
    """Whether the job itself says so: an execution fails as well at a step of what somebody has cancelled meanwhile."""
    job = JOBS.get(job_id)
    return job is not None and job.attempt == attempt and job.state == "FAILURE"
