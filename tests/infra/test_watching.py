"""Alarms, and the pages that say what to do: infra/watching.yaml and infra/edge_watching.yaml against the template, the
handlers and docs/runbook."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from builders.emf import NAMES
from builders.template import ROOT, as_created
from builders.watched import OF_AWS, STACK, alarms, filtered, metrics

RUNBOOK = ROOT / "docs" / "runbook"
# What a page tells, in this order.
PARTS = ("What it means", "What to look at", "What to do")


def test_every_alarm_has_its_page_and_every_page_its_alarm(
    watching: dict[str, Any], edge_watching: dict[str, Any]
) -> None:
    pages = {path.stem for path in RUNBOOK.glob("*.md")} - {"README"}
    assert alarms(watching, edge_watching).keys() == pages
    listed = re.findall(r"\]\(([a-z-]+)\.md\)", (RUNBOOK / "README.md").read_text())
    assert sorted(listed) == sorted(pages)


def test_every_alarm_says_where_its_page_is(watching: dict[str, Any], edge_watching: dict[str, Any]) -> None:
    for name, alarm in alarms(watching, edge_watching).items():
        assert f"docs/runbook/{name}.md" in alarm["AlarmDescription"], name


@pytest.mark.parametrize("page", sorted(RUNBOOK.glob("[a-z]*.md")), ids=lambda path: path.stem)
def test_a_page_says_what_it_means_what_to_look_at_and_what_to_do(page: Path) -> None:
    text = page.read_text()
    assert tuple(re.findall(r"^## (.+)$", text, re.MULTILINE)) == PARTS
    looked_at = text.partition("## What to look at")[2].partition("## ")[0]
    # With something to type.
    assert "```sh\n" in looked_at


def test_every_alarm_tells_the_topic_when_it_begins_and_ends(
    watching: dict[str, Any], edge_watching: dict[str, Any]
) -> None:
    either = {"Fn::If": ["HasOwnTopic", {"Ref": "Topic"}, {"Ref": "TopicArn"}]}
    of_the_cdn = alarms(edge_watching)
    for name, alarm in alarms(watching, edge_watching).items():
        told = either if name in of_the_cdn else {"Ref": "Topic"}
        assert alarm["AlarmActions"] == alarm["OKActions"] == [told], name
        # Nobody is woken because nobody asks for anything.
        assert alarm["TreatMissingData"] == "notBreaching", name


def test_alarms_look_at_what_is_counted(watching: dict[str, Any], edge_watching: dict[str, Any]) -> None:
    for name, alarm in alarms(watching, edge_watching).items():
        assert len(list(metrics(alarm))) <= 10, name
        for metric in metrics(alarm):
            namespace, what = metric["Namespace"], metric["MetricName"]
            if namespace == STACK and "Dimensions" not in metric:
                assert what in filtered(watching), name
            elif namespace == STACK:
                (dimension,) = metric["Dimensions"]
                assert dimension["Name"] == "service"
                assert what in NAMES[dimension["Value"]], name
            else:
                assert what in OF_AWS[namespace], name


def test_an_alarms_sum_is_of_its_metrics(watching: dict[str, Any], edge_watching: dict[str, Any]) -> None:
    """Each metric of a sum is in it, by its id, whichever way conditions go; and nothing else is."""
    for name, alarm in alarms(watching, edge_watching).items():
        expressions = [it["Expression"] for it in alarm.get("Metrics", []) if "Expression" in it]
        if not expressions:
            continue
        (expression,) = expressions
        for has in (True, False):
            text = (expression["Fn::If"][1 if has else 2]) if "Fn::If" in expression else expression
            text = text["Fn::Sub"] if isinstance(text, dict) else text
            there = [
                it["Fn::If"][1 if has else 2] if "Fn::If" in it else it
                for it in alarm["Metrics"]
                if "Expression" not in it
            ]
            ids = {it["Id"] for it in there if it != {"Ref": "AWS::NoValue"}}
            assert set(re.findall(r"\b[a-z][A-Za-z]*\b", re.sub(r"\$\{\w+\}", "", text))) == ids, name


@pytest.mark.parametrize(
    ("counts", "is_alarming"),
    [
        ({"refused": 60, "served": 40}, True),
        ({"apiRefused": 60, "answered": 40}, True),
        ({"refused": 99}, False),
        ({"refused": 50, "served": 50}, False),
        # A volume that is mostly empty is no outage.
        ({"refused": 60, "absent": 300}, False),
        ({"refused": 60, "dataServed": 30, "dataAbsent": 30}, False),
    ],
)
def test_an_outage_that_answers_4xx_is_told(
    watching: dict[str, Any], counts: dict[str, int], is_alarming: bool
) -> None:
    alarm = alarms(watching)["refused"]
    share, *others = alarm["Metrics"]
    words = {"IF": lambda is_so, then, other: then if is_so else other, "FILL": lambda value, other: value or other}
    found = eval(share["Expression"], words, {it["Id"]: counts.get(it["Id"]) for it in others})
    assert (found > alarm["Threshold"]) is is_alarming
    assert (alarm["ComparisonOperator"], alarm["EvaluationPeriods"]) == ("GreaterThanThreshold", 3)


def test_what_the_cdn_sends_is_measured_by_what_is_expected(
    template: dict[str, Any], edge_watching: dict[str, Any]
) -> None:
    alarm = alarms(edge_watching)["edge-bytes"]
    expression = alarm["Metrics"][0]["Expression"]["Fn::Sub"].replace("${EdgeGigabytesPerDay}", "1000")
    assert eval(expression, {}, {"downloaded": 10**12}) == alarm["Threshold"]
    assert edge_watching["Conditions"]["HasBytes"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "EdgeGigabytesPerDay"}, 0]}]}
    assert edge_watching["Resources"]["Bytes"]["Condition"] == "HasBytes"
    here, there = (it["Parameters"]["EdgeGigabytesPerDay"] for it in (template, edge_watching))
    assert here["Default"] == there["Default"]


def test_every_function_is_looked_at_when_lambda_ends_it(template: dict[str, Any], watching: dict[str, Any]) -> None:
    """Time, memory, a crash: none of our own metrics can tell of that."""
    found = {
        dimension["Value"]["Ref"]
        for alarm in alarms(watching).values()
        for metric in metrics(alarm)
        if metric["MetricName"] == "Errors"
        for dimension in metric["Dimensions"]
    }
    given = template["Resources"]["Watch"]["Properties"]["Parameters"]
    named = [given[name]["Fn::If"][1] if "Fn::If" in given[name] else given[name] for name in found]
    functions = {name for name, it in template["Resources"].items() if it["Type"] == "AWS::Serverless::Function"}
    assert {it["Ref"] for it in named} == functions


def test_letters_that_no_queue_took_are_counted_with_those_that_one_did(
    template: dict[str, Any], watching: dict[str, Any]
) -> None:
    lost = {
        metric["Dimensions"][0]["Value"]["Ref"]
        for metric in metrics(alarms(watching)["dead-letters"])
        if metric["MetricName"] == "DestinationDeliveryFailures"
    }
    given = template["Resources"]["Watch"]["Properties"]["Parameters"]
    named = {(given[name]["Fn::If"][1] if "Fn::If" in given[name] else given[name])["Ref"] for name in lost}
    write = {
        name
        for name, it in template["Resources"].items()
        if "DestinationConfig" in it.get("Properties", {}).get("EventInvokeConfig", {})
    }
    assert named == write


def test_what_was_turned_away_is_told_from_the_access_log_by_api_gateways_own_word(
    template: dict[str, Any], watching: dict[str, Any]
) -> None:
    """Our functions say 429 as well, of too many jobs; only the gateway's own has its word."""
    (found,) = (it for it in watching["Resources"].values() if it["Type"] == "AWS::Logs::MetricFilter")
    assert found["Condition"] == "HasAccessLog"
    field, word = re.fullmatch(r'\{ \$\.(\w+) = "(\w+)" \}', found["Properties"]["FilterPattern"]).groups()  # type: ignore[union-attr]
    api = template["Resources"]["Api"]["Properties"]
    line = json.loads(api["AccessLogSetting"]["Fn::If"][1]["Format"])
    assert line[field] == "$context.error.responseType"
    assert api["GatewayResponses"][word]["StatusCode"] == 429


