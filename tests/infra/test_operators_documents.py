"""docs/deploy.md and docs/runbook, taken at their word: commands run where that needs no AWS, and are taken apart where it does."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from builders.documents import (
    Block,
    blocks,
    commands,
    faults_of_aws,
    faults_of_zarrlink,
    inline_commands,
    verbs_of_make,
)
from builders.emf import NAMES
from builders.lambda_door import S3Objects
from builders.modules import load_module
from builders.moto_aws import REGION, MotoAws, moto_aws
from builders.moto_stack import deploy, environment
from builders.template import ROOT
from builders.wkw_files import LayerFiles, dataset, ramp
from zarrlink.geometry import Mag
from zarrlink_local.cloud import open_stack

DEPLOY = ROOT / "docs" / "deploy.md"
PAGES = [DEPLOY, ROOT / "docs" / "cdn.md", *sorted((ROOT / "docs" / "runbook").glob("*.md"))]
# Of a shell or of a newcomer's machine.
OTHERS = {"git", "cd", "curl", "date", "export", "for", "python3"}


def all_commands(page: Path) -> Iterator[list[str]]:
    for block in blocks(page):
        if block.kind in ("sh", "console"):
            yield from commands(block)


def named(page: Path, command: str) -> list[list[str]]:
    return [words for words in all_commands(page) if words[0] == command]


def test_every_block_says_what_runs_it() -> None:
    marks = {(block.kind, block.mark) for block in blocks(DEPLOY)}
    assert marks == {("sh", "parsed"), ("sh", "tests"), ("json", "policy")}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_is_one_that_is_looked_at(page: Path) -> None:
    known = {"make", "aws", "zarrlink", *OTHERS}
    # NAME=$(...) by itself sets a variable.
    strange = [words for words in all_commands(page) if words[0] not in known and not re.match(r"[A-Za-z]+=", words[0])]
    assert strange == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_of_aws_and_zarrlink_exist(page: Path) -> None:
    faults = [fault for words in named(page, "aws") for fault in faults_of_aws(words)]
    faults += [fault for words in inline_commands(page, "aws") for fault in faults_of_aws(words)]
    faults += [fault for words in named(page, "zarrlink") for fault in faults_of_zarrlink(words)]
    text = page.read_text()
    inline = [shlex.split(found) for found in re.findall(r"`(zarrlink [a-z-][^`]*)`", text)]
    faults += [fault for words in inline for fault in faults_of_zarrlink(words)]
    assert faults == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_verbs_of_make_exist_and_take_their_variables(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for words in named(page, "make"):
        for word in words[1:]:
            name, equals, _ = word.partition("=")
            if equals:
                assert f"$({name})" in makefile or f"or $({name})," in makefile or f"export {name} " in makefile, words
            else:
                assert name in verbs_of_make(), words


def test_parameters_exist_and_take_their_values(template: dict[str, Any]) -> None:
    given = [
        pair
        for words in named(DEPLOY, "make")
        for word in words
        if word.startswith("PARAMETERS=")
        for pair in word.removeprefix("PARAMETERS=").split()
    ]
    assert given
    for pair in given:
        name, _, value = pair.partition("=")
        assert not faults_of(template["Parameters"][name], value), pair


def faults_of(parameter: dict[str, Any], value: str) -> list[str]:
    """Parts of a value that CloudFormation would refuse."""
    parts = value.split(",") if parameter["Type"] == "CommaDelimitedList" else [value]
    return [part for part in parts if not re.fullmatch(parameter.get("AllowedPattern", ".*"), part)]


def test_parameters_that_are_named_exist_with_the_defaults_that_are_told(template: dict[str, Any]) -> None:
    parameters = template["Parameters"]
    table = DEPLOY.read_text().partition("| parameter |")[2].partition("\n\n")[0]
    rows = [row.split("|")[1:3] for row in table.splitlines()[2:]]
    assert len(rows) > 10
    for names, defaults in rows:
        told = [word.strip().partition(":")[0].partition(".")[0].strip() for word in defaults.split(",")]
        for number, name in enumerate(re.findall(r"`(\w+)`", names)):
            default = str(parameters[name].get("Default", ""))
            expected = told[min(number, len(told) - 1)]
            assert expected == (default or "none") or "API" in expected, name
    for name in re.findall(r"`([A-Z][a-z][A-Za-z]+)=", DEPLOY.read_text()):
        assert name in parameters or name == "Name"


def test_outputs_that_are_named_exist(template: dict[str, Any]) -> None:
    for page in PAGES:
        for name in re.findall(r"OutputKey=='(\w+)'", page.read_text()):
            assert name in template["Outputs"], page
    for name in (
        "StreamRole",
        "ApiRole",
        "ExportPlanRole",
        "ExportPartRole",
        "ExportFinishRole",
        "AlarmTopic",
        "Dashboard",
    ):
        assert f"`{name}`" in DEPLOY.read_text()
        assert name in template["Outputs"]


def test_every_role_that_reads_volumes_is_named(template: dict[str, Any]) -> None:
    readers = {
        name
        for name, it in template["Resources"].items()
        if {"Ref": "ReadVolumes"} in it.get("Properties", {}).get("ManagedPolicyArns", [])
    }
    text = DEPLOY.read_text()
    assert {name for name in readers if f"`{name}`" not in text} == set()
    assert f"the same {['five'][len(readers) - 5]} roles" in text


def test_log_groups_that_are_named_exist(template: dict[str, Any]) -> None:
    groups = {
        str(it["Properties"]["LogGroupName"]["Fn::Sub"]).replace("${AWS::StackName}", "zarrlink")
        for it in template["Resources"].values()
        if it["Type"] == "AWS::Logs::LogGroup"
    }
    for page in PAGES:
        for words in named(page, "aws"):
            if words[1:3] == ["logs", "tail"] and "link-sync" not in words[3]:
                assert words[3] in groups, page


def test_the_policy_grants_what_the_roles_need_and_no_more() -> None:
    (block,) = (block for block in blocks(DEPLOY) if block.mark == "policy")
    found = {statement["Action"]: statement["Resource"] for statement in json.loads(block.text)["Statement"]}
    assert found.keys() == {"s3:GetObject", "s3:ListBucket"}
    assert found["s3:GetObject"].startswith(found["s3:ListBucket"] + "/")


def test_every_metric_is_told_of() -> None:
    text = DEPLOY.read_text()
    assert {name for names in NAMES.values() for name in names if f"`{name}`" not in text} <= {"SpoiltLogs"}


def test_what_stays_is_what_the_template_keeps(template: dict[str, Any]) -> None:
    kept = {
        name: it["Type"] for name, it in template["Resources"].items() if it.get("DeletionPolicy", "Delete") != "Delete"
    }
    told = DEPLOY.read_text().partition("**These stay**")[2].partition("\n\n")[0]
    named = set(re.findall(r"`([A-Za-z]+)`", told)) & template["Resources"].keys()
    policies = {name for name, kind in kept.items() if kind == "AWS::S3::BucketPolicy"}
    assert named == kept.keys() - policies
    assert "the buckets' policies" in told
    # Of every bucket that is kept, and of none beside.
    assert policies == {f"{name}Policy" for name, kind in kept.items() if kind == "AWS::S3::Bucket"}


def test_what_a_first_deployment_leaves_is_what_it_says(template: dict[str, Any]) -> None:
    """Tables, and what new-role makes for others."""
    left = {name for name, it in template["Resources"].items() if it.get("DeletionPolicy") == "Retain"}
    tables = {name for name, it in template["Resources"].items() if it["Type"] == "AWS::DynamoDB::Table"}
    assert left == tables | {"AccessLogRole", "AccessLogAccount"}
    told = DEPLOY.read_text().partition("### When a first deployment fails")[2].partition("\n## ")[0]
    assert "What stays is tables" in told
    reserved = {name for name in template["Parameters"] if name.endswith("Concurrency")} - {
        "ExportConcurrency",
        "AccountConcurrency",
    }
    assert {name for name in reserved if f"`{name}`" not in told} == set()
    assert all(template["Parameters"][name]["Default"] == 0 for name in reserved)


def test_what_memory_buys_is_reckoned_as_it_says(template: dict[str, Any], cost: Any) -> None:
    """Processor time on the emulator, by the share of a processor that so much memory has."""
    table = DEPLOY.read_text().partition("| `StreamMemory` | import")[2].partition("\n\n")[0]
    rows = [[float(number) for number in re.findall(r"[0-9.]+", row)] for row in table.splitlines()[3:]]
    measured = [float(number) for number in re.findall(r"([0-9.]+) ms", table.splitlines()[2])]
    assert len(rows) == 4
    for memory, *milliseconds, dollars in rows:
        share = min(memory / 1769, 1)
        # A cold start's imports, a chunk, a shard.
        for found, emulated in zip(milliseconds, measured, strict=True):
            assert found == pytest.approx(emulated / share, rel=0.02)
        gigabyte_seconds = (cost.WAITING_S + measured[1] / share / 1000) * memory / 1024
        reckoned = cost.price("lambda") + gigabyte_seconds * cost.price("gigabyte-seconds")
        assert dollars == pytest.approx(reckoned, abs=0.01)
    assert [it.processor_s * 1000 for it in cost.ANSWERS.values()] == pytest.approx(measured[1:])
    assert template["Parameters"]["StreamMemory"]["Default"] in [row[0] for row in rows]


@pytest.fixture
def cost() -> ModuleType:
    """benchmarks/cost.py, which reckons docs/cost.md."""
    return load_module("cost_of_documents", ROOT / "benchmarks" / "cost.py")


@pytest.fixture
def shell() -> Iterator[tuple[MotoAws, dict[str, str]]]:
    """An account with a stack called zarrlink and the bucket of the document; a newcomer's environment."""
    with moto_aws() as aws:
        s3 = aws.client("s3")
        s3.create_bucket(Bucket="my-volumes", CreateBucketConfiguration={"LocationConstraint": REGION})
        objects = dataset(LayerFiles("em", {Mag(1, 1, 1): ramp((20, 20, 20))}))
        S3Objects(s3, "my-volumes").update({f"mouse/{key}": data for key, data in objects.items()})
        deploy(aws, ["my-volumes"], name="zarrlink")
        inherited = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "HOME") if name in os.environ}
        yield aws, {**inherited, **environment(aws)}


