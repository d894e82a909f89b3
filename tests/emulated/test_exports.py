"""The functions of exports, as they are built: each step of a job, in the order of the state machine."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from builders.emulator import Emulated, FunctionFailed, Runtime, emulated, skip_unless_built
from builders.lambda_door import S3Objects
from builders.stack import Stack
from builders.wkw_files import LayerFiles, dataset, ramp
from zarrlink.exports.args import ExportArgs
from zarrlink.geometry import Mag
from zarrlink.jobs.dynamodb import DynamoJobs
from zarrlink.jobs.model import Job

skip_unless_built()

VOXELS = ramp((70, 60, 50))


@pytest.fixture(scope="module")
def functions(
    runtime: Runtime, stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Emulated]]:
    logs = tmp_path_factory.mktemp("logs")
    with ExitStack() as running:
        yield {
            step: running.enter_context(emulated(runtime, runtime.folders(name), stack.environment(name), logs / name))
            for step in ("Plan", "Part", "Finish", "Abort")
            for name in [f"Export{step}Function"]
        }


@pytest.fixture(scope="module")
def exported(stack: Stack) -> str:
    return stack.register("exported", dataset(LayerFiles("em", {Mag(1, 1, 1): VOXELS}, block_side=16, file_side=2))).id


def new_job(stack: Stack, dataset_id: str, job_id: str) -> Job:
    jobs = DynamoJobs(stack.aws.client("dynamodb"), stack.made["JobsTable"])
    args = ExportArgs(layer="em").to_json()
    return jobs.add(Job(job_id, "ann", "ome_tiff", dataset_id, "", args, "em.ome.tif", job_id, 1_790_000_000_000))


def results(stack: Stack, job: Job) -> dict[str, bytes]:
    found = S3Objects(stack.aws.client("s3"), stack.made["ExportBucket"])
    return {key: data for key, data in found.items() if job.id in key}


@pytest.mark.parametrize("small", [True, False])
def test_from_plan_to_file(functions: dict[str, Emulated], stack: Stack, exported: str, small: bool) -> None:
    job = new_job(stack, exported, f"{int(small):024x}")
    event: dict[str, Any] = {"job": job.id, "attempt": 1}
    planned = functions["Plan"].invoke(event)
    assert planned == {"go_on": True, "small": True, "tiers": [[0]], "concurrency": 50}
    if small:
        assert functions["Part"].invoke(event | {"small": True}) == {}
    else:
        assert functions["Part"].invoke(event | {"unit": 0}) == {}
        assert functions["Finish"].invoke(event) == {"done": True, "again": []}
    ((key, data),) = results(stack, job).items()
    assert key == f"exports/{job.id}/1/em.ome.tif"
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        assert np.array_equal(file.series[0].asarray(), VOXELS)
    assert functions["Plan"].invoke(event)["go_on"] is False


def test_an_end_from_outside(functions: dict[str, Emulated], stack: Stack, exported: str) -> None:
    """An error has its class's name, by which the state machine decides."""
    job = new_job(stack, exported, f"{2:024x}")
    event: dict[str, Any] = {"job": job.id, "attempt": 1}
    functions["Plan"].invoke(event)
    text = (Path(__file__).parents[1] / "functions" / "execution_ended.json").read_text()
    ended = json.loads(text)
    ended["detail"]["name"] = f"{job.id}-1"
    assert functions["Abort"].invoke(ended) == {}
    with pytest.raises(FunctionFailed) as failed:
        functions["Part"].invoke(event | {"unit": 0})
    assert failed.value.kind == "JobEnded"
    assert results(stack, job) == {}