def test_the_template_hands_over_what_is_asked_for(template: dict[str, Any], watching: dict[str, Any]) -> None:
    watch = template["Resources"]["Watch"]
    given = watch["Properties"]["Parameters"]
    needed = {name for name, it in watching["Parameters"].items() if "Default" not in it}
    assert needed <= given.keys() <= watching["Parameters"].keys()
    assert watch["Condition"] == "IsWatched"
    assert (ROOT / watch["Properties"]["TemplateURL"]).is_file()


def test_the_cdn_is_watched_where_its_metrics_are(template: dict[str, Any], edge_watching: dict[str, Any]) -> None:
    """By the same file in each case: here, or by itself."""
    watch = template["Resources"]["EdgeWatch"]
    given = watch["Properties"]["Parameters"]
    needed = {name for name, it in edge_watching["Parameters"].items() if "Default" not in it}
    assert needed <= given.keys() <= edge_watching["Parameters"].keys()
    assert watch["Properties"]["TemplateURL"] == "infra/edge_watching.yaml"
    for parameters, region, is_there in (
        ({}, "us-east-1", True),
        ({}, "eu-central-1", False),
        ({"Cdn": "false"}, "us-east-1", False),
        ({"Watching": "false"}, "us-east-1", False),
    ):
        assert ("EdgeWatch" in as_created(template, parameters, region)["Resources"]) is is_there
    (assertion,) = edge_watching["Rules"]["TheOneRegion"]["Assertions"]
    assert assertion["Assert"] == {"Fn::Equals": [{"Ref": "AWS::Region"}, "us-east-1"]}
    guide = (
        (ROOT / "docs" / "cdn.md")
        .read_text()
        .partition("--template-file infra/edge_watching.yaml")[2]
        .partition("```")[0]
    )
    assert set(re.findall(r"(\w+)=", guide)) == needed | {"Email"}