def test_what_the_tests_run_works_as_it_stands(
    shell: tuple[MotoAws, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    aws, variables = shell
    printed = []
    for block in blocks(DEPLOY):
        if block.mark == "tests":
            for line in block.text.splitlines():
                words = shlex.split(line, comments=True)
                if words[0] == "export":
                    name, _, value = words[1].partition("=")
                    variables[name] = value
                    continue
                run = subprocess.run(
                    as_run(words), cwd=ROOT, env=variables, capture_output=True, text=True, check=False
                )
                assert run.returncode == 0, (line, run.stdout, run.stderr)
                printed.append(run.stdout)
    for name, value in environment(aws).items():
        monkeypatch.setenv(name, value)
    state = open_stack("zarrlink")
    assert {(user.name, user.is_admin) for user in state.users.all()} == {("ann", True), ("bob", False)}
    assert [record.location for record in state.catalogue.all()] == ["s3://my-volumes/mouse"]
    (link,) = state.links.of_owner(None)
    assert state.keys.token(link.id) in "".join(printed)


def as_run(words: list[str]) -> list[str]:
    """With this Python: what make would run last, or the command."""
    if words[0] == "make":
        told = subprocess.run(
            ["make", "-n", "--no-print-directory", *words[1:]], cwd=ROOT, capture_output=True, text=True, check=True
        )
        recipe = shlex.split(told.stdout.strip().splitlines()[-1])
        return [sys.executable, *recipe[1:]]
    assert words[0] == "zarrlink"
    return [sys.executable, "-m", "zarrlink_local.cli", *words[1:]]


def test_what_does_not_exist_is_seen() -> None:
    """Or the tests above would say nothing."""
    block = Block(
        "parsed",
        "sh",
        "Q=$(aws sqs no-such --queue-url x)\naws sqs purge-queue --que x | make it\nzarrlink links make\n",
    )
    found = list(commands(block))
    assert [words[0] for words in found] == ["aws", "Q=PRINTED", "aws", "make", "zarrlink"]
    assert faults_of_aws(found[0]) == ["no operation sqs no-such"]
    assert faults_of_aws(found[2]) == ["sqs purge-queue needs --queue-url"]
    assert faults_of_zarrlink(found[4]) == ["zarrlink links make: no command make"]


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        ("lambda invoke --function-name zarrlink-link-sync answer.json", "no function is called zarrlink-link-sync"),
        ("lambda invoke --function-name $sync --payload '{}' answer.json", "lambda invoke with a payload needs --cli"),
        ("logs tail /aws/lambda/zarrlink-stream --filter-pattern damaged-source", "damaged-source has to be quoted"),
    ],
)
def test_values_that_aws_would_refuse_or_misread_are_seen(tmp_path: Path, command: str, fault: str) -> None:
    """In a sentence as in a block."""
    page = tmp_path / "page.md"
    page.write_text(f"Ask `aws {command}` for it; `aws configure` is only named.\n\n```sh\naws {command}\n```\n")
    for found in (list(inline_commands(page, "aws")), named(page, "aws")):
        (words,) = found
        (seen,) = faults_of_aws(words)
        assert seen.startswith(fault)


def test_times_are_reckoned_in_a_way_that_every_shell_knows() -> None:
    """`date -d` is GNU's alone."""
    for page in PAGES:
        assert [words for words in all_commands(page) if words[0] == "date" and words[1:] != ["+%s"]] == [], page


@pytest.mark.parametrize("is_wrapped", [True, False])
def test_the_event_of_a_dead_letter_is_what_the_function_takes(tmp_path: Path, is_wrapped: bool) -> None:
    """Lambda wraps what a function failed at; EventBridge does not."""
    event = {"detail": {"name": "0123456789abcdef01234567-1", "status": "FAILED"}}
    letter = {"requestPayload": event, "responsePayload": {"errorType": "KeyError"}} if is_wrapped else event
    (tmp_path / "letter.json").write_text(json.dumps(letter))
    ((_, *words),) = named(ROOT / "docs" / "runbook" / "dead-letters.md", "python3")
    subprocess.run([sys.executable, *words], cwd=tmp_path, check=True)
    assert json.loads((tmp_path / "event.json").read_text()) == event
