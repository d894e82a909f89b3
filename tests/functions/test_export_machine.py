"""Exports through the state machine and its functions, over S3 and DynamoDB."""

from __future__ import annotations

import io
import itertools
import json
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import tifffile

from builders.annotation_stack import AnnotationStack
from builders.annotation_zips import Volume, annotation_zip, voxels, wkw_data, zip_of
from builders.export_machine import Event, ExportMachine, definition_of, export_machine
from builders.export_runs import SMALL, expected_levels, random_voxels
from builders.lambda_door import load_function
from builders.moto_aws import MotoAws
from builders.template import ROOT
from builders.tiff_readers import by_tifffile
from builders.wkw_files import LayerFiles, dataset
from functions.test_annotations_by_lambda import begin, complete, send
from zarrlink.aws_parts import now_ms
from zarrlink.catalogue.dynamodb import DynamoCatalogue
from zarrlink.errors import InvalidRequest, JobEnded, SourceUnavailable, UnsupportedLayer
from zarrlink.exports.args import ExportArgs
from zarrlink.exports.part_s3 import S3Parts
from zarrlink.exports.scratch import ScratchBucket
from zarrlink.exports.store_s3 import BucketStore
from zarrlink.geometry import BoundingBox, Mag
from zarrlink.jobs.dynamodb import DynamoJobs
from zarrlink.jobs.model import Job
from zarrlink.jobs.step_functions import execution_name, sentence_of

SIZE = (600, 600, 4)
# Four units, and for each of the coarser levels a tier of one: a tile of such a level covers more than a unit.
LIMITS = replace(SMALL, unit=2**19, slab=2**19, largest_slab=2**20)
VOXELS = random_voxels((1, *SIZE[::-1]), "uint8")
CORNER = BoundingBox((0, 0, 0), (64, 64, 4))
EVENT = Path(__file__).with_name("execution_ended.json")


@pytest.fixture(scope="module")
def machine(aws: MotoAws) -> Iterator[ExportMachine]:
    with export_machine(aws, LIMITS) as machine:
        yield machine


@pytest.fixture(scope="module")
def registered(machine: ExportMachine) -> str:
    machine.stack.add_user("ann", "ann-token")
    return machine.stack.register("mouse", files()).id


@pytest.fixture
def mouse(machine: ExportMachine, registered: str) -> str:
    """The id of a dataset with one layer."""
    machine.reset()
    return registered


def files() -> dict[str, bytes]:
    layer = LayerFiles("em", {Mag(1, 1, 1): VOXELS[0]}, block_side=128, file_side=8)
    return dataset(layer)


def job_of(dataset: str, kind: str = "ome_tiff", **asked: Any) -> Job:
    job_id = f"{len(JOBS):024x}"
    JOBS.append(job_id)
    args = ExportArgs(layer="em", **asked).to_json()
    end = "zip" if kind == "tiff_stack" else "ome.tif"
    return Job(job_id, "ann", kind, dataset, "", args, f"mouse.{end}", job_id, now_ms())  # type: ignore[arg-type]


JOBS: list[str] = []


def fetched(machine: ExportMachine, job: Job) -> bytes:
    """The result, as its owner gets it."""
    answer = requests.get(machine.engine.address(job), timeout=10)
    assert answer.headers["content-disposition"] == f'attachment; filename="{job.file_name}"'
    assert len(answer.content) == job.result_bytes
    return answer.content


def left(machine: ExportMachine, job: Job) -> list[str]:
    """All that there is of a job."""
    return [key for key in [*machine.objects, *machine.uploads()] if job.id in key]


def assert_done(machine: ExportMachine, ended: tuple[str, Job]) -> Job:
    status, job = ended
    assert (status, job.state, job.sentence) == ("SUCCEEDED", "SUCCESS", "")
    assert left(machine, job) == [f"exports/{job.id}/{job.attempt}/{job.file_name}"]
    return job


def assert_pyramid(data: bytes, folder: Path) -> None:
    path = folder / "mouse.ome.tif"
    path.write_bytes(data)
    levels = by_tifffile(path, (1, SIZE[2]))
    for found, expected in zip(levels, expected_levels(VOXELS, len(levels), labels=False), strict=True):
        assert np.array_equal(found, expected)
    assert len(levels) > 1


