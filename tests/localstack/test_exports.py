"""Exports by the deployed state machine: units, retries by the names of our errors, cancelling, and what is left of it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import tifffile

from builders.deployed import TOKEN, until
from builders.wkw_files import LayerFiles, dataset, noise, ramp
from zarrlink.formats.wkw import BlockType
from zarrlink.geometry import Mag
from zarrlink_local.emulated_deployment import BUCKET, STACK

ONE = Mag(1, 1, 1)
ENDED = ("SUCCESS", "FAILURE", "CANCELLED")
OUT_OF_ORDER = {"service": "s3", "operation": "GetObject", "of": BUCKET, "code": "SlowDown", "status": 503}
# Two units, each of a part that S3 takes: what can be compressed would be one.
LONG_XYZ = (512, 512, 256)


def submit(deployed: Any, dataset_id: str, box: str, layer: str = "em") -> dict[str, Any]:
    wish = {"bbox": box, "asOmeTiff": "true", "layerName": layer}
    job: dict[str, Any] = deployed.api("POST", f"jobs/run/exportTiff/{dataset_id}", params=wish)
    return job


def ended(deployed: Any, job: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = until(lambda: deployed.api("GET", f"jobs/{job['id']}"), lambda it: it["state"] in ENDED)
    return found


def execution(deployed: Any, job: dict[str, Any]) -> str:
    """Its ARN: each is called JOB-ATTEMPT."""
    machine: str = deployed.outputs["ExportMachine"]
    return f"{machine.replace(':stateMachine:', ':execution:')}:{job['id']}-{job['attempt']}"


def events(deployed: Any, job: dict[str, Any]) -> list[dict[str, Any]]:
    client = deployed.client("stepfunctions")
    history: list[dict[str, Any]] = client.get_execution_history(
        executionArn=execution(deployed, job), maxResults=1000
    )["events"]
    return history


def failures(deployed: Any, job: dict[str, Any]) -> list[str]:
    """The names of the errors of tasks that failed, as the state machine's Retry compares them."""
    return [
        event["taskFailedEventDetails"]["error"] for event in events(deployed, job) if event["type"] == "TaskFailed"
    ]


def status(deployed: Any, job: dict[str, Any]) -> str:
    """Of its execution."""
    found: str = deployed.client("stepfunctions").describe_execution(executionArn=execution(deployed, job))["status"]
    return found


def left(deployed: Any, job: dict[str, Any]) -> list[str]:
    bucket, client = deployed.outputs["ExportBucket"], deployed.client("s3")
    keys = [it["Key"] for it in client.list_objects_v2(Bucket=bucket).get("Contents", [])]
    uploads = [it["Key"] for it in client.list_multipart_uploads(Bucket=bucket).get("Uploads", [])]
    return [key for key in keys + uploads if job["id"] in key]


@pytest.fixture(scope="module")
def long(deployed: Any) -> tuple[str, np.ndarray]:
    """A dataset that takes more than one unit."""
    volume = noise(LONG_XYZ)
    raw = LayerFiles("em", {ONE: volume}, block_side=32, file_side=16, block_type=BlockType.RAW)
    return deployed.register(dataset(raw)), volume


def result(deployed: Any, job: dict[str, Any]) -> np.ndarray:
    answer = deployed.ask("GET", f"/api/jobs/{job['id']}/export", headers={"X-Auth-Token": TOKEN})
    assert answer.status_code == 200, answer.text
    with tifffile.TiffFile(io.BytesIO(answer.content)) as file:
        return np.asarray(file.series[0].asarray())


def test_a_small_export(deployed: Any, mouse: Any) -> None:
    job = ended(deployed, submit(deployed, mouse.id, "0,0,0,70,60,50"))
    assert job["state"] == "SUCCESS", job
    assert np.array_equal(result(deployed, job), mouse.volumes["em"][ONE])


