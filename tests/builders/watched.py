"""What watches a stack, as values: alarms, the metrics that they look at, and the dashboard, out of infra/watching.yaml and its kin."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

STACK: Final = {"Ref": "Stack"}
# Metrics of AWS's own that are looked at.
OF_AWS: Final = {
    "AWS/ApiGateway": {"Count", "4XXError", "5XXError", "Latency"},
    "AWS/Lambda": {
        "Throttles", "ConcurrentExecutions", "IteratorAge", "Errors", "Invocations", "AsyncEventsDropped",
        "DestinationDeliveryFailures",
    },
    "AWS/DynamoDB": {"ReadThrottleEvents", "WriteThrottleEvents"},
    "AWS/SQS": {"ApproximateNumberOfMessagesVisible"},
    # Without those that cost by the month (CacheHitRate and its like).
    "AWS/CloudFront": {
        "Requests", "BytesDownloaded", "4xxErrorRate", "5xxErrorRate", "FunctionComputeUtilization", "FunctionExecutionErrors",
        "FunctionValidationErrors", "FunctionThrottles",
    },
}  # fmt: skip


def alarms(*templates: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Properties by the name that an alarm has below the stack's, which is its page's."""
    found = {}
    for template in templates:
        for resource in template["Resources"].values():
            if resource["Type"] == "AWS::CloudWatch::Alarm":
                place = "${Stack}-${HomeRegion}-" if "HomeRegion" in template["Parameters"] else "${Stack}-"
                name = resource["Properties"]["AlarmName"]["Fn::Sub"]
                assert name.startswith(place)
                found[name.removeprefix(place)] = resource["Properties"]
    return found


def metrics(alarm: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Each metric that an alarm looks at, as one of an alarm by itself."""
    if "Metrics" not in alarm:
        yield alarm
    for entry in alarm.get("Metrics", []):
        metric = entry["Fn::If"][1] if "Fn::If" in entry else entry
        if "MetricStat" in metric:
            yield metric["MetricStat"]["Metric"]


def filtered(watching: dict[str, Any]) -> set[str]:
    """Metrics that are read out of a log that no function writes."""
    filters = [it["Properties"] for it in watching["Resources"].values() if it["Type"] == "AWS::Logs::MetricFilter"]
    found = [made for it in filters for made in it["MetricTransformations"]]
    assert all(made["MetricNamespace"] == STACK for made in found)
    return {made["MetricName"] for made in found}


def board(watching: dict[str, Any], *, has_cdn: bool = True) -> dict[str, Any]:
    """The dashboard, with words for what CloudFormation fills in."""
    (resource,) = (it for it in watching["Resources"].values() if it["Type"] == "AWS::CloudWatch::Dashboard")
    text, given = resource["Properties"]["DashboardBody"]["Fn::Sub"]
    assert given.keys() == {"Alarms", "OfTheCdn"}
    condition, of_the_cdn, without = given["OfTheCdn"]["Fn::If"]
    assert (condition, without) == ("HasSync", "")
    text = text.replace("${OfTheCdn}", of_the_cdn["Fn::Sub"] if has_cdn else without)
    _, joined = given["Alarms"]["Fn::Join"]
    shown = [it["Fn::If"][1] if "Fn::If" in it else it for it in joined]
    text = text.replace("${Alarms}", ",".join(it["Fn::Sub"] for it in shown))
    found: dict[str, Any] = json.loads(re.sub(r"\$\{([A-Za-z:.]+)\}", r"<\1>", text))
    return found