def failing(times: int, error: Callable[[], Exception], only: Callable[[Event], bool]) -> Callable[[Event], None]:
    """For `Sandbox.before`: the first calls that fit fail."""
    calls = iter(range(times))

    def before(event: Event) -> None:
        if only(event) and next(calls, None) is not None:
            raise error()

    return before


# --- what goes well ---


def test_an_ome_tiff_is_made_tier_by_tier(machine: ExportMachine, mouse: str, tmp_path: Path) -> None:
    job = assert_done(machine, machine.run(job_of(mouse, levels=3)))
    assert_pyramid(fetched(machine, job), tmp_path)
    units = machine.units()
    assert (sorted(units[:4]), units[4:]) == ([0, 1, 2, 3], [4, 5])
    assert (job.units, job.units_done) == (6, 6)
    assert machine.functions["ExportPlan"].run({"job": job.id, "attempt": 1})["go_on"] is False


def test_a_stack_is_a_zip_of_planes(machine: ExportMachine, mouse: str) -> None:
    job = assert_done(machine, machine.run(job_of(mouse, "tiff_stack")))
    with zipfile.ZipFile(io.BytesIO(fetched(machine, job))) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".tif"))
        planes = [tifffile.imread(io.BytesIO(archive.read(name))) for name in names]
    assert np.array_equal(np.stack(planes), VOXELS[0])


def test_a_small_one_takes_a_single_call(machine: ExportMachine, mouse: str) -> None:
    job = assert_done(machine, machine.run(job_of(mouse, box=CORNER)))
    assert np.array_equal(tifffile.imread(io.BytesIO(fetched(machine, job))), VOXELS[0, :, :64, :64])
    assert machine.functions["ExportPart"].calls == [{"job": job.id, "attempt": 1, "small": True}]


def test_what_fails_once_is_tried_again(machine: ExportMachine, mouse: str, tmp_path: Path) -> None:
    def unavailable() -> Exception:
        return SourceUnavailable("S3 answered SlowDown")

    names = ("ExportPlan", "ExportPart", "ExportFinish")
    for name in names:
        machine.functions[name].before = failing(1, unavailable, lambda event: event.get("unit", 1) == 1)
    job = assert_done(machine, machine.run(job_of(mouse, levels=3)))
    assert_pyramid(fetched(machine, job), tmp_path)
    assert machine.units().count(1) == 2


def test_a_unit_that_is_run_twice_changes_nothing(machine: ExportMachine, mouse: str, tmp_path: Path) -> None:
    part = machine.functions["ExportPart"]
    part.before = lambda event: part.run(event) and None
    job = assert_done(machine, machine.run(job_of(mouse, levels=3)))
    assert job.units_done == job.units
    assert_pyramid(fetched(machine, job), tmp_path)


def test_a_part_that_was_lost_is_made_again(machine: ExportMachine, mouse: str, tmp_path: Path) -> None:
    """The last step finds it out, and names its unit."""
    lost = iter([True])

    def lose(event: Event) -> None:
        if next(lost, False):
            del machine.objects[f"scratch/{event['job']}/1/results/000001"]

    machine.functions["ExportFinish"].before = lose
    job = assert_done(machine, machine.run(job_of(mouse, levels=3)))
    assert_pyramid(fetched(machine, job), tmp_path)
    assert machine.units()[-1] == 1


@pytest.mark.parametrize("asked", [{"levels": 3}, {"box": CORNER}], ids=["in units", "small"])
def test_an_upload_that_nobody_wrote_down_goes_with_the_end(
    machine: ExportMachine, mouse: str, asked: dict[str, Any]
) -> None:
    """As of a function that was ended after it had begun one, and before the job's row knew of it."""
    job = job_of(mouse, **asked)
    store = BucketStore(machine.stack.aws.client("s3"), machine.bucket, Path())
    store.sink(job).begin()
    assert len(left(machine, job)) == 1
    assert_done(machine, machine.run(job))


