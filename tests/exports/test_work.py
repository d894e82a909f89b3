"""The steps of a job where something ends it, fails or comes late: what stays then is what is finished, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders.export_runs import SMALL, random_voxels
from builders.local_jobs import new_job
from builders.machines import machine_with
from builders.wkw_files import LayerFiles, dataset
from zarrlink.errors import ExportFailed, JobEnded, SourceUnavailable
from zarrlink.exports.args import ExportArgs
from zarrlink.exports.part_files import FileParts
from zarrlink.exports.scratch import ScratchFolder
from zarrlink.exports.store import IDS_SUFFIX
from zarrlink.exports.store_files import FolderStore
from zarrlink.exports.work import ExportWork
from zarrlink.geometry import BoundingBox, Mag
from zarrlink.jobs.model import Job, State
from zarrlink.jobs.sqlite import SqliteJobs

ONE = Mag(1, 1, 1)
EM = random_voxels((1, 8, 200, 300), "uint8")[0]
IDS = (np.arange(8 * 200 * 300, dtype=np.uint64) % 50 + 2**40).reshape(EM.shape)
CORNER = BoundingBox((0, 0, 0), (20, 20, 2))
FULL = SourceUnavailable("the state file: database or disk is full")


class Bench:
    """One machine's jobs, whose steps are run by hand."""

    def __init__(self, folder: Path) -> None:
        layers = (LayerFiles("em", {ONE: EM}), LayerFiles("ids", {ONE: IDS}, category="segmentation"))
        self.machine = machine_with(folder, dataset(*layers))
        self.jobs, self.store = SqliteJobs(self.machine.file), FolderStore(folder / "exports")
        self.work = ExportWork(
            self.jobs, self.machine.library, self.store, now_ms=lambda: 5, limits=SMALL, result_days=7
        )

    def job(self, layer: str = "em", **asked: Any) -> Job:
        return self.jobs.add(new_job(self.machine.catalogue.all()[0].id, ExportArgs(layer, **asked)))

    def state(self, job: Job) -> State:
        found = self.jobs.get(job.id)
        assert found is not None
        return found.state

    def cancel(self, job: Job) -> None:
        """As its owner does, and the engine then."""
        assert self.jobs.end(job.id, job.attempt, "CANCELLED", 5)
        self.store.remove(job.id, job.attempt)

    def units(self, job: Job) -> None:
        """All before the last step."""
        planned = again(lambda: asyncio.run(self.work.plan(job.id, job.attempt)))
        for start, end in planned.tiers:
            for number in range(start, end):
                asyncio.run(self.work.unit(job.id, job.attempt, number))

    def finish(self, job: Job) -> None:
        assert again(lambda: asyncio.run(self.work.finish(job.id, job.attempt))) == []

    def left(self) -> list[str]:
        """Files and folders by their path below that of results."""
        return sorted(path.relative_to(self.store.folder).as_posix() for path in self.store.folder.rglob("*"))

    def results(self, job: Job, *suffixes: str) -> list[str]:
        folder = f"{job.id}/{job.attempt}"
        return sorted([job.id, folder, *(f"{folder}/{job.file_name}{suffix}" for suffix in ("", *suffixes))])


def again(step: Callable[[], Any]) -> Any:
    """As whoever runs steps: what could not be reached is tried once more."""
    try:
        return step()
    except SourceUnavailable:
        return step()


def once(monkeypatch: pytest.MonkeyPatch, owner: type, name: str, act: Callable[..., None]) -> list[bool]:
    """Before the first call of a method, for which `act` does something; what it gives is not empty once that was done."""
    method, done = getattr(owner, name), []

    def call(*given: Any, **named: Any) -> Any:
        if not done:
            act(*given)
        return method(*given, **named)

    monkeypatch.setattr(owner, name, call)
    return done


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_job_that_is_cancelled_while_it_is_planned_leaves_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = bench.job()

    def cancel(*_: Any) -> None:
        done.append(True)
        bench.cancel(job)

    done = once(monkeypatch, ScratchFolder, "put", cancel)
    with pytest.raises(JobEnded):
        asyncio.run(bench.work.plan(job.id, 1))
    assert (bench.state(job), bench.left()) == ("CANCELLED", [])


@pytest.mark.parametrize("at", ["begin", "put", "complete"])
def test_a_job_that_is_cancelled_at_its_table_of_ids_leaves_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    job = bench.job("ids", wide="renumber")
    bench.units(job)

    def cancel(sink: FileParts, *_: Any) -> None:
        done.append(True)
        bench.cancel(job)

    done = once(monkeypatch, FileParts, at, cancel)
    with pytest.raises(JobEnded):
        asyncio.run(bench.work.finish(job.id, 1))
    assert (bench.state(job), bench.left()) == ("CANCELLED", [])


