"""Alarms, the dashboard, and the pages that say what to do: infra/watching.yaml against the template, the handlers and docs/runbook."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from builders.emf import NAMES
from builders.template import ROOT

RUNBOOK = ROOT / "docs" / "runbook"
STACK = {"Ref": "Stack"}
# What a page tells, in this order.
PARTS = ("What it means", "What to look at", "What to do")
# Metrics of AWS's own that are looked at.
OF_AWS = {
    "AWS/ApiGateway": {"Count", "4XXError", "5XXError", "Latency"},
    "AWS/Lambda": {"Throttles", "ConcurrentExecutions", "IteratorAge"},
    "AWS/DynamoDB": {"ReadThrottleEvents", "WriteThrottleEvents"},
    "AWS/SQS": {"ApproximateNumberOfMessagesVisible"},
}


def alarms(watching: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Properties by the name that an alarm has below the stack's, which is its page's."""
    found = {}
    for resource in watching["Resources"].values():
        if resource["Type"] == "AWS::CloudWatch::Alarm":
            stack, _, name = resource["Properties"]["AlarmName"]["Fn::Sub"].partition("-")
            assert stack == "${Stack}"
            found[name] = resource["Properties"]
    return found


def metrics(alarm: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Each metric that an alarm looks at, as one of an alarm by itself."""
    if "Metrics" not in alarm:
        yield alarm
    for entry in alarm.get("Metrics", []):
        metric = entry["Fn::If"][1] if "Fn::If" in entry else entry
        if "MetricStat" in metric:
            yield metric["MetricStat"]["Metric"]


def board(watching: dict[str, Any]) -> dict[str, Any]:
    """The dashboard, with words for what CloudFormation fills in."""
    (resource,) = (it for it in watching["Resources"].values() if it["Type"] == "AWS::CloudWatch::Dashboard")
    text, given = resource["Properties"]["DashboardBody"]["Fn::Sub"]
    assert given.keys() == {"Alarms"}
    _, joined = given["Alarms"]["Fn::Join"]
    shown = [it["Fn::If"][1] if "Fn::If" in it else it for it in joined]
    text = text.replace("${Alarms}", ",".join(it["Fn::Sub"] for it in shown))
    found: dict[str, Any] = json.loads(re.sub(r"\$\{([A-Za-z:.]+)\}", r"<\1>", text))
    return found


def test_every_alarm_has_its_page_and_every_page_its_alarm(watching: dict[str, Any]) -> None:
    pages = {path.stem for path in RUNBOOK.glob("*.md")} - {"README"}
    assert alarms(watching).keys() == pages
    listed = re.findall(r"\]\(([a-z-]+)\.md\)", (RUNBOOK / "README.md").read_text())
    assert sorted(listed) == sorted(pages)


def test_every_alarm_says_where_its_page_is(watching: dict[str, Any]) -> None:
    for name, alarm in alarms(watching).items():
        assert f"docs/runbook/{name}.md" in alarm["AlarmDescription"], name


@pytest.mark.parametrize("page", sorted(RUNBOOK.glob("[a-z]*.md")), ids=lambda path: path.stem)
def test_a_page_says_what_it_means_what_to_look_at_and_what_to_do(page: Path) -> None:
    text = page.read_text()
    assert tuple(re.findall(r"^## (.+)$", text, re.MULTILINE)) == PARTS
    looked_at = text.partition("## What to look at")[2].partition("## ")[0]
    # With something to type.
    assert "```sh\n" in looked_at


def test_every_alarm_tells_the_topic_when_it_begins_and_ends(watching: dict[str, Any]) -> None:
    for name, alarm in alarms(watching).items():
        assert alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": "Topic"}], name
        # Nobody is woken because nobody asks for anything.
        assert alarm["TreatMissingData"] == "notBreaching", name


def test_alarms_look_at_what_is_counted(watching: dict[str, Any]) -> None:
    for name, alarm in alarms(watching).items():
        assert len(list(metrics(alarm))) <= 10, name
        for metric in metrics(alarm):
            namespace, what = metric["Namespace"], metric["MetricName"]
            if namespace == STACK:
                (dimension,) = metric["Dimensions"]
                assert dimension["Name"] == "service"
                assert what in NAMES[dimension["Value"]], name
            else:
                assert what in OF_AWS[namespace], name


def test_the_dashboard_shows_what_is_counted(watching: dict[str, Any]) -> None:
    seen = set()
    for widget in board(watching)["widgets"]:
        for row in widget["properties"].get("metrics", []):
            if isinstance(row[0], dict):
                continue
            namespace, what, *dimensions = row
            if namespace == "<Stack>":
                assert dimensions[0] == "service"
                assert what in NAMES[dimensions[1]]
                seen.add(what)
            else:
                assert what in OF_AWS[namespace]
    asked_for = {
        "Chunks", "BlocksFramed", "BlocksDecoded", "BytesSent", "SourceRequests", "ChunkSourceRequests", "Absent",
        "Refused", "UnitsPlanned", "UnitsDone", "JobsFailed", "ColdStarts",
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


def test_the_template_hands_over_what_is_asked_for(template: dict[str, Any], watching: dict[str, Any]) -> None:
    watch = template["Resources"]["Watch"]
    given = watch["Properties"]["Parameters"]
    needed = {name for name, it in watching["Parameters"].items() if "Default" not in it}
    assert needed <= given.keys() <= watching["Parameters"].keys()
    assert watch["Condition"] == "IsWatched"
    assert (ROOT / watch["Properties"]["TemplateURL"]).is_file()


def test_nothing_stands_on_being_watched(template: dict[str, Any]) -> None:
    """So that it can be left out where there is no CloudWatch to be had."""
    others = json.dumps([it for name, it in template["Resources"].items() if name != "Watch"])
    assert not re.findall(r"""\{"(?:Ref|Fn::GetAtt)": \[?"Watch"|\$\{Watch[.}]""", others)
    outputs = {name for name, it in template["Outputs"].items() if "Watch." in str(it["Value"]) or "'Watch'" in str(it)}
    assert outputs == {name for name, it in template["Outputs"].items() if it.get("Condition") == "IsWatched"}
    assert outputs == {"AlarmTopic", "Dashboard"}


def test_the_topic_takes_alarms_of_its_own_account_alone(watching: dict[str, Any]) -> None:
    (statement,) = watching["Resources"]["TopicPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert statement["Action"] == "sns:Publish"
    assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    assert watching["Resources"]["Writing"]["Condition"] == "HasEmail"