@pytest.mark.parametrize(("name", "asked"), [("ExportFinish", {"levels": 3}), ("ExportPart", {"box": CORNER})])
def test_an_end_whose_answer_was_lost_is_a_success(
    machine: ExportMachine, mouse: str, name: str, asked: dict[str, Any]
) -> None:
    function = machine.functions[name]
    # Lambda's word for it.
    unknown = type("Lambda.Unknown", (Exception,), {})
    lost = iter([True])

    def lose(event: Event) -> None:
        if next(lost, False):
            function.run(event)
            raise unknown

    function.before = lose
    assert_done(machine, machine.run(job_of(mouse, **asked)))


@pytest.mark.parametrize(("owner", "name"), [(DynamoJobs, "planned"), (BucketStore, "tidy")])
def test_what_fails_on_the_way_to_a_success_is_cleared_away(
    machine: ExportMachine, mouse: str, monkeypatch: pytest.MonkeyPatch, owner: type, name: str
) -> None:
    """A second upload is begun where the first could not be written down; scratch goes when S3 answers again."""
    method, failures = getattr(owner, name), iter(range(2 if name == "tidy" else 1))

    def slow_down(*given: Any) -> Any:
        if next(failures, None) is not None:
            raise SourceUnavailable("SlowDown")
        return method(*given)

    monkeypatch.setattr(owner, name, slow_down)
    assert_done(machine, machine.run(job_of(mouse, levels=3)))


def test_another_attempt_follows_a_cancelled_one(machine: ExportMachine, mouse: str) -> None:
    job = job_of(mouse, box=CORNER)
    machine.jobs.add(job)
    assert machine.jobs.end(job.id, 1, "CANCELLED", now_ms())
    again = machine.jobs.retry(job.id, now_ms())
    assert again is not None
    machine.engine.start(job)
    assert machine.ended(execution_name(job)) == "SUCCEEDED"
    assert machine.job(job).state == "PENDING"
    machine.engine.start(again)
    assert_done(machine, (machine.ended(execution_name(again)), machine.job(again)))


def test_starting_twice_is_starting_once(machine: ExportMachine, mouse: str) -> None:
    job = job_of(mouse, box=CORNER)
    ended = machine.run(job)
    machine.engine.start(job)
    assert machine.ended(execution_name(job)) == "SUCCEEDED"
    assert_done(machine, ended)


def test_a_result_is_discarded(machine: ExportMachine, mouse: str) -> None:
    _, job = machine.run(job_of(mouse, box=CORNER))
    for _ in range(2):
        machine.engine.discard(job)
        assert left(machine, job) == []


# --- what does not ---


def assert_failed(machine: ExportMachine, ended: tuple[str, Job], sentence: str) -> None:
    status, job = ended
    assert (status, job.state) == ("FAILED", "FAILURE")
    assert sentence in job.sentence
    assert left(machine, job) == []


def test_damage_ends_it_with_the_files_name(machine: ExportMachine, mouse: str) -> None:
    damaged = files()
    key = next(key for key in sorted(damaged) if key.endswith("/x0.wkw"))
    # Within the first block, compressed: what is visible to a decoder alone.
    data = bytearray(damaged[key])
    data[8000:10000] = bytes(2000)
    dataset = machine.stack.register("damaged", damaged | {key: bytes(data)}).id
    ended = machine.run(job_of(dataset))
    assert_failed(machine, ended, "damaged")
    assert key in ended[1].sentence


def test_what_cannot_be_exported_is_refused_in_words(machine: ExportMachine, mouse: str) -> None:
    assert_failed(machine, machine.run(job_of(mouse, mag=Mag(2, 2, 2))), "has no mag 2; it has 1")
    assert machine.functions["ExportPart"].calls == []


def test_what_stays_out_of_reach_fails(machine: ExportMachine, mouse: str) -> None:
    machine.functions["ExportPart"].before = failing(
        99, lambda: SourceUnavailable("S3 answered SlowDown"), lambda event: event["unit"] == 1
    )
    ended = machine.run(job_of(mouse))
    assert_failed(machine, ended, "cannot be reached at the moment")
    assert machine.units().count(1) == 9
    assert "SlowDown" not in ended[1].sentence


def test_what_is_nobodys_word_is_not_repeated(machine: ExportMachine, mouse: str) -> None:
    machine.functions["ExportPart"].before = failing(9, lambda: KeyError("/var/task/secret"), lambda _event: True)
    ended = machine.run(job_of(mouse))
    assert_failed(machine, ended, "something unexpected went wrong")
    assert "secret" not in ended[1].sentence


