"""The dashboard of infra/watching.yaml: what it shows is counted, and what is counted is shown."""

from __future__ import annotations

import json
from typing import Any

import pytest

from builders.emf import NAMES
from builders.watched import OF_AWS, board, filtered


@pytest.mark.parametrize("has_cdn", [True, False])
def test_the_dashboard_is_whole_with_a_cdn_and_without(watching: dict[str, Any], has_cdn: bool) -> None:
    namespaces = {
        row[0]
        for widget in board(watching, has_cdn=has_cdn)["widgets"]
        for row in widget["properties"].get("metrics", [])
        if isinstance(row[0], str)
    }
    assert ("AWS/CloudFront" in namespaces) is has_cdn
    names = json.dumps(board(watching, has_cdn=has_cdn))
    assert ("<SyncFunction>" in names) is has_cdn


def test_what_cloudfront_counts_is_looked_up_where_it_is(watching: dict[str, Any]) -> None:
    for widget in board(watching)["widgets"]:
        for row in widget["properties"].get("metrics", []):
            if row[0] == "AWS/CloudFront":
                assert widget["properties"]["region"] == "us-east-1"
                dimensions = [it for it in row[2:] if isinstance(it, str)]
                assert dimensions[0] in ("DistributionId", "FunctionName")
                assert dimensions[2:] == ["Region", "Global"]


def test_the_dashboard_shows_what_is_counted(watching: dict[str, Any]) -> None:
    seen = set()
    for widget in board(watching)["widgets"]:
        for row in widget["properties"].get("metrics", []):
            if isinstance(row[0], dict):
                continue
            namespace, what, *dimensions = row
            if namespace == "<Stack>" and isinstance(dimensions[0], dict):
                assert what in filtered(watching)
            elif namespace == "<Stack>":
                assert dimensions[0] == "service"
                assert what in NAMES[dimensions[1]]
                seen.add(what)
            else:
                assert what in OF_AWS[namespace]
    asked_for = {
        "Chunks", "BlocksFramed", "BlocksDecoded", "BytesSent", "SourceRequests", "ChunkSourceRequests", "Absent",
        "Refused", "UnitsPlanned", "UnitsDone", "JobsFailed", "ColdStarts", "EdgeLinksLeftOut", "UnreadableRows",
    }  # fmt: skip
    assert asked_for <= seen


def test_the_dashboard_shows_every_alarm(watching: dict[str, Any]) -> None:
    (shown,) = (it["properties"]["alarms"] for it in board(watching)["widgets"] if it["type"] == "alarm")
    logical = {name for name, it in watching["Resources"].items() if it["Type"] == "AWS::CloudWatch::Alarm"}
    assert set(shown) == {f"<{name}.Arn>" for name in logical}


def test_widgets_do_not_lie_over_one_another(watching: dict[str, Any]) -> None:
    cells: set[tuple[int, int]] = set()
    for widget in board(watching)["widgets"]:
        mine = {
            (x, y)
            for x in range(widget["x"], widget["x"] + widget["width"])
            for y in range(widget["y"], widget["y"] + widget["height"])
        }
        assert not mine & cells
        assert all(x < 24 for x, _ in mine)
        cells |= mine
