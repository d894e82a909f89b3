"""What the functions ask of the bucket of results is what their roles are granted."""

from __future__ import annotations

from typing import Any

import pytest

from builders.export_machine import Event, ExportMachine, export_machine
from builders.moto_aws import MotoAws
from builders.template import load_template
from functions.test_export_machine import CORNER, LIMITS, ended_event, files, job_of, left, running
from infra.test_privileges import every_grant
from zarrlink import aws_exports
from zarrlink.aws_parts import LazyClient, now_ms
from zarrlink.errors import JobEnded
from zarrlink.exports.part_s3 import S3Parts
from zarrlink.jobs.model import Job
from zarrlink.jobs.step_functions import StepFunctionsEngine, execution_name

BUCKET = "ExportBucket"
ACTION = {
    "get_object": "GetObject",
    "head_object": "GetObject",
    "put_object": "PutObject",
    "create_multipart_upload": "PutObject",
    "upload_part": "PutObject",
    "complete_multipart_upload": "PutObject",
    "abort_multipart_upload": "AbortMultipartUpload",
    "list_parts": "ListMultipartUploadParts",
    "delete_objects": "DeleteObject",
}
LISTINGS = {"list_objects_v2": "ListBucket", "list_multipart_uploads": "ListBucketMultipartUploads"}
Used = set[tuple[str, str]]


class Noting:
    """A client of S3 that notes what it is asked for, as IAM calls it."""

    def __init__(self, client: Any, used: Used) -> None:
        self._client = client
        self._used = used

    def __getattr__(self, name: str) -> Any:
        asked = getattr(self._client, name)

        def ask(*words: str, **request: Any) -> Any:
            if name == "get_paginator":
                return NotingPages(asked(*words), words[0], self._used)
            if name == "generate_presigned_url":
                self._used.add(right(words[0], request["Params"]))
            else:
                self._used.add(right(name, request))
            return asked(*words, **request)

        return ask


class NotingPages:
    def __init__(self, pages: Any, operation: str, used: Used) -> None:
        self._pages = pages
        self._operation = operation
        self._used = used

    def paginate(self, **request: Any) -> Any:
        self._used.add(right(self._operation, request))
        return self._pages.paginate(**request)


def right(operation: str, request: dict[str, Any]) -> tuple[str, str]:
    if operation in LISTINGS:
        return f"s3:{LISTINGS[operation]}", BUCKET
    key = request["Key"] if "Key" in request else request["Delete"]["Objects"][0]["Key"]
    return of(ACTION[operation], key.split("/")[0])


def of(action: str, folder: str) -> tuple[str, str]:
    return f"s3:{action}", f"${{{BUCKET}.Arn}}/{folder}/*"


def noted(machine: ExportMachine, monkeypatch: pytest.MonkeyPatch) -> dict[str, Used]:
    """By the name of a function, what it asks for from now on."""
    used: dict[str, Used] = {name: set() for name in ("ExportPlan", "ExportPart", "ExportFinish", "ExportAbort")}
    for name, notes in used.items():

        def make(service: str, notes: Used = notes, **given: Any) -> Any:
            client = LazyClient(service, **given)
            return Noting(client, notes) if service == "s3" else client

        monkeypatch.setattr(aws_exports, "LazyClient", make)
        assert machine.functions[name].module.STEPS.work
    return used


def use(machine: ExportMachine, dataset: str) -> None:
    """Everything that touches the bucket."""
    lost = iter([True])

    def lose(event: Event) -> None:
        if next(lost, False):
            del machine.objects[f"scratch/{event['job']}/1/results/000001"]

    machine.functions["ExportFinish"].before = lose
    _, job = machine.run(job_of(dataset, levels=3))
    _, small = machine.run(job_of(dataset, box=CORNER))
    assert (job.state, small.state) == ("SUCCESS", "SUCCESS")
    machine.engine.address(job)
    machine.engine.discard(job)
    for asked in ({"box": CORNER}, {"levels": 3}):
        machine.reset()
        cancel_late(machine, job_of(dataset, **asked))
    machine.reset()
    cancelled = job_of(dataset, levels=3)
    _, go_on = running(machine, cancelled)
    assert machine.jobs.end(cancelled.id, 1, "CANCELLED", now_ms())
    machine.engine.stop(cancelled)
    go_on.set()
    assert machine.ended(execution_name(cancelled)) == "ABORTED"
    machine.reset()
    stopped = job_of(dataset, levels=3)
    _, go_on = running(machine, stopped)
    name = execution_name(stopped)
    machine.stack.aws.client("stepfunctions").stop_execution(executionArn=machine.execution(name)["executionArn"])
    # As by a worker that was killed between that and the job's row.
    machine.objects[f"exports/{stopped.id}/1/{stopped.file_name}"] = b"whole"
    machine.functions["ExportAbort"].run(ended_event(stopped, "ABORTED"))
    go_on.set()
    assert machine.ended(name) == "ABORTED"
    machine.reset()
    failed = job_of(dataset, levels=3)
    _, go_on = running(machine, failed)
    assert machine.jobs.end(failed.id, 1, "CANCELLED", now_ms())
    go_on.set()
    assert machine.ended(execution_name(failed)) == "FAILED"
    with pytest.raises(JobEnded):
        machine.functions["ExportPart"].run({"job": failed.id, "attempt": 1, "unit": 1})


def cancel_late(machine: ExportMachine, job: Job) -> None:
    """When the result is there and the job not done: whoever made it clears it away."""
    complete = S3Parts.complete

    def cancelled(sink: S3Parts, *given: Any) -> None:
        complete(sink, *given)
        assert machine.jobs.end(job.id, 1, "CANCELLED", now_ms())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(S3Parts, "complete", cancelled)
        assert machine.run(job)[0] == "FAILED"
    assert left(machine, job) == []


def test_every_right_is_used_and_nothing_else(aws: MotoAws, monkeypatch: pytest.MonkeyPatch) -> None:
    template, api = load_template(), Used()
    with export_machine(aws, LIMITS) as machine:
        used = noted(machine, monkeypatch)
        machine.engine = StepFunctionsEngine(
            aws.client("stepfunctions"),
            machine.stack.made["ExportMachine"],
            Noting(aws.client("s3"), api),
            machine.bucket,
        )
        use(machine, machine.stack.register("mouse", files()).id)
    # Without it a plan that is not there yet would look denied.
    used["ExportPlan"].add(("s3:ListBucket", BUCKET))
    # Only where an attempt ends while it is planned, or is planned twice at the same time.
    used["ExportPlan"] |= {
        *(of(action, "exports") for action in ("DeleteObject", "AbortMultipartUpload", "ListMultipartUploadParts")),
        of("DeleteObject", "scratch"),
        ("s3:ListBucketMultipartUploads", BUCKET),
    }
    # Only where the table failed after a result was put together: whether it is there, the second time.
    for name in ("ExportPart", "ExportFinish"):
        used[name].add(of("GetObject", "exports"))
    # Only where the table of renumbered ids was written by an earlier call.
    used["ExportFinish"].add(of("AbortMultipartUpload", "exports"))
    for name, notes in (*used.items(), ("Api", api)):
        granted = {grant for grant in every_grant(template, f"{name}Role", "s3") if BUCKET in grant[1]}
        assert granted == notes, name