def test_parts_that_are_lost_time_and_again_end_it(machine: ExportMachine, mouse: str) -> None:
    def lose(event: Event) -> None:
        del machine.objects[f"scratch/{event['job']}/1/results/000001"]

    machine.functions["ExportFinish"].before = lose
    assert_failed(machine, machine.run(job_of(mouse)), "time and again")
    assert machine.units().count(1) == 4


# --- the end comes from outside ---


def running(machine: ExportMachine, job: Job, unit: int = 2) -> tuple[threading.Event, threading.Event]:
    """Start a job and wait until a unit is about to be made; it goes on when the second of these is set."""
    there, go_on = held(machine, unit)
    machine.jobs.add(job)
    machine.engine.start(job)
    assert there.wait(30)
    return there, go_on


def held(machine: ExportMachine, unit: int) -> tuple[threading.Event, threading.Event]:
    """Set when this unit is about to be made, and to be set then."""
    there, go_on = threading.Event(), threading.Event()

    def before(event: Event) -> None:
        if event.get("unit") == unit:
            there.set()
            assert go_on.wait(30)

    machine.functions["ExportPart"].before = before
    return there, go_on


def test_a_cancelled_job_leaves_nothing(machine: ExportMachine, mouse: str) -> None:
    """Of what was written, nor of what is written afterwards by a function that was at work."""
    job = job_of(mouse, levels=3)
    _, go_on = running(machine, job)
    assert [key for key in machine.uploads() if job.id in key]
    assert [key for key in machine.objects if job.id in key]
    assert machine.jobs.end(job.id, 1, "CANCELLED", now_ms())
    machine.engine.stop(machine.job(job))
    assert left(machine, job) == []
    go_on.set()
    assert machine.ended(execution_name(job)) == "ABORTED"
    part = machine.functions["ExportPart"]
    for number in range(3):
        with pytest.raises(JobEnded):
            part.run({"job": job.id, "attempt": 1, "unit": number})
    with pytest.raises(JobEnded):
        machine.functions["ExportFinish"].run({"job": job.id, "attempt": 1})
    machine.functions["ExportAbort"].run(ended_event(job, "ABORTED"))
    machine.engine.stop(machine.job(job))
    assert (machine.job(job).state, left(machine, job)) == ("CANCELLED", [])


@pytest.mark.parametrize("write", [(S3Parts, "put"), (ScratchBucket, "put")])
def test_a_function_that_writes_after_a_cancellation_clears_that_away(
    machine: ExportMachine, mouse: str, monkeypatch: pytest.MonkeyPatch, write: tuple[type, str]
) -> None:
    """The job is cancelled while a unit writes: before its part has arrived, or its result."""
    job = job_of(mouse, levels=3)
    put = getattr(*write)
    calls = itertools.count()

    def late(*given: Any) -> Any:
        # The plan writes its own.
        if next(calls) == 2:
            assert machine.jobs.end(job.id, 1, "CANCELLED", now_ms())
            machine.engine.stop(machine.job(job))
        return put(*given)

    monkeypatch.setattr(*write, late)
    status, ended = machine.run(job)
    assert (status, ended.state) == ("ABORTED", "CANCELLED")
    machine.finish_calls()
    assert left(machine, job) == []


def test_a_job_that_is_cancelled_and_not_stopped_ends_by_itself(machine: ExportMachine, mouse: str) -> None:
    """As where Step Functions did not answer the one who cancelled it."""
    job = job_of(mouse, levels=3)
    _, go_on = running(machine, job)
    assert machine.jobs.end(job.id, 1, "CANCELLED", now_ms())
    go_on.set()
    assert machine.ended(execution_name(job)) == "FAILED"
    assert (machine.job(job).state, machine.job(job).sentence, left(machine, job)) == ("CANCELLED", "", [])


