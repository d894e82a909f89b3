"""What functions count: the very lines that their handlers print, for chunks, exports and the API."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from builders.annotation_stack import Context, annotation_stack
from builders.annotation_zips import Volume, annotation_zip
from builders.emf import NAMES, emf_lines, total, values
from builders.export_machine import ExportMachine, export_machine
from builders.lambda_door import S3Objects, load_function, rest_event
from builders.moto_aws import MotoAws
from builders.stack import make_stack
from builders.wkw_files import LayerFiles, dataset, ramp
from functions.test_annotations_by_lambda import begin, complete, painted, send
from functions.test_export_machine import LIMITS, files, job_of
from functions.test_foreign_by_lambda import dataset as foreign_dataset
from zarrlink.errors import SourceUnavailable
from zarrlink.geometry import Mag
from zarrlink.http.message import Request
from zarrlink.links.model import Link
from zarrlink.links.secrets import read_key_ring
from zarrlink.view import View

ONE = Mag(1, 1, 1)
# 4 blocks of 32^3 along each axis but for the last: those at its end are cut by the box, and have to be decoded.
LAYER = LayerFiles("em", {ONE: ramp((128, 128, 100))}, block_side=32, file_side=4)
SHARD = "v3/em.zarr/0/c/0/0/0"


@pytest.fixture(scope="module")
def cloud(aws: MotoAws) -> Iterator[SimpleNamespace]:
    """Both functions that answer requests, over one stack."""
    stack = make_stack(aws)
    stack.add_user("ann", "ann-token")
    record = stack.register("mouse", dataset(LAYER))
    view = View(record.id, ("em",))
    with pytest.MonkeyPatch.context() as patch:
        functions = {}
        for logical, service in (("ApiFunction", "api"), ("StreamFunction", "stream")):
            environment = stack.environment(logical) | {"POWERTOOLS_SERVICE_NAME": f"{service}-{uuid4().hex}"}
            for name, value in environment.items():
                patch.setenv(name, value)
            functions[service] = load_function(service)
        stream = functions["stream"]
        library = stream.data_path().streamer.library
        opened = stream.LOOP.run_until_complete(library.layer(view, "em"))
        link = Link("AAAAAAAAAAAAAAAA", "ann", view, {"em": opened.fingerprint}, "", "", 1, None)
        stack.links().add(link)
        token = read_key_ring(aws.client("secretsmanager"), stack.made["LinkKeys"]).token(link.id)
        bucket, _, folder = record.location.removeprefix("s3://").partition("/")
        objects = S3Objects(aws.client("s3"), bucket)
        yield SimpleNamespace(**functions, token=token, objects=objects, folder=folder, dataset=record.id)
        stream.LOOP.close()


@pytest.fixture
def counted(cloud: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> Any:
    """A request's status, body and metrics; of `api` for a whole address, where `{token}` is the link's."""

    def ask(below: str, method: str = "GET", token: str | None = None, **headers: str) -> SimpleNamespace:
        capsys.readouterr()
        given = {name.encode(): value.encode() for name, value in headers.items()}
        service = "api" if below.startswith("/") else "stream"
        path = below.format(token=cloud.token) if service == "api" else f"/zarr/{token or cloud.token}/{below}"
        answer = getattr(cloud, service).handler(rest_event(Request(method, path, given)), Context())
        out = capsys.readouterr().out
        for secret in (cloud.token, cloud.token[1:17], "ann-token"):
            assert secret not in out
        (line,) = emf_lines(out)
        metrics = values(line)
        assert metrics.keys() <= NAMES[service]
        encoded = answer["isBase64Encoded"]
        body = base64.b64decode(answer["body"]) if encoded else answer["body"].encode()
        return SimpleNamespace(status=answer["statusCode"], body=body, **metrics)

    return ask


def outcomes(found: SimpleNamespace) -> dict[str, float]:
    names = ("Served", "Absent", "Refused", "Failed")
    return {name: vars(found)[name] for name in names if vars(found).get(name)}


def test_a_shard_counts_its_blocks_and_its_reads(counted: Any) -> None:
    found = counted(SHARD)
    assert (found.status, outcomes(found), found.Chunks) == (200, {"Served": 1}, 1)
    assert (found.BlocksFramed, found.BlocksDecoded) == (48, 16)
    assert found.BytesSent == len(found.body)
    assert found.SourceBytes > 0
    # The jump table with the header, and the blocks; then the blocks alone.
    assert found.ChunkSourceRequests == found.SourceRequests == 2
    again = counted(SHARD)
    assert again.ChunkSourceRequests == 1
    assert again.ColdStarts == 0


def test_a_range_counts_the_blocks_that_it_touches(counted: Any) -> None:
    found = counted(SHARD, range="bytes=0-9")
    assert (found.status, found.Chunks, found.BlocksFramed, found.BlocksDecoded) == (206, 1, 1, 0)


def test_metadata_and_what_is_refused_are_no_chunks(counted: Any) -> None:
    for below, status, outcome in (
        ("v3/em.zarr/zarr.json", 200, "Served"),
        ("v3/em.zarr/.zattrs", 404, "Absent"),
        ("v3/other.zarr/zarr.json", 410, "Refused"),
        ("v3/em.zarr/0/c/0/00/0", 400, "Refused"),
    ):
        found = counted(below)
        assert (found.status, outcomes(found)) == (status, {outcome: 1}), below
        assert not vars(found).keys() & {"Chunks", "BlocksFramed", "ChunkSourceRequests"}
    assert outcomes(counted(SHARD, token="a" + "0" * 32)) == {"Refused": 1}


def test_a_chunk_that_holds_nothing_is_absent_and_no_chunk(counted: Any) -> None:
    found = counted("v3/em.zarr/0/c/0/0/9")
    assert (found.status, outcomes(found)) == (404, {"Absent": 1})
    assert not hasattr(found, "Chunks")


def test_what_a_reader_has_already_is_a_chunk_without_blocks(counted: Any) -> None:
    found = counted(SHARD, **{"if-none-match": "*"})
    assert (found.status, found.Chunks, found.BlocksFramed, found.BlocksDecoded) == (304, 1, 0, 0)


def test_damage_is_counted_by_itself(counted: Any, cloud: SimpleNamespace) -> None:
    (key,) = (key for key in cloud.objects if key.endswith("z0/y0/x0.wkw"))
    whole = cloud.objects[key]
    cloud.objects[key] = whole[:5000]
    try:
        found = counted(SHARD)
    finally:
        cloud.objects[key] = whole
    assert (found.status, outcomes(found), found.Damaged) == (502, {"Failed": 1}, 1)
    assert counted(SHARD).Damaged == 0


def test_what_the_gateway_strips_was_not_sent(counted: Any) -> None:
    found = counted(SHARD, "HEAD")
    assert (found.status, found.Chunks, found.BytesSent) == (200, 1, 0)
    assert found.body


@pytest.mark.parametrize(
    "place", ["/data/zarr3_experimental/{dataset}", "/data/annotations/zarr3_experimental/{token}"]
)
def test_chunks_below_data_are_counted_alike(counted: Any, cloud: SimpleNamespace, place: str) -> None:
    """By an id, and by a link's token in its place."""
    place = place.replace("{dataset}", cloud.dataset)
    user = {"x-auth-token": "ann-token"}
    counted(f"{place}/em/1/0.1.1.1", **user)
    found = counted(f"{place}/em/1/0.1.1.1", **user)
    assert (found.status, outcomes(found), found.Damaged) == (200, {"Served": 1}, 0)
    assert (found.Chunks, found.BlocksFramed, found.BlocksDecoded) == (1, 0, 1)
    assert found.BytesSent == len(found.body) == 32**3
    assert found.SourceBytes > 0
    assert found.ChunkSourceRequests == found.SourceRequests >= 1
    below_the_link = counted("w3/em/1/0.1.1.1")
    assert (below_the_link.Chunks, below_the_link.BlocksDecoded) == (1, 1)
    for below, status, outcome in (("em/1/zarr.json", 200, "Served"), ("em/1/0.9.9.9", 404, "Absent")):
        found = counted(f"{place}/{below}", **user)
        assert (found.status, outcomes(found)) == (status, {outcome: 1}), below
        assert not hasattr(found, "Chunks")
        assert found.BytesSent == len(found.body)


