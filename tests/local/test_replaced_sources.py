"""Data files that are replaced before, between and during exports: never a mixture, never the name of what was there before."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders.foreign_arrays import write_precomputed, write_zarr3
from builders.foreign_datasets import describe, entry
from builders.local_jobs import SMALL, new_job
from builders.tiff_readers import by_tifffile
from builders.wkw_files import LayerFiles, dataset, noise, write_tree
from zarrlink.errors import ExportFailed, SourceChanged, ZarrlinkError
from zarrlink.exports.args import ExportArgs
from zarrlink.exports.work import ExportWork, Planned
from zarrlink.geometry import Mag
from zarrlink.jobs.model import Job
from zarrlink.jobs.service import TiffRequest
from zarrlink.users.interface import User
from zarrlink_local.jobs.queue import job_service
from zarrlink_local.machine import Machine, now_ms, open_machine
from zarrlink_local.scan import register_below

OLD, NEW = noise((300, 200, 24), seed=1) & 7, noise((300, 200, 24), seed=2) & 7
# Of each format, a stored file that the last unit alone reads.
FILES = {"wkw": "em/1/z0/y6/x9.wkw", "zarr3": "em/1/c/0/6/9", "precomputed": "em/1/34.shard"}
SHARDING = {
    "@type": "neuroglancer_uint64_sharded_v1",
    "preshift_bits": 1,
    "hash": "identity",
    "minishard_bits": 0,
    "shard_bits": 6,
    "minishard_index_encoding": "raw",
    "data_encoding": "raw",
}


def write(folder: Path, form: str, voxels: np.ndarray) -> None:
    if form == "wkw":
        write_tree(dataset(LayerFiles("em", {Mag(1, 1, 1): voxels})), folder)
        return
    if form == "precomputed":
        shutil.rmtree(folder / "em", ignore_errors=True)
        write_precomputed(folder / "em", {"1": voxels.T[..., None]}, chunk=(32, 32, 24), sharding=SHARDING)
        describe(folder, entry("em", "neuroglancerPrecomputed", "uint8", (300, 200, 24)))
        return
    write_zarr3(folder / "em/1", voxels, (2, 8, 8) if form == "many" else (24, 32, 32))
    describe(folder, entry("em", "zarr3", "uint8", (300, 200, 24), order="zyx"))


class Exports:
    """Jobs of one dataset, run step by step in this process."""

    def __init__(self, home: Path, form: str) -> None:
        self.folder, self.form = home / "mouse", form
        write(self.folder, form, OLD)
        self.machine: Machine = open_machine(home / "state.sqlite")
        register_below(self.folder, self.machine.catalogue, 1, pytest.fail)
        self.loop = asyncio.new_event_loop()

    def begin(self, kind: Any = "ome_tiff") -> tuple[Job, ExportWork, Planned]:
        job = self.machine.jobs.add(new_job(self.machine.catalogue.all()[0].id, ExportArgs("em"), kind))
        # As a new process: nothing is remembered.
        machine = open_machine(self.machine.file.path)
        work = ExportWork(
            self.machine.jobs, machine.library, self.machine.results(), now_ms=now_ms, limits=SMALL, result_days=7
        )
        return job, work, self.run(work.plan(job.id, 1))

    def run(self, step: Any) -> Any:
        return self.loop.run_until_complete(step)

    def do_units(self, job: Job, work: ExportWork, planned: Planned) -> None:
        for start, end in planned.tiers:
            for number in range(start, end):
                self.run(work.unit(job.id, 1, number))

    def finished(self, kind: Any = "ome_tiff") -> Path:
        job, work, planned = self.begin(kind)
        self.do_units(job, work, planned)
        assert self.run(work.finish(job.id, 1)) == []
        return self.machine.results().path(job)


@pytest.fixture(params=FILES)
def exports(request: pytest.FixtureRequest, tmp_path: Path) -> Exports:
    return Exports(tmp_path, request.param)


def uuid_of(tiff: Path) -> str:
    found = re.search(rb'UUID="urn:uuid:([0-9a-f-]{36})"', tiff.read_bytes())
    assert found
    return found[1].decode()


def test_data_that_was_replaced_in_place_is_another_export(exports: Exports) -> None:
    first, again = exports.finished(), exports.finished()
    assert first.read_bytes() == again.read_bytes()
    target = exports.folder / FILES[exports.form]
    other = target.with_name("new")
    other.write_bytes(target.read_bytes())
    other.replace(target)
    assert uuid_of(exports.finished()) != uuid_of(first)


@pytest.mark.parametrize("kind", ["ome_tiff", "tiff_stack"])
@pytest.mark.parametrize("what", ["replaced", "removed"])
def test_a_file_that_is_replaced_meanwhile_ends_the_export_by_its_name(exports: Exports, kind: Any, what: str) -> None:
    job, work, planned = exports.begin(kind)
    first, last = planned.tiers[0][0], planned.tiers[0][1] - 1
    assert last > first
    exports.run(work.unit(job.id, 1, first))
    target = exports.folder / FILES[exports.form]
    if what == "replaced":
        write(exports.folder, exports.form, NEW)
        # Its description is as it was: only data files are others.
        target = next(path for path in sorted(exports.folder.rglob("*")) if path.name in ("x0.wkw", "0", "00.shard"))
    else:
        target.unlink()
    with pytest.raises(ExportFailed, match=f"em/1/.* was {what} while it was exported: start the export again"):
        exports.run(work.unit(job.id, 1, last))
    now = exports.machine.jobs.get(job.id)
    assert now is not None
    assert now.state == "FAILURE"
    assert now.sentence.startswith("em/1/")


def test_a_file_that_is_added_meanwhile_is_named(tmp_path: Path) -> None:
    exports = Exports(tmp_path, "wkw")
    target = exports.folder / FILES["wkw"]
    aside = target.rename(tmp_path / "aside")
    job, work, planned = exports.begin()
    aside.rename(target)
    with pytest.raises(ExportFailed, match=f"^{FILES['wkw']} was added while it was exported"):
        exports.run(work.unit(job.id, 1, planned.tiers[0][1] - 1))


def test_a_file_that_is_replaced_while_it_is_read_is_noticed(exports: Exports, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first half read as it was, the rest as it is: each by itself is fine."""
    job, work, planned = exports.begin()
    number = planned.tiers[0][1] - 1

    def replace_all() -> None:
        for path in exports.folder.rglob("*"):
            if path.is_file() and path.suffix in (".wkw", ".shard", "") and path.name not in ("header.wkw", "info"):
                path.write_bytes(path.read_bytes())
                os.utime(path, (1, 1))

    around_reads(monkeypatch, work, after_first=replace_all)
    with pytest.raises(ExportFailed, match="em/1/"):
        exports.run(work.unit(job.id, 1, number))


