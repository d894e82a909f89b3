"""`link_uses`: once an hour, how often links were opened, out of the edge's log files."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Any, Final

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from zarrlink.aws_parts import LazyClient, counted, starts
from zarrlink.links.dynamodb import DynamoLinks
from zarrlink.links.edge_logs_s3 import count_logs
from zarrlink.settings import LinkUsesSettings

SETTINGS = LinkUsesSettings.from_environment(os.environ)
LOGGER = Logger()
METRICS = Metrics()
STARTS = starts()
S3 = LazyClient("s3", answer_s=20)
LINKS = DynamoLinks(LazyClient("dynamodb"), SETTINGS.links_table)
# Enough for the file that is begun.
LEAST_MS: Final = 30_000


@METRICS.log_metrics
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """From EventBridge's schedule; what is in the event counts for nothing."""
    with counted(METRICS, STARTS):
        done = count_logs(
            S3,
            SETTINGS.edge_log_bucket,
            SETTINGS.edge_log_prefix,
            LINKS,
            lambda: context.get_remaining_time_in_millis() > LEAST_MS,
        )
    LOGGER.info("counted", extra={"request_id": getattr(context, "aws_request_id", ""), **asdict(done)})
    METRICS.add_metric(name="SpoiltLogs", unit=MetricUnit.Count, value=done.spoilt)
    return asdict(done)