def test_a_job_that_was_stopped_from_outside_fails_by_the_event(machine: ExportMachine, mouse: str) -> None:
    job = job_of(mouse, levels=3)
    _, go_on = running(machine, job)
    client = machine.stack.aws.client("stepfunctions")
    client.stop_execution(executionArn=machine.execution(execution_name(job))["executionArn"])
    go_on.set()
    assert machine.ended(execution_name(job)) == "ABORTED"
    assert machine.job(job).state == "STARTED"
    for _ in range(2):
        machine.functions["ExportAbort"].run(ended_event(job, "ABORTED"))
        assert machine.job(job).state == "FAILURE"
        assert machine.job(job).sentence == "the job was stopped by whoever runs this zarrlink"
        assert left(machine, job) == []


def test_an_event_of_a_job_that_succeeded_changes_nothing(machine: ExportMachine, mouse: str) -> None:
    ended = machine.run(job_of(mouse, box=CORNER))
    machine.functions["ExportAbort"].run(ended_event(ended[1], "TIMED_OUT"))
    assert_done(machine, (ended[0], machine.job(ended[1])))


def test_an_event_of_an_import_is_nobodys_job(machine: ExportMachine, mouse: str) -> None:
    event = ended_event(job_of(mouse), "FAILED")
    event["detail"]["name"] = f"import-{'0' * 24}"
    assert machine.functions["ExportAbort"].run(event) == {}


def ended_event(job: Job, status: str) -> Event:
    """What EventBridge sends (Step Functions developer guide, "Events for standard workflows"), as recorded."""
    event: Event = json.loads(EVENT.read_text())
    machine = event["detail"]["stateMachineArn"]
    name = execution_name(job)
    arn = f"{machine.replace(':stateMachine:', ':execution:')}:{name}"
    given = json.dumps({"attempt": job.attempt, "job": job.id, "kind": job.kind})
    event["detail"] |= {"executionArn": arn, "name": name, "status": status, "input": given}
    return event


# --- through the API ---


@pytest.fixture
def api(machine: ExportMachine, registered: str, aws: MotoAws) -> AnnotationStack:
    """The function that hands jobs to the machine."""
    machine.reset()
    with pytest.MonkeyPatch.context() as patch:
        for key, value in machine.stack.environment("ApiFunction").items():
            patch.setenv(key, value)
        function = load_function("api")
    catalogue = DynamoCatalogue(aws.client("dynamodb"), machine.stack.made["CatalogueTable"])
    record = catalogue.get(registered)
    assert record is not None
    return AnnotationStack(aws, machine.stack, {"api": function}, record)


def submitted(machine: ExportMachine, api: AnnotationStack, path: str, **query: str) -> tuple[str, dict[str, Any]]:
    """The status that a job's execution comes to, and the job as the API shows it."""
    made = api.json("POST", f"/api/jobs/run/{path}", query=query)
    assert made["state"] in ("PENDING", "STARTED")
    status = machine.ended(f"{made['id']}-1")
    return status, api.json("GET", f"/api/jobs/{made['id']}")


def downloaded(api: AnnotationStack, job: dict[str, Any]) -> requests.Response:
    status, headers, _ = api.ask("GET", f"/api/jobs/{job['id']}/export")
    assert status == 303
    assert "X-Amz-Expires=300" in headers["location"]
    return requests.get(headers["location"], timeout=10)


def test_an_export_is_asked_for_and_fetched(machine: ExportMachine, api: AnnotationStack, tmp_path: Path) -> None:
    status, job = submitted(
        machine, api, f"exportTiff/{api.dataset}", layerName="em", bbox="0,0,0,600,600,4", asOmeTiff="true"
    )
    assert (status, job["state"]) == ("SUCCEEDED", "SUCCESS")
    (tmp_path / "a.ome.tif").write_bytes(downloaded(api, job).content)
    assert np.array_equal(by_tifffile(tmp_path / "a.ome.tif", (1, SIZE[2]))[0], VOXELS)
    assert api.ask("DELETE", f"/api/jobs/{job['id']}")[0] == 200
    assert not [key for key in machine.objects if job["id"] in key]