def test_the_functions_of_the_cdn_are_called_as_its_alarms_think(
    template: dict[str, Any], edge_watching: dict[str, Any]
) -> None:
    made = {
        it["Properties"]["Name"]["Fn::Sub"].replace("AWS::StackName", "Stack").replace("AWS::Region", "HomeRegion")
        for it in template["Resources"].values()
        if it["Type"] == "AWS::CloudFront::Function"
    }
    looked_at: dict[str, set[str]] = {}
    for alarm in alarms(edge_watching).values():
        for metric in metrics(alarm):
            first, second = metric["Dimensions"]
            assert second == {"Name": "Region", "Value": "Global"}
            if first["Name"] == "FunctionName":
                looked_at.setdefault(metric["MetricName"], set()).add(first["Value"]["Fn::Sub"])
            else:
                assert first == {"Name": "DistributionId", "Value": {"Ref": "DistributionId"}}
    assert looked_at.keys() == {"FunctionExecutionErrors", "FunctionValidationErrors", "FunctionThrottles"}
    assert all(names == made for names in looked_at.values())


def test_nothing_stands_on_being_watched(template: dict[str, Any]) -> None:
    """So that it can be left out where there is no CloudWatch to be had. What watches the CDN goes with it."""
    assert template["Conditions"]["HasEdgeWatchHere"]["Fn::And"][1] == {"Condition": "IsWatched"}
    watching = ("Watch", "EdgeWatch")
    others = json.dumps([it for name, it in template["Resources"].items() if name not in watching])
    assert not re.findall(r"""\{"(?:Ref|Fn::GetAtt)": \[?"Watch"|\$\{Watch[.}]""", others)
    outputs = {name for name, it in template["Outputs"].items() if "Watch." in str(it["Value"]) or "'Watch'" in str(it)}
    assert outputs == {name for name, it in template["Outputs"].items() if it.get("Condition") == "IsWatched"}
    assert outputs == {"AlarmTopic", "Dashboard"}


def test_a_topic_takes_alarms_of_its_own_account_alone(watching: dict[str, Any], edge_watching: dict[str, Any]) -> None:
    for template in (watching, edge_watching):
        (statement,) = template["Resources"]["TopicPolicy"]["Properties"]["PolicyDocument"]["Statement"]
        assert statement["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
        assert statement["Action"] == "sns:Publish"
        assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
        assert template["Resources"]["Writing"]["Condition"] == "HasEmail"
