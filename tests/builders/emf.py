"""Metrics as CloudWatch reads them out of a function's log (embedded metric format), and which ones each function has."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

_OF_WORK = {"ColdStarts", "Attempts", "Failed"}
_STREAMED = {
    "Served", "Absent", "Refused", "Failed", "Damaged", "ColdStarts", "BytesSent", "SourceBytes", "SourceRequests",
    "Chunks", "BlocksFramed", "BlocksDecoded", "ChunkSourceRequests",
}  # fmt: skip
# By POWERTOOLS_SERVICE_NAME: all that a function may print. docs/deploy.md says what they mean.
NAMES = {
    "stream": _STREAMED,
    # Streamed is what lies below /data.
    "api": {"Answered", *_STREAMED},
    "annotation_import": {*_OF_WORK, "Done", "Refused"},
    "export_plan": {*_OF_WORK, "Planned", "Ended", "UnitsPlanned"},
    "export_part": {*_OF_WORK, "UnitsDone", "JobsDone"},
    "export_finish": {*_OF_WORK, "Again", "JobsDone"},
    "export_abort": {*_OF_WORK, "JobsFailed"},
    "link_uses": {*_OF_WORK, "SpoiltLogs"},
    "link_sync": {*_OF_WORK, "UnreadableRows", "EdgeEntriesMended", "EdgeLinksLeftOut"},
}  # fmt: skip


def emf_lines(text: str) -> list[dict[str, Any]]:
    """Those of a log's lines that are metrics."""
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return [line for line in lines if "_aws" in line]


def values(line: dict[str, Any]) -> dict[str, float]:
    """The metrics of one line, each of one value. The only dimension has to be the function, and the values have to be there."""
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert directive["Dimensions"] == [["service"]]
    found = {}
    for metric in directive["Metrics"]:
        (found[metric["Name"]],) = line[metric["Name"]]
    # Nothing else: no ids, no addresses.
    assert line.keys() == {"_aws", "service", *found}
    return found


def total(lines: Iterable[dict[str, Any]], name: str) -> float:
    """The sum of a metric, as CloudWatch adds it up."""
    return sum(values(line).get(name, 0) for line in lines)
