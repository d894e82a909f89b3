"""Exports by the engine of one machine, whoever is killed meanwhile."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import urllib.request
import zipfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from builders import local_jobs
from builders.local_jobs import die_in_a_worker, is_alive, new_job, running, until, workers
from builders.tiff_readers import by_tifffile
from builders.wkw_files import LayerFiles, dataset, noise, write_tree
from zarrlink.errors import InvalidRequest, SourceUnavailable
from zarrlink.exports.args import ExportArgs
from zarrlink.geometry import BoundingBox, Mag
from zarrlink.jobs.model import Job
from zarrlink.jobs.service import TiffRequest
from zarrlink.jobs.sqlite import SqliteJobs
from zarrlink.users.interface import User, hash_user_token
from zarrlink_local.jobs.leftovers import remove_leftovers
from zarrlink_local.jobs.queue import job_service
from zarrlink_local.machine import Machine, open_machine
from zarrlink_local.scan import register_below

ONE = Mag(1, 1, 1)
START = (64, 0, 32)
EM = noise((530, 400, 48)) & 7
LAYER = LayerFiles("em", {ONE: EM}, top_left=START, block_side=16)
WHOLE = ExportArgs("em")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = open_machine(tmp_path / "state.sqlite")
    write_tree(dataset(LAYER), tmp_path / "mouse")
    register_below(tmp_path / "mouse", machine.catalogue, 1, pytest.fail)
    return machine


def job_of(machine: Machine, args: ExportArgs = WHOLE, kind: Any = "ome_tiff") -> Job:
    """A new job, which waits for an engine."""
    return machine.jobs.add(new_job(machine.catalogue.all()[0].id, args, kind))


def found(machine: Machine, job: Job) -> Job:
    now = machine.jobs.get(job.id)
    assert now is not None
    return now


def ended(machine: Machine, job: Job) -> Job:
    return until(lambda: None if (now := found(machine, job)).state in ("PENDING", "STARTED") else now)


def on_its_way(machine: Machine, job: Job, units: int = 2) -> Job:
    """The job as soon as so many units are done; it is not at its end then."""
    now = until(lambda: now if (now := found(machine, job)).units_done >= units else None)
    assert now.state == "STARTED"
    return now


def left(machine: Machine) -> list[str]:
    """What lies in the folder of results, while others may be taking it away."""
    folder = machine.results().folder
    # Not by `rglob`, which fails where a folder goes while it looks.
    paths = [Path(place, name) for place, folders, files in os.walk(folder) for name in (*folders, *files)]
    return sorted(path.relative_to(folder).as_posix() for path in paths if path.name != ".lock")


def only_results(machine: Machine, *jobs: Job) -> bool:
    """Waits until nothing but the files of these jobs is left: a job has succeeded a moment before its scratch goes."""
    paths = [place for job in jobs for place in (job.id, f"{job.id}/{job.attempt}")]
    paths += [f"{job.id}/{job.attempt}/{job.file_name}" for job in jobs]
    return bool(until(lambda: left(machine) == sorted(paths)))


def undisturbed(machine: Machine) -> bytes:
    job = job_of(machine)
    with running(machine):
        assert ended(machine, job).state == "SUCCESS"
    data = machine.results().path(job).read_bytes()
    machine.results().remove(job.id, job.attempt)
    return data


def test_a_job_ends_with_the_volumes_own_pixels(machine: Machine) -> None:
    tiff = job_of(machine)
    box = ExportArgs("em", BoundingBox((100, 30, 40), (70, 50, 9)))
    stack = job_of(machine, box, "tiff_stack")
    with running(machine):
        assert ended(machine, tiff).state == ended(machine, stack).state == "SUCCESS"
        assert only_results(machine, tiff, stack)
    store = machine.results()
    np.testing.assert_array_equal(by_tifffile(store.path(tiff), (1, 48))[0][0], EM)
    with zipfile.ZipFile(store.path(stack)) as archive:
        for z in range(9):
            plane = tifffile.imread(BytesIO(archive.read(f"em_z{40 + z:04d}.tif")))
            np.testing.assert_array_equal(plane, EM[8 + z, 30:80, 36:106])
    now = found(machine, tiff)
    assert (now.result_bytes, now.progress) == (store.path(tiff).stat().st_size, 1.0)


def test_a_killed_worker_costs_nothing(machine: Machine) -> None:
    expected = undisturbed(machine)
    job = job_of(machine)
    with running(machine):
        on_its_way(machine, job)
        os.kill(workers(os.getpid())[0], signal.SIGKILL)
        assert ended(machine, job).state == "SUCCESS"
    assert machine.results().path(job).read_bytes() == expected


def test_what_was_done_is_not_done_again(machine: Machine) -> None:
    expected = undisturbed(machine)
    job = job_of(machine)
    with running(machine, 1):
        on_its_way(machine, job)
    assert workers(os.getpid()) == []
    before = found(machine, job)
    assert before.state == "STARTED"
    scratch = machine.results().path(job).parent / ".scratch" / "results"
    kept = {path.name: path.stat().st_ino for path in scratch.iterdir()}
    with running(machine, 1):
        on_its_way(machine, job, before.units_done + 1)
        assert {name: (scratch / name).stat().st_ino for name in kept} == kept
        assert ended(machine, job).state == "SUCCESS"
    assert machine.results().path(job).read_bytes() == expected


def test_an_upload_that_nobody_wrote_down_goes_with_the_end(machine: Machine) -> None:
    """As of a worker that was killed after it had begun one, and before the job knew of it."""
    job = job_of(machine)
    machine.results().sink(job).begin()
    with running(machine, 1):
        assert ended(machine, job).state == "SUCCESS"
        assert only_results(machine, job)


def test_workers_that_die_again_and_again_fail_the_job(machine: Machine) -> None:
    job = job_of(machine)
    with running(machine, open_library=die_in_a_worker):
        now = ended(machine, job)
    assert now.state == "FAILURE"
    assert "want of memory" in now.sentence
    assert left(machine) == []


def test_an_end_that_cannot_be_written_down_is_waited_for(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As on a full disk: the job is not run again and again meanwhile."""
    refusals, end = iter(range(8)), SqliteJobs.end

    def full(*given: Any, **named: Any) -> bool:
        if next(refusals, None) is not None:
            raise SourceUnavailable("the state file: database or disk is full")
        return end(*given, **named)

    monkeypatch.setattr(SqliteJobs, "end", full)
    monkeypatch.setattr("zarrlink_local.jobs.engine._LOOK_S", 0.01)
    job = job_of(machine)
    with running(machine, open_library=die_in_a_worker):
        now = ended(machine, job)
    assert (now.state, "want of memory" in now.sentence) == ("FAILURE", True)
    told = [record.message.partition(": ")[0] for record in caplog.records if job.id in record.message]
    # Once for each time that it is tried again.
    assert told == [f"job {job.id} failed", *[f"job {job.id}"] * 3, f"job {job.id} failed"]
    assert left(machine) == []