def test_damage_below_data_is_counted_by_itself(counted: Any, cloud: SimpleNamespace) -> None:
    (key,) = (key for key in cloud.objects if key.endswith("z0/y0/x0.wkw"))
    whole = cloud.objects[key]
    cloud.objects[key] = whole[:5000]
    try:
        found = counted(f"/data/zarr/{cloud.dataset}/em/1/0.3.3.2", **{"x-auth-token": "ann-token"})
    finally:
        cloud.objects[key] = whole
    assert (found.status, outcomes(found), found.Damaged) == (502, {"Failed": 1}, 1)


def test_what_tensorstore_reads_by_itself_is_counted(
    aws: MotoAws, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stack = make_stack(aws)
    record = stack.register("foreign", foreign_dataset(tmp_path))
    environment = stack.environment("ApiFunction") | {"POWERTOOLS_SERVICE_NAME": f"api-{uuid4().hex}"}
    stack.add_user("ann", "ann-token")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        api = load_function("api")
        event = rest_event(Request("GET", f"/data/zarr/{record.id}/n5/1/0.0.0.0", {b"x-auth-token": b"ann-token"}))
        found = []
        for _ in range(2):
            capsys.readouterr()
            assert api.handler(event, Context())["statusCode"] == 200
            (line,) = emf_lines(capsys.readouterr().out)
            found.append(values(line))
    assert [it["Chunks"] for it in found] == [1, 1]
    # 20 * 13 * 17 voxels in blocks of 8^3, all in this chunk; and what describes them.
    assert all(it["ChunkSourceRequests"] >= 3 * 2 * 3 for it in found)
    # The second time it only asks whether they are still the same.
    assert found[0]["SourceBytes"] > 5000 > found[1]["SourceBytes"]


def test_the_first_event_of_an_environment_is_a_cold_start(
    cloud: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = load_function("stream")
    try:
        for expected in (1, 0, 0):
            capsys.readouterr()
            stream.handler(rest_event(Request("GET", "/zarr/x/v3/em.zarr/zarr.json", {})), Context())
            assert total(emf_lines(capsys.readouterr().out), "ColdStarts") == expected
    finally:
        stream.LOOP.close()


def test_the_api_counts_what_it_answers_and_refuses(aws: MotoAws, capsys: pytest.CaptureFixture[str]) -> None:
    stack = make_stack(aws)
    stack.add_user("ann", "ann-token")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (stack.environment("ApiFunction") | {"POWERTOOLS_SERVICE_NAME": "api-metrics"}).items():
            patch.setenv(name, value)
        api = load_function("api")
        for token, outcome in (("ann-token", "Answered"), ("secret-guess", "Refused")):
            event = rest_event(Request("GET", "/api/zarrPrivateLinks", {b"x-auth-token": token.encode()}))
            capsys.readouterr()
            api.handler(event, Context())
            out = capsys.readouterr().out
            (line,) = emf_lines(out)
            assert values(line).keys() == {outcome, "ColdStarts"} <= NAMES["api"]
            assert token not in out


def test_imports_count_what_became_of_them(aws: MotoAws, capsys: pytest.CaptureFixture[str]) -> None:
    with annotation_stack(aws) as stack:
        opened = begin(stack, file := painted())
        complete(stack, opened, send(opened, file))
        bad = annotation_zip(Volume(location="cells.zip", data=b"PK\3\4nonsense"))
        refused = begin(stack, bad)
        complete(stack, refused, send(refused, bad))
        capsys.readouterr()
        stack.work()
    first, second = map(values, emf_lines(capsys.readouterr().out))
    assert first == {"ColdStarts": 1, "Attempts": 1, "Done": 1}
    assert second == {"ColdStarts": 0, "Attempts": 1, "Refused": 1}


# --- exports: by the state machine as moto runs it, whose functions print to this test's output ---


@pytest.fixture(scope="module")
def machine(aws: MotoAws) -> Iterator[ExportMachine]:
    with export_machine(aws, LIMITS) as machine:
        machine.stack.add_user("ann", "ann-token")
        yield machine


@pytest.fixture
def mouse(machine: ExportMachine) -> str:
    machine.reset()
    return machine.stack.register("mouse", files()).id


def summed(out: str) -> dict[str, float]:
    lines = emf_lines(out)
    for line in lines:
        # Services of their own for each test: NAME-SOMETHING.
        assert values(line).keys() <= set().union(*NAMES.values())
    names = {name for line in lines for name in values(line)}
    return {name: total(lines, name) for name in names}


def test_an_exports_units_are_counted_when_planned_and_when_done(
    machine: ExportMachine, mouse: str, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    status, job = machine.run(job_of(mouse, levels=3))
    found = summed(capsys.readouterr().out)
    assert (status, job.units) == ("SUCCEEDED", 6)
    assert (found["UnitsPlanned"], found["UnitsDone"], found["JobsDone"]) == (6, 6, 1)
    assert "JobsFailed" not in found
    assert "Failed" not in found
    assert job.id not in found


def test_an_attempt_that_is_tried_again_is_no_failed_job(
    machine: ExportMachine, mouse: str, capsys: pytest.CaptureFixture[str]
) -> None:
    first = iter([True])
    inner = machine.functions["ExportPart"].module.STEPS.work
    unit = inner.unit

    async def fails_once(job: str, attempt: int, number: int) -> None:
        if next(first, False):
            raise SourceUnavailable("S3 answered 503 SlowDown")
        await unit(job, attempt, number)

    capsys.readouterr()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inner, "unit", fails_once)
        status, _ = machine.run(job_of(mouse, levels=3))
    found = summed(capsys.readouterr().out)
    assert (status, found["Failed"], found["UnitsDone"], found["JobsDone"]) == ("SUCCEEDED", 1, 6, 1)
    assert "JobsFailed" not in found


def test_a_job_that_fails_is_counted_once_however_often_it_is_cleaned_up(
    machine: ExportMachine, mouse: str, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    job = job_of(mouse, mag=Mag(64, 64, 64))
    status, _ = machine.run(job)
    abort = machine.functions["ExportAbort"]
    abort.run({"detail": {"name": f"{job.id}-1", "status": "FAILED"}})
    found = summed(capsys.readouterr().out)
    # One attempt at planning, which says itself that it is final; then the machine's clean-up, and EventBridge's.
    assert (status, found["JobsFailed"], found["Failed"], found["Attempts"]) == ("FAILED", 1, 1, 3)


@pytest.mark.parametrize("status", ["ABORTED", "FAILED", "TIMED_OUT"])
def test_a_cancelled_job_is_no_failed_one(
    machine: ExportMachine, mouse: str, capsys: pytest.CaptureFixture[str], status: str
) -> None:
    """However its execution ended: a step that ran when it was cancelled may have failed."""
    job = job_of(mouse)
    machine.jobs.add(job)
    assert machine.jobs.end(job.id, 1, "CANCELLED", 1)
    capsys.readouterr()
    machine.functions["ExportAbort"].run({"detail": {"name": f"{job.id}-1", "status": status}})
    found = summed(capsys.readouterr().out)
    assert (found["Attempts"], found["JobsFailed"]) == (1, 0)
    assert "Failed" not in found