def test_a_job_that_was_removed_leaves_nothing_of_a_late_worker(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    job = bench.job()
    asyncio.run(bench.work.plan(job.id, 1))

    def cancel(*_: Any) -> None:
        done.append(True)
        bench.cancel(job)
        assert bench.jobs.remove(job.id)

    done = once(monkeypatch, ScratchFolder, "put", cancel)
    with pytest.raises(JobEnded):
        asyncio.run(bench.work.unit(job.id, 1, 0))
    assert bench.left() == []


@pytest.mark.parametrize("call", [(SqliteJobs, "planned"), (FileParts, "put"), (FileParts, "complete")])
def test_uploads_that_were_begun_in_vain_go_in_the_end(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, call: tuple[type, str]
) -> None:
    """What fails just after one has begun: that of the result, or that of the table."""
    job = bench.job("ids", wide="renumber")

    def fail(of: Any, *_: Any) -> None:
        if isinstance(of, SqliteJobs) or vars(of) == vars(bench.store.sink(job, IDS_SUFFIX)):
            done.append(True)
            raise FULL

    done = once(monkeypatch, *call, fail)
    bench.units(job)
    bench.finish(job)
    assert done
    assert (bench.state(job), bench.left()) == ("SUCCESS", bench.results(job, IDS_SUFFIX))


def test_a_unit_that_comes_after_the_end_leaves_the_result_alone(bench: Bench) -> None:
    job = bench.job()
    bench.units(job)
    bench.finish(job)
    bench.store.scratch(job).put("results/000000", b"late")
    bench.store.sink(job).begin()
    with pytest.raises(JobEnded):
        asyncio.run(bench.work.unit(job.id, 1, 0))
    assert bench.left() == bench.results(job)


def test_the_last_step_may_be_run_again_after_a_success(bench: Bench) -> None:
    """As where its answer was lost, or it was stopped before it had cleared away."""
    large, small = bench.job(), bench.job(box=CORNER)
    bench.units(large)
    asyncio.run(bench.work.plan(small.id, 1))
    for _ in range(3):
        assert asyncio.run(bench.work.finish(large.id, 1)) == []
        asyncio.run(bench.work.small(small.id, 1))
        assert bench.left() == sorted(bench.results(large) + bench.results(small))
        for job in (large, small):
            bench.store.scratch(job).put("spec.json", b"{}")


def test_a_full_disk_is_emptied_by_the_job_that_filled_it(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The state file lies on it as well."""
    job = bench.job()
    asyncio.run(bench.work.plan(job.id, 1))
    asyncio.run(bench.work.unit(job.id, 1, 0))
    end = SqliteJobs.end

    def full(jobs: SqliteJobs, *given: Any, **named: Any) -> bool:
        if any(path.is_file() for path in bench.store.folder.rglob("*")):
            raise FULL
        return end(jobs, *given, **named)

    def no_space(*_: Any) -> None:
        raise ExportFailed("writing an export failed: No space left on device")

    monkeypatch.setattr(SqliteJobs, "end", full)
    monkeypatch.setattr(FileParts, "put", no_space)
    with pytest.raises(ExportFailed, match="No space left") as failed:
        asyncio.run(bench.work.unit(job.id, 1, 1))
    bench.work.fail(job.id, 1, failed.value)
    found = bench.jobs.get(job.id)
    assert found is not None
    assert (found.state, found.sentence, bench.left()) == ("FAILURE", str(failed.value), [])


def test_a_result_outlives_a_store_that_cannot_be_asked(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A late worker fails, and that cannot be written down at once."""
    job = bench.job(box=CORNER)
    asyncio.run(bench.work.plan(job.id, 1))
    asyncio.run(bench.work.small(job.id, 1))

    def fail(*_: Any) -> None:
        done.append(True)
        raise FULL

    done = once(monkeypatch, SqliteJobs, "end", fail)
    bench.work.fail(job.id, 1, "no")
    assert done
    assert (bench.state(job), bench.left()) == ("SUCCESS", bench.results(job))


def test_what_fails_first_is_told_although_nothing_can_be_cleared(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = bench.job()
    asyncio.run(bench.work.plan(job.id, 1))

    def down(*_: Any) -> None:
        raise FULL

    def broken(*_: Any) -> None:
        monkeypatch.setattr(SqliteJobs, "get", down)
        raise RuntimeError("a bug")

    monkeypatch.setattr(FileParts, "put", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        asyncio.run(bench.work.unit(job.id, 1, 0))