def test_a_job_that_waits_is_cancelled(machine: Machine) -> None:
    job = job_of(machine)
    service = job_service(machine)
    assert service.cancel("ann", job.id).state == "CANCELLED"
    with running(machine):
        other = job_of(machine, ExportArgs("em", BoundingBox(START, (20, 20, 2))))
        assert ended(machine, other).state == "SUCCESS"
    assert found(machine, job).state == "CANCELLED"
    service.remove("ann", other.id)
    until(lambda: left(machine) == [])


def test_a_job_that_runs_is_cancelled(machine: Machine) -> None:
    job = job_of(machine)
    with running(machine) as engine:
        on_its_way(machine, job)
        service = job_service(machine, engine)
        assert service.cancel("ann", job.id).state == "CANCELLED"
        with pytest.raises(InvalidRequest, match="CANCELLED"):
            service.cancel("ann", job.id)
        until(lambda: not any(job.id in path for path in left(machine)))
        again = service.retry("ann", job.id)
        assert (again.state, again.attempt) == ("PENDING", 2)
        assert ended(machine, again).state == "SUCCESS"
        assert only_results(machine, again)
    np.testing.assert_array_equal(by_tifffile(machine.results().path(again), (1, 48))[0][0], EM)


def test_a_damaged_file_is_named(machine: Machine, tmp_path: Path) -> None:
    damaged = next((tmp_path / "mouse/em/1").rglob("x5.wkw"))
    sound = damaged.read_bytes()
    damaged.write_bytes(sound[:-3000] + bytes(3000))
    job = job_of(machine)
    with running(machine) as engine:
        now = ended(machine, job)
        assert now.state == "FAILURE"
        assert damaged.relative_to(tmp_path / "mouse").as_posix() in now.sentence
        assert str(tmp_path) not in now.sentence
        until(lambda: left(machine) == [])
        damaged.write_bytes(sound)
        assert ended(machine, job_service(machine, engine).retry("ann", job.id)).state == "SUCCESS"