def test_an_export_is_cancelled_and_tried_again(machine: ExportMachine, api: AnnotationStack) -> None:
    there, go_on = held(machine, 2)
    query = {"layerName": "em", "bbox": "0,0,0,600,600,3", "asOmeTiff": "true"}
    job = api.json("POST", f"/api/jobs/run/exportTiff/{api.dataset}", query=query)
    assert there.wait(30)
    assert api.json("PATCH", f"/api/jobs/{job['id']}/cancel")["state"] == "CANCELLED"
    assert not [key for key in [*machine.objects, *machine.uploads()] if job["id"] in key]
    go_on.set()
    assert machine.ended(f"{job['id']}-1") == "ABORTED"
    assert api.json("PATCH", f"/api/jobs/{job['id']}/retry")["state"] == "PENDING"
    assert machine.ended(f"{job['id']}-2") == "SUCCEEDED"
    assert downloaded(api, job).headers["content-type"] == "image/tiff"


def test_an_annotation_goes_through_the_machine_in_and_out(machine: ExportMachine, api: AnnotationStack) -> None:
    """A large upload is imported, and its download made."""
    file = annotation_zip(Volume(data=zip_of(wkw_data({"1": {(1, 0, 0): voxels(1)}}))))
    opened = begin(api, file)
    assert complete(api, opened, send(opened, file))[0] == 200
    assert machine.ended(f"import-{opened['id']}") == "SUCCEEDED"
    annotation = api.json("GET", f"/api/annotations/uploads/{opened['id']}")["annotation"]
    status, job = submitted(machine, api, f"exportAnnotation/{annotation}")
    assert (status, job["state"]) == ("SUCCEEDED", "SUCCESS")
    answer = downloaded(api, job)
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert "data_Volume.zip" in archive.namelist()


# --- imports ---


@pytest.mark.parametrize("failures", [0, 1, 2])
def test_an_import_is_called_as_often_as_it_counts_on(machine: ExportMachine, failures: int) -> None:
    function = machine.functions["AnnotationImport"]
    upload = f"{failures:024x}"
    event = {"upload": upload, "key": f"uploads/{upload}", "owner": "ann", "dataset": "", "annotation": "", "name": ""}
    machine.reset()
    function.before = failing(failures, lambda: SourceUnavailable("S3 answered SlowDown"), lambda _event: True)
    for _ in range(2):
        machine.engine.start_import(event)
        assert machine.ended(f"import-{upload}") == "SUCCEEDED"
    assert function.calls == [event] * (failures + 1)


# --- the definition ---


def test_the_definition_keeps_to_what_every_interpreter_knows() -> None:
    text = (ROOT / "infra" / "export.asl.json").read_text()
    for word in ("ItemBatcher", "ToleratedFailure", "JSONata", "QueryLanguage", "Assign"):
        assert word not in text


def test_a_plan_of_as_many_units_as_there_can_be_fits_the_state() -> None:
    """256 KiB: the plan, the tier that is at work, and the units that are to be run again."""
    numbers = json.dumps(list(range(10_000)))
    assert 3 * len(numbers) < 200_000
    states = definition_of(
        dict.fromkeys(("ExportPlan", "ExportPart", "ExportFinish", "ExportAbort", "AnnotationImport"), "")
    )
    unit = states["States"]["Units"]["ItemProcessor"]["States"]["Unit"]
    assert unit["ResultSelector"] == {}


@pytest.mark.parametrize(
    ("error", "cause", "sentence"),
    [
        ("UnsupportedLayer", {"errorMessage": str(UnsupportedLayer("layer 'em': no"))}, "layer 'em': no"),
        ("InvalidRequest", {"errorMessage": str(InvalidRequest("no"))}, "no"),
        ("KeyError", {"errorMessage": "/var/task"}, "something unexpected went wrong"),
        ("States.Timeout", "", "a step took longer than a function may run"),
        ("Sandbox.Timedout", {"errorMessage": "RequestId: 1 Error: Task timed out"}, "a step took longer than"),
        ("Lambda.TooManyRequestsException", "Rate Exceeded.", "too many functions"),
        ("brief", "", "something unexpected"),
        ("SourceUnavailable", "no JSON", "something unexpected"),
        ("SourceUnavailable", [1], "something unexpected"),
        ("TIMED_OUT", "", "the job took longer"),
    ],
)
def test_sentences(error: str, cause: Any, sentence: str) -> None:
    assert sentence_of(error, cause if isinstance(cause, str) else json.dumps(cause)).startswith(sentence)