def test_an_export_of_units(deployed: Any, long: Any) -> None:
    """By the distributed Map, then finished."""
    dataset_id, volume = long
    job = ended(deployed, submit(deployed, dataset_id, "0,0,0," + ",".join(map(str, LONG_XYZ))))
    assert job["state"] == "SUCCESS", job
    assert np.array_equal(result(deployed, job), volume)
    kinds = [event["type"] for event in events(deployed, job)]
    assert "MapRunSucceeded" in kinds


@contextmanager
def held_up(deployed: Any, dataset_id: str) -> Iterator[dict[str, Any]]:
    """A job whose first step waits for its row, until what is done meanwhile is done: the API looks at a layer, too."""
    slow = {"service": "dynamodb", "operation": "GetItem", "of": deployed.outputs["JobsTable"], "delay_s": 4}
    with deployed.fault(slow):
        yield submit(deployed, dataset_id, "0,0,0,64,60,50")


def test_what_is_out_of_order_for_a_while_is_tried_again(deployed: Any, mouse: Any) -> None:
    """S3 says 503 at the wire, until the state machine has seen our error by its name; then all is well."""
    with held_up(deployed, mouse.id) as job:
        deployed.put_fault(OUT_OF_ORDER)
        until(lambda: failures(deployed, job), lambda names: names)
    assert ended(deployed, job)["state"] == "SUCCESS"
    assert set(failures(deployed, job)) == {"SourceUnavailable"}
    assert until(lambda: status(deployed, job), lambda status: status != "RUNNING") == "SUCCEEDED"


def test_damage_ends_it_at_once_with_nothing_left(deployed: Any) -> None:
    """What another attempt would meet again is tried once."""
    objects = dataset(LayerFiles("em", {ONE: ramp((64, 64, 64))}, block_side=32, file_side=2))
    dataset_id = deployed.register(objects)
    with held_up(deployed, dataset_id) as job:
        deployed.store(dataset_id, {key: data[:-40] for key, data in objects.items() if key.endswith("x0.wkw")})
    found = ended(deployed, job)
    assert found["state"] == "FAILURE"
    assert "damaged" in found["message"]
    # The job ends a moment before the function does that ends it.
    assert until(lambda: failures(deployed, job), lambda names: names) == ["CorruptFile"]
    until(lambda: left(deployed, job), lambda keys: not keys)


def cancelled(deployed: Any, mouse: Any) -> tuple[dict[str, Any], str]:
    """A job that was cancelled while the state machine waited to try again, and how its execution ended."""
    with held_up(deployed, mouse.id) as job:
        deployed.put_fault(OUT_OF_ORDER)
        until(lambda: failures(deployed, job), lambda names: len(names) > 1)
        deployed.api("PATCH", f"jobs/{job['id']}/cancel")
        ended_as = until(lambda: status(deployed, job), lambda status: status != "RUNNING")
    assert deployed.api("GET", f"jobs/{job['id']}")["state"] == "CANCELLED"
    until(lambda: left(deployed, job), lambda keys: not keys)
    return job, ended_as


def test_a_cancelled_export_leaves_nothing(deployed: Any, mouse: Any) -> None:
    """EventBridge has the abort function look after an execution that was stopped. One may end by itself, where the step
    is tried again between the cancellation and the stop."""
    log = deployed.log(f"/aws/lambda/{STACK}-export-abort")
    tries = (cancelled(deployed, mouse) for _ in range(5))
    stopped = next((job for job, ended_as in tries if ended_as == "ABORTED"), None)
    assert stopped is not None
    until(log.text, lambda text: stopped["id"] in text)


def test_errors_keep_their_names(deployed: Any) -> None:
    """What Retry and Catch compare: Lambda's errorType is our class."""
    answer, failed = deployed.invoke("ExportPartFunction", {"job": "0" * 24, "attempt": 1, "unit": 0})
    assert failed == "Unhandled"
    assert answer["errorType"] == "JobEnded"
    assert "/" not in answer["errorMessage"]