@pytest.mark.parametrize("what", ["away", "another"])
def test_a_folder_that_is_another_while_it_is_read_is_noticed(
    exports: Exports, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """It is back before anybody looks, with all its files as they were: what was read says so."""
    if what == "another" and exports.form != "wkw":
        pytest.skip("tensorstore does not tell which version of a file it read")
    job, work, planned = exports.begin()
    number = planned.tiers[0][1] - 1
    folder = (exports.folder / FILES[exports.form]).parent
    aside, other = folder.with_name("aside"), folder.with_name("other")
    shutil.copytree(folder, other)

    def swap() -> None:
        folder.rename(aside)
        if what == "another":
            other.rename(folder)

    def swap_back() -> None:
        if what == "another":
            folder.rename(other)
        aside.rename(folder)

    around_reads(monkeypatch, work, before=swap, after=swap_back)
    with pytest.raises(SourceChanged):
        exports.run(work.unit(job.id, 1, number))
    monkeypatch.undo()
    # Nothing else has changed: the unit is done again, and the file is whole.
    exports.do_units(job, work, planned)
    assert exports.run(work.finish(job.id, 1)) == []
    np.testing.assert_array_equal(by_tifffile(exports.machine.results().path(job), (1, 24))[0][0], OLD)


def test_of_many_chunks_the_last_ones_are_looked_at_too(tmp_path: Path) -> None:
    exports = Exports(tmp_path, "many")
    last = exports.folder / "em/1/c/11/24/37"
    first = exports.finished()
    job, work, planned = exports.begin()
    kept = last.read_bytes()
    last.unlink()
    with pytest.raises(ExportFailed, match=r"^em/1/c/11/24/37 was removed"):
        exports.do_units(job, work, planned)
    last.write_bytes(kept)
    assert uuid_of(exports.finished()) != uuid_of(first)


@pytest.mark.parametrize("what", ["folder", "link", "fifo"])
def test_what_is_no_file_is_named_when_an_export_is_asked_for(exports: Exports, what: str) -> None:
    if what == "fifo" and exports.form != "wkw":
        pytest.skip("tensorstore waits for whoever writes into it")
    target = exports.folder / FILES[exports.form]
    target.unlink()
    match what:
        case "folder":
            target.mkdir()
        case "link":
            target.symlink_to("nowhere")
        case _:
            os.mkfifo(target)
    request = TiffRequest("ome_tiff", ExportArgs("em"), exports.machine.catalogue.all()[0].id)
    asked = job_service(exports.machine).submit_tiff(User("ann", 1), request)
    with pytest.raises(ZarrlinkError, match=f"layer 'em', mag 1, {FILES[exports.form]}"):
        exports.run(asked)


def around_reads(
    monkeypatch: pytest.MonkeyPatch,
    work: ExportWork,
    before: Callable[[], None] | None = None,
    after: Callable[[], None] | None = None,
    after_first: Callable[[], None] | None = None,
) -> None:
    """What happens around the reads of the units of a job, as if by somebody else."""
    begin = work._begin

    async def begun(*which: Any) -> Any:
        found = await begin(*which)
        read = found.volume.read
        times = iter(range(1000))

        async def reading(*box: Any) -> Any:
            if before:
                before()
            voxels = await read(*box)
            if after:
                after()
            if after_first and next(times) == 0:
                after_first()
            return voxels

        monkeypatch.setattr(found.volume, "read", reading)
        return found

    monkeypatch.setattr(work, "_begin", begun)


def test_what_was_never_written_stays_so(tmp_path: Path) -> None:
    exports = Exports(tmp_path, "wkw")
    (exports.folder / FILES["wkw"]).unlink()
    shown = by_tifffile(exports.finished(), (1, 24))[0][0]
    expected = OLD.copy()
    expected[:, 192:200, 288:300] = 0
    np.testing.assert_array_equal(shown, expected)
