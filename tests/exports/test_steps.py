"""Steps that fail, run twice, come late or are stopped."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders.export_runs import SMALL, ArrayVolume, export, make_spec, places_for, random_voxels, run_export
from builders.moto_aws import MotoAws, moto_aws
from builders.moto_parts import multipart_as_s3
from builders.tiff_readers import by_tifffile
from builders.wkw_files import LayerFiles, dataset, noise, write_tree
from zarrlink.errors import CorruptFile, ExportFailed, PartsDiffer, SourceUnavailable, UploadGone
from zarrlink.exports.part_s3 import S3Parts
from zarrlink.exports.places import Places
from zarrlink.exports.plan import Plan, make_plan
from zarrlink.exports.request import Limits
from zarrlink.exports.sampling import sample_ratio
from zarrlink.exports.scratch import ScratchBucket
from zarrlink.exports.steps import abandon, finish, is_small, run_small, run_unit, tiers, unit_of
from zarrlink.formats.datasource import parse_description
from zarrlink.geometry import BoundingBox, Mag, Vec3
from zarrlink.jump_tables import JumpTables
from zarrlink.opening.volumes import wkw_volumes
from zarrlink.storage.files import LocalFiles

SIZE = (301, 229, 17)
BOX = BoundingBox((0, 0, 0), SIZE)
KINDS = ("ome_tiff", "tiff_stack")


class Stopped(Exception):
    """A cancelled job."""


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def volume() -> ArrayVolume:
    return ArrayVolume(random_voxels((1, 17, 229, 301), "uint16"))


def plan_of(kind: str, **changes: Any) -> Plan:
    plan = make_plan(make_spec(BOX, "uint16", kind=kind, tile=32, levels=5 if kind == "ome_tiff" else None, **changes))
    assert plan.units > 2
    return plan


def left(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file()]


def test_a_unit_that_is_run_again_gives_the_same_part(kind: str, volume: ArrayVolume, tmp_path: Path) -> None:
    plan, places = plan_of(kind), places_for(tmp_path / "a", tmp_path / "scratch")
    for number in range(plan.units):
        first = asyncio.run(run_unit(plan, number, volume, places))
        again = asyncio.run(run_unit(plan, number, volume, replace(places, threads=3)))
        assert first.receipt == again.receipt
        assert (first.numbers == again.numbers).all()


@pytest.mark.parametrize("after", [0, 1, 7])
def test_a_worker_that_is_killed_and_run_again_gives_the_same_file(
    kind: str, after: int, volume: ArrayVolume, tmp_path: Path
) -> None:
    """Killed in a process of its own, after some slabs, and with SIGKILL: nothing cleans up."""
    export(plan_of(kind).spec, volume, tmp_path / "whole")
    plan, places = plan_of(kind), places_for(tmp_path / "killed", tmp_path / "scratch")
    child = os.fork()
    if child == 0:
        calls = 0

        def die() -> None:
            nonlocal calls
            calls += 1
            if calls > after:
                os.kill(os.getpid(), 9)

        asyncio.run(run_unit(plan, 0, volume, replace(places, check=die)))
        asyncio.run(run_unit(plan, 1, volume, replace(places, check=die)))
        os._exit(0)
    os.waitpid(child, 0)
    run_export(plan, volume, places)
    assert (tmp_path / "killed").read_bytes() == (tmp_path / "whole").read_bytes()
    places.scratch.clear()
    assert sorted(left(tmp_path)) == ["killed", "whole"]


def test_a_stopped_unit_leaves_nothing(kind: str, volume: ArrayVolume, tmp_path: Path) -> None:
    plan, places = plan_of(kind), places_for(tmp_path / "a", tmp_path / "scratch")
    calls = iter(range(3))

    def stop() -> None:
        if next(calls, None) is None:
            raise Stopped

    with pytest.raises(Stopped):
        run_export(plan, volume, replace(places, check=stop))
    abandon(places)
    abandon(places)
    assert left(tmp_path) == []


def test_a_late_worker_is_told_and_leaves_nothing(kind: str, volume: ArrayVolume, tmp_path: Path) -> None:
    plan, places = plan_of(kind), places_for(tmp_path / "a", tmp_path / "scratch")
    asyncio.run(run_unit(plan, 0, volume, places))
    abandon(places)
    with pytest.raises(UploadGone):
        asyncio.run(run_unit(plan, 1, volume, places))
    with pytest.raises(PartsDiffer):
        finish(plan, places)
    assert left(tmp_path) == []


def test_finishing_without_all_units_names_their_parts(kind: str, volume: ArrayVolume, tmp_path: Path) -> None:
    plan, places = plan_of(kind), places_for(tmp_path / "a", tmp_path / "scratch")
    for number in tiers(plan)[0]:
        if number != 1:
            asyncio.run(run_unit(plan, number, volume, places))
    with pytest.raises(PartsDiffer) as missing:
        finish(plan, places)
    assert unit_of(plan, missing.value.numbers[0]) == 1
    assert not (tmp_path / "a").exists()


def test_finishing_again_changes_nothing(kind: str, volume: ArrayVolume, tmp_path: Path) -> None:
    plan, places = plan_of(kind), places_for(tmp_path / "a", tmp_path / "scratch")
    first, data = run_export(plan, volume, places), (tmp_path / "a").read_bytes()
    assert finish(plan, places) == first
    assert (tmp_path / "a").read_bytes() == data


def test_a_coarser_tier_needs_what_is_handed_over(volume: ArrayVolume, tmp_path: Path) -> None:
    plan, places = plan_of("ome_tiff", limits=replace(SMALL, unit=2**17)), places_for(tmp_path / "a", tmp_path / "s")
    assert len(tiers(plan)) > 1
    with pytest.raises(PartsDiffer, match=r"^part 2 of the export is missing or damaged: start") as missing:
        asyncio.run(run_unit(plan, tiers(plan)[1][0], volume, places))
    assert unit_of(plan, missing.value.numbers[0]) in tiers(plan)[0]


def test_a_failed_read_is_never_black(kind: str, volume: ArrayVolume, tmp_path: Path) -> None:
    plan, places = plan_of(kind), places_for(tmp_path / "a", tmp_path / "scratch")

    def fail(start: Vec3, end: Vec3) -> None:
        if start[2] > 0:
            raise SourceUnavailable("gone", key="em/1/z0/y0/x0.wkw")

    volume.before = fail
    with pytest.raises(SourceUnavailable) as failed:
        run_export(plan, volume, places)
    assert failed.value.key == "em/1/z0/y0/x0.wkw"
    abandon(places)
    assert left(tmp_path) == []


@pytest.mark.parametrize("cut", [0, 200, -10])
def test_a_damaged_wkw_file_is_named(kind: str, cut: int, tmp_path: Path) -> None:
    folder = write_tree(dataset(LayerFiles("em", {Mag(1, 1, 1): noise((64, 64, 32))})), tmp_path / "set")
    file = next((folder / "em").rglob("z0/y1/x1.wkw"))
    file.write_bytes(file.read_bytes()[:cut])
    source, described = LocalFiles(folder), parse_description((folder / "datasource-properties.json").read_bytes())

    async def run() -> None:
        volumes = await wkw_volumes(source, described.layers[0], JumpTables(), lambda _: source)
        plan = make_plan(
            make_spec(
                BoundingBox((0, 0, 0), (64, 64, 32)), kind=kind, tile=32, levels=2 if kind == "ome_tiff" else None
            )
        )
        places = places_for(tmp_path / "out" / "a", tmp_path / "out" / "scratch")
        try:
            for number in range(plan.units):
                await run_unit(plan, number, volumes.volumes[Mag(1, 1, 1)], places)
        finally:
            abandon(places)

    with pytest.raises(CorruptFile) as failed:
        asyncio.run(run())
    assert failed.value.key == "em/1/z0/y1/x1.wkw"
    assert left(tmp_path / "out") == []


def test_a_full_disk_of_the_worker_is_told(
    kind: str, volume: ArrayVolume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        """/dev/full, as a nameless file."""

        def __init__(self, **_: Any) -> None:
            self.file = Path("/dev/full").open("wb", buffering=0)  # noqa: SIM115

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

    plan, places = plan_of(kind), places_for(tmp_path / "a", tmp_path / "scratch")
    monkeypatch.setattr("zarrlink.exports.spill.tempfile.TemporaryFile", Full)
    with pytest.raises(ExportFailed, match="No space left on device"):
        asyncio.run(run_unit(plan, 0, volume, places))


def test_a_small_export_is_one_part_without_padding(kind: str, tmp_path: Path) -> None:
    voxels = random_voxels((1, 5, 70, 90), "uint8")
    spec = make_spec(BoundingBox((0, 0, 0), (90, 70, 5)), kind=kind, limits=Limits())
    plan, places = make_plan(spec), places_for(tmp_path / "a", tmp_path / "scratch")
    assert is_small(plan)
    done = asyncio.run(run_small(plan, ArrayVolume(voxels), places))
    assert done.object_bytes == (tmp_path / "a").stat().st_size < 2 * voxels.nbytes + 5 * 512 * 512
    assert left(tmp_path) == ["a"]
    if kind == "ome_tiff":
        np.testing.assert_array_equal(by_tifffile(tmp_path / "a", (1, 5))[0], voxels)


def test_the_sampled_ratio_is_that_of_the_file(tmp_path: Path) -> None:
    rough, smooth, blank = (
        asyncio.run(sample_ratio(make_plan(make_spec(BOX)), ArrayVolume(voxels)))
        for voxels in (
            np.random.default_rng(0).integers(0, 256, (1, 17, 229, 301), np.uint8),
            np.full((1, 17, 229, 301), 7, np.uint8),
            np.zeros((1, 17, 229, 301), np.uint8),
        )
    )
    assert rough > 0.7
    assert 0.001 <= smooth < 0.05
    assert blank == 0.001


@pytest.fixture(scope="module")
def aws() -> Iterator[MotoAws]:
    with multipart_as_s3(), moto_aws() as server:
        yield server


class TestOnS3:
    """The same steps over moto, with the smallest parts that S3 takes."""

    @pytest.fixture
    def places(self, aws: MotoAws, tmp_path: Path) -> Places:
        self.client, self.bucket = aws.client("s3"), aws.new_bucket()
        sink = S3Parts(self.client, self.bucket, "exports/7/a", owner="7")
        return Places(sink, sink.begin(), ScratchBucket(self.client, self.bucket, "scratch/7"), tmp_path)

    def remains(self) -> list[str]:
        uploads = self.client.list_multipart_uploads(Bucket=self.bucket).get("Uploads", [])
        objects = self.client.list_objects_v2(Bucket=self.bucket).get("Contents", [])
        return sorted(found["Key"] for found in [*uploads, *objects])

    def test_padded_parts_make_a_whole_file(
        self, kind: str, volume: ArrayVolume, places: Places, tmp_path: Path
    ) -> None:
        limits = replace(SMALL, least_part=5 * 2**20)
        plan = plan_of(kind, limits=limits)
        done = run_export(plan, volume, places, order=lambda units: list(units)[::-1])
        data = self.client.get_object(Bucket=self.bucket, Key="exports/7/a")["Body"].read()
        assert len(data) == done.object_bytes
        assert len(data) > 5 * 2**20 * (plan.units - 1)
        places.scratch.clear()
        assert self.remains() == ["exports/7/a"]
        (tmp_path / "a").write_bytes(data)
        if kind == "ome_tiff":
            np.testing.assert_array_equal(by_tifffile(tmp_path / "a", (1, 17))[0], volume.voxels)

    def test_abandoning_leaves_nothing(self, kind: str, volume: ArrayVolume, places: Places) -> None:
        plan = plan_of(kind)
        asyncio.run(run_unit(plan, 0, volume, places))
        assert self.remains() != []
        abandon(places)
        with pytest.raises(UploadGone):
            asyncio.run(run_unit(plan, 1, volume, places))
        assert self.remains() == []
        assert left(places.disk) == []

    def test_a_part_replaced_by_a_zombie_is_found_and_run_again(self, volume: ArrayVolume, places: Places) -> None:
        plan = plan_of("tiff_stack", limits=replace(SMALL, least_part=5 * 2**20))
        for number in range(plan.units):
            asyncio.run(run_unit(plan, number, volume, places))
        zombie = make_plan(replace(plan.spec, request=replace(plan.spec.request, compression="none")))
        asyncio.run(run_unit(zombie, 1, volume, replace(places, scratch=_Deaf())))
        with pytest.raises(PartsDiffer) as found:
            finish(plan, places)
        (part,) = found.value.numbers
        again = unit_of(plan, part)
        assert again == 1
        asyncio.run(run_unit(plan, again, volume, places))
        finish(plan, places)


class _Deaf:
    """A scratch that takes everything and has nothing."""

    def put(self, key: str, data: object) -> None:
        pass

    def get(self, key: str, start: int = 0, length: int | None = None) -> bytes | None:
        return None

    def keys(self, prefix: str = "") -> set[str]:
        return set()

    def clear(self) -> None:
        pass