def test_a_source_that_is_out_of_reach_for_a_while_is_waited_for(
    machine: Machine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    away = next((tmp_path / "mouse/em/1").rglob("x5.wkw"))
    away.rename(tmp_path / "kept")
    away.symlink_to(tmp_path / "nowhere")
    caplog.set_level(logging.INFO, "zarrlink_local.jobs")
    job = job_of(machine)
    with running(machine):
        until(lambda: "waits" in caplog.text)
        away.unlink()
        (tmp_path / "kept").rename(away)
        assert ended(machine, job).state == "SUCCESS"
    # Afterwards: a file that was away is another one, as far as its clock tells.
    assert machine.results().path(job).read_bytes() == undisturbed(machine)


def test_a_result_goes_when_its_days_are_over(machine: Machine) -> None:
    job = replace(new_job("d" * 24, WHOLE), state="SUCCESS", expires_ms=1)
    machine.jobs.add(job)
    machine.results().path(job).parent.mkdir(parents=True)
    machine.results().path(job).touch()
    with running(machine):
        until(lambda: left(machine) == [])


def test_one_of_two_servers_runs_jobs_and_the_other_takes_over(machine: Machine) -> None:
    box = ExportArgs("em", BoundingBox(START, (20, 20, 2)))
    with running(machine, 1) as first:
        assert ended(machine, job_of(machine, box)).state == "SUCCESS"
        mine = workers(os.getpid())
        with running(machine, 1):
            assert ended(machine, job_of(machine, box)).state == "SUCCESS"
            assert workers(os.getpid()) == mine, "the second one needs none"
            first.__exit__(None, None, None)
            assert ended(machine, job_of(machine, box)).state == "SUCCESS"


def test_what_is_needed_no_more_is_removed(machine: Machine) -> None:
    store, now = machine.results(), 10**6

    def put(job: Job, *names: str) -> None:
        for name in names:
            path = store.path(job).parent / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()

    base = new_job("d" * 24, WHOLE)
    jobs = {
        state: replace(base, id=str(number) * 24, submission=state, state=state, attempt=2, upload="u", expires_ms=when)
        for number, (state, when) in enumerate([("STARTED", None), ("FAILURE", None), ("SUCCESS", now + 1)])
    }
    jobs["old"] = replace(base, id="a" * 24, submission="old", state="SUCCESS", expires_ms=now - 1)
    jobs["unknown"] = replace(base, id="b" * 24)
    for name, job in jobs.items():
        if name != "unknown":
            machine.jobs.add(job)
        uploads = [f".box.ome.tif.{upload}.partial/00001.part" for upload in ("u", "begun-in-vain")]
        put(job, "box.ome.tif", ".scratch/results/000000", *uploads)
        put(replace(job, attempt=1), "box.ome.tif")
    (store.folder / f".{'c' * 24}.1.0123abcd.removed").mkdir()
    (store.folder / "notes.txt").touch()
    remove_leftovers(machine.jobs, store, now)
    files = sorted(path.relative_to(store.folder).as_posix() for path in store.folder.rglob("*") if path.is_file())
    started, done = (f"{jobs[state].id}/2" for state in ("STARTED", "SUCCESS"))
    assert files == sorted(
        [
            f"{started}/box.ome.tif",
            f"{started}/.scratch/results/000000",
            f"{started}/.box.ome.tif.u.partial/00001.part",
            f"{started}/.box.ome.tif.begun-in-vain.partial/00001.part",
            f"{done}/box.ome.tif",
            "notes.txt",
        ]
    )


class Server:
    """The server as a process."""

    def __init__(self, state: Path, count: int = 2) -> None:
        command = [sys.executable, local_jobs.__file__, str(state), str(count)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()

    def ask(self, method: str, path: str, **headers: str) -> Any:
        request = urllib.request.Request(
            self.address + path, method=method, headers={"X-Auth-Token": "secret", **headers}
        )
        with urllib.request.urlopen(request) as reply:
            body = reply.read()
            return json.loads(body) if "json" in reply.headers["content-type"] else body

    def export(self, dataset_id: str, rest: str = "") -> str:
        box = ",".join(map(str, (*START, 530, 400, 48)))
        path = f"/api/jobs/run/exportTiff/{dataset_id}?bbox={box}&asOmeTiff=true&layerName=em{rest}"
        return str(self.ask("POST", path)["id"])

    def end(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)
        self.process.wait(60)
        assert self.process.stdout is not None
        self.process.stdout.close()


def test_through_the_server(machine: Machine) -> None:
    machine.users.add(User("ann", 1), hash_user_token("secret"))
    server = Server(machine.file.path)
    try:
        job = server.export(machine.catalogue.all()[0].id)
        shown = until(lambda: shown if (shown := server.ask("GET", f"/api/jobs/{job}"))["state"] == "SUCCESS" else None)
        data = server.ask("GET", shown["resultLink"])
        assert len(data) == shown["resultBytes"]
        assert server.ask("GET", shown["resultLink"], Range="bytes=100-199") == data[100:200]
        with tifffile.TiffFile(BytesIO(data)) as file:
            np.testing.assert_array_equal(file.series[0].asarray(), EM)
    finally:
        server.end()


def test_a_killed_server_costs_nothing_either(machine: Machine) -> None:
    machine.users.add(User("ann", 1), hash_user_token("secret"))
    expected = undisturbed(machine)
    first = Server(machine.file.path)
    job = replace(new_job("", WHOLE), id=first.export(machine.catalogue.all()[0].id))
    on_its_way(machine, job)
    started = workers(first.process.pid)
    assert started
    first.end(signal.SIGKILL)
    until(lambda: not any(is_alive(pid) for pid in started))
    assert found(machine, job).state == "STARTED"
    second = Server(machine.file.path)
    try:
        now = ended(machine, job)
        assert only_results(machine, now)
    finally:
        second.end()
    assert (now.state, now.attempt) == ("SUCCESS", 1)
    assert machine.results().path(now).read_bytes() == expected


def test_the_same_is_not_done_twice_under_its_key(machine: Machine) -> None:
    service = job_service(machine)
    request = TiffRequest("ome_tiff", WHOLE, machine.catalogue.all()[0].id)
    first = asyncio.run(service.submit_tiff(User("ann", 1), request, "a key"))
    with running(machine):
        assert ended(machine, first).state == "SUCCESS"
        assert asyncio.run(job_service(machine).submit_tiff(User("ann", 1), request, "a key")).id == first.id
        # Without a key it is a new wish: the data may be another by now.
        assert asyncio.run(job_service(machine).submit_tiff(User("ann", 1), request)).id != first.id
