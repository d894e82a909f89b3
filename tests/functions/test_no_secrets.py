"""What the functions write of a link, a user, an upload and an export, all lines together: nothing that opens or tells anything."""

from __future__ import annotations

import json
from typing import Any

import pytest

from builders.annotation_stack import annotation_stack, form
from builders.annotation_zips import Volume, annotation_zip
from builders.export_machine import export_machine
from builders.moto_aws import MotoAws
from functions.test_annotations_by_lambda import begin, complete, download, painted, send, state_of
from functions.test_export_machine import CORNER, LIMITS, fetched, files, job_of

# Part of every signed address, and of the credentials it is signed with.
SIGNATURES = ("X-Amz-", "Signature", "AWSAccessKeyId")


def test_links_uploads_and_downloads(aws: MotoAws, capsys: pytest.CaptureFixture[str]) -> None:
    with annotation_stack(aws) as cloud:
        link = cloud.json("POST", "/api/zarrPrivateLinks", {"dataset": cloud.dataset, "name": "For the reviewers of X"})
        token = link["accessToken"]
        for below in ("", "v3/segmentation.zarr/0/c/0/0/0", "v3/other.zarr/zarr.json", f"v3/{token}"):
            cloud.ask("GET", f"/zarr/{token}/{below}")
        cloud.ask("GET", f"/api/zarrPrivateLinks/{link['id']}")
        cloud.ask("GET", "/api/user", user="a-wrong")
        file = painted()
        opened = begin(cloud, file)
        complete(cloud, opened, send(opened, file))
        # Its sentence says which file is damaged, and that is its owner's business.
        bad = annotation_zip(Volume(location="unpublished-cells.zip", data=b"PK\3\4nonsense"))
        refused = begin(cloud, bad)
        complete(cloud, refused, send(refused, bad))
        cloud.ask("POST", "/api/annotations/upload", form(b"nonsense", "unpublished.zip"))
        cloud.work()
        failed = state_of(cloud, refused)
        download(cloud, state_of(cloud, opened)["annotation"])
        signed = [part["url"] for part in opened["parts"]]
    assert (failed["state"], "unpublished" in json.dumps(failed)) == ("failed", True)
    out, err = capsys.readouterr()
    assert '"message":"request"' in out
    assert '"message":"job"' in out
    secrets = [token, link["id"], "ann-token", "a-wrong-token", "reviewers", "unpublished", *signed, *SIGNATURES]
    assert [secret for secret in secrets if secret in out + err] == []
    # One line for each request, beside metrics and warnings.
    for line in map(json.loads, filter(lambda line: line.startswith("{"), out.splitlines())):
        assert line.get("level") in (None, "INFO", "WARNING", "ERROR"), line


def test_exports(aws: MotoAws, capsys: pytest.CaptureFixture[str]) -> None:
    with export_machine(aws, LIMITS) as machine:
        machine.stack.add_user("ann", "ann-token")
        job = job_of(machine.stack.register("mouse", files()).id, box=CORNER)
        _, job = machine.run(job)
        address = machine.engine.address(job)
        assert fetched(machine, job)
    out, err = capsys.readouterr()
    assert job.id in out
    secrets = ["ann-token", address.partition("?")[2], job.file_name, *SIGNATURES]
    assert [secret for secret in secrets if secret in out + err] == []


def test_the_state_machine_logs_what_failed_without_what_it_was_given(template_machine: dict[str, Any]) -> None:
    """Events of imports hold names of uploads."""
    assert template_machine["Logging"]["IncludeExecutionData"] is False
    assert template_machine["Logging"]["Level"] == "ERROR"


@pytest.fixture
def template_machine() -> dict[str, Any]:
    from builders.template import load_template, resources_of

    return resources_of(load_template(), "AWS::Serverless::StateMachine")["ExportMachine"]
