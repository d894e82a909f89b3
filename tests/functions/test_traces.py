"""What functions tell X-Ray of an event: their calls of AWS's services, without a name of anything; nothing where a chunk waits."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from builders.annotation_stack import AnnotationStack, annotation_stack
from builders.export_machine import export_machine
from builders.moto_aws import MotoAws
from functions.test_annotations_by_lambda import begin, complete, painted, send, state_of
from functions.test_export_machine import CORNER, LIMITS, files, job_of
from zarrlink.aws_trace import DAEMON, TRACE

HEADER = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
        daemon.bind(("127.0.0.1", 0))
        daemon.setblocking(False)
        monkeypatch.setenv(DAEMON, f"127.0.0.1:{daemon.getsockname()[1]}")
        monkeypatch.setenv(TRACE, HEADER)
        yield daemon


def told(daemon: socket.socket) -> list[dict[str, Any]]:
    """All that has come, and forget it."""
    found = []
    with contextlib.suppress(BlockingIOError):
        while True:
            found.append(json.loads(daemon.recv(65536).partition(b"\n")[2]))
    return found


def calls(found: list[dict[str, Any]]) -> set[tuple[str, str]]:
    return {(it["name"], it["aws"]["operation"]) for it in found}


@pytest.fixture
def cloud(aws: MotoAws) -> Iterator[AnnotationStack]:
    with annotation_stack(aws) as cloud:
        yield cloud


def test_the_api_and_imports_tell_their_calls_and_streaming_none(cloud: AnnotationStack, daemon: socket.socket) -> None:
    link = cloud.json("POST", "/api/zarrPrivateLinks", {"dataset": cloud.dataset})
    made = told(daemon)
    assert calls(made) >= {("DynamoDB", "PutItem"), ("Secrets Manager", "GetSecretValue")}

    status, _, _ = cloud.ask("GET", f"/zarr/{link['accessToken']}/v3/segmentation.zarr/0/c/0/0/0")
    assert (status, told(daemon)) == (200, [])

    file = painted()
    opened = begin(cloud, file)
    complete(cloud, opened, send(opened, file))
    told(daemon)
    cloud.work()
    imported = told(daemon)
    assert state_of(cloud, opened)["state"] == "done"
    assert {name for name, _ in calls(imported)} >= {"S3", "DynamoDB"}
    text = json.dumps(made + imported)
    for secret in (link["id"], link["accessToken"], cloud.dataset, "ann", opened["id"]):
        assert f'"{secret}' not in text


def test_steps_of_exports_tell_their_calls(aws: MotoAws, daemon: socket.socket) -> None:
    with export_machine(aws, LIMITS) as machine:
        job = job_of(machine.stack.register("mouse", files()).id, box=CORNER)
        told(daemon)
        status, _ = machine.run(job)
        found = told(daemon)
    assert status == "SUCCEEDED"
    assert {name for name, _ in calls(found)} >= {"S3", "DynamoDB"}
    assert job.id not in json.dumps(found)
