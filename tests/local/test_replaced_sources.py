"""Data files that are replaced before, between and during exports: never a mixture, never the name of what was there before."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders.foreign_arrays import write_zarr3
from builders.foreign_datasets import describe, entry
from builders.local_jobs import SMALL, new_job
from builders.tiff_readers import by_tifffile
from builders.wkw_files import LayerFiles, dataset, noise, write_tree
from zarrlink.errors import ExportFailed
from zarrlink.exports.args import ExportArgs
from zarrlink.exports.work import ExportWork, Planned
from zarrlink.geometry import Mag
from zarrlink.jobs.model import Job
from zarrlink_local.machine import Machine, now_ms, open_machine
from zarrlink_local.scan import register_below

OLD, NEW = noise((300, 200, 24), seed=1) & 7, noise((300, 200, 24), seed=2) & 7
# Of each format, a stored file that the last unit alone reads.
FILES = {"wkw": "em/1/z0/y6/x9.wkw", "zarr3": "em/1/c/0/6/9"}


def write(folder: Path, form: str, voxels: np.ndarray) -> None:
    if form == "wkw":
        write_tree(dataset(LayerFiles("em", {Mag(1, 1, 1): voxels})), folder)
        return
    write_zarr3(folder / "em/1", voxels, (24, 32, 32))
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

    def finished(self, kind: Any = "ome_tiff") -> Path:
        job, work, planned = self.begin(kind)
        for start, end in planned.tiers:
            for number in range(start, end):
                self.run(work.unit(job.id, 1, number))
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
        target = next(path for path in sorted(exports.folder.rglob("*")) if path.name in ("x0.wkw", "0"))
    else:
        target.unlink()
    with pytest.raises(ExportFailed, match=r"em/1/.* was replaced while it was exported: start the export again"):
        exports.run(work.unit(job.id, 1, last))
    now = exports.machine.jobs.get(job.id)
    assert now is not None
    assert now.state == "FAILURE"
    assert now.sentence.startswith("em/1/")


def test_a_file_that_is_replaced_while_it_is_read_is_noticed(exports: Exports, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first half read as it was, the rest as it is: each by itself is fine."""
    job, work, planned = exports.begin()
    number = planned.tiers[0][1] - 1
    before = work._begin

    async def begun(*which: Any) -> Any:
        found = await before(*which)
        read = found.volume.read
        times = iter(range(1000))

        async def reading(*box: Any) -> Any:
            voxels = await read(*box)
            if next(times) == 0:
                for path in exports.folder.rglob("*"):
                    if path.is_file() and path.suffix in (".wkw", "") and path.name != "header.wkw":
                        path.write_bytes(path.read_bytes())
                        os.utime(path, (1, 1))
            return voxels

        monkeypatch.setattr(found.volume, "read", reading)
        return found

    monkeypatch.setattr(work, "_begin", begun)
    with pytest.raises(ExportFailed, match="em/1/"):
        exports.run(work.unit(job.id, 1, number))


def test_what_was_never_written_stays_so(tmp_path: Path) -> None:
    exports = Exports(tmp_path, "wkw")
    (exports.folder / FILES["wkw"]).unlink()
    shown = by_tifffile(exports.finished(), (1, 24))[0][0]
    expected = OLD.copy()
    expected[:, 192:200, 288:300] = 0
    np.testing.assert_array_equal(shown, expected)
