"""64-bit numbers are never cut short."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from builders.export_runs import ArrayVolume, expected_levels, export, make_spec, places_for, run_export
from builders.tiff_readers import by_tifffile
from zarrlink.errors import InvalidRequest, PartsDiffer, SourceChanged
from zarrlink.exports.ids import merge_ids, scan_unit, write_table
from zarrlink.exports.plan import make_plan
from zarrlink.exports.spill import Spill
from zarrlink.exports.steps import run_unit, tiers
from zarrlink.geometry import BoundingBox

SHAPE = (1, 9, 229, 301)
BOX = BoundingBox((0, 0, 0), (301, 229, 9))
WIDE = np.array([0, 7, 2**32 - 1, 2**32, 2**53 + 1, 2**64 - 1], np.uint64)


def ids(values: np.ndarray, seed: int = 0) -> ArrayVolume:
    return ArrayVolume(np.random.default_rng(seed).choice(values, SHAPE))


@pytest.mark.parametrize(("dtype", "top", "labels", "gives"), [
    ("uint64", 2**32 - 1, True, "uint32"), ("int64", 2**32 - 1, True, "uint32"), ("int64", 2**31 - 1, False, "int32"),
])  # fmt: skip
def test_ids_that_fit_are_made_narrow(dtype: str, top: int, labels: bool, gives: str, tmp_path: Path) -> None:
    volume = ids(np.array([0, 1, top], dtype))
    export(make_spec(BOX, dtype, is_labels=labels, tile=32, levels=2), volume, tmp_path / "a.ome.tif")
    fine, coarse = by_tifffile(tmp_path / "a.ome.tif", (1, 9))
    assert fine.dtype == gives
    np.testing.assert_array_equal(fine, volume.voxels)
    if labels:
        np.testing.assert_array_equal(coarse, volume.voxels[..., ::2, ::2])


@pytest.mark.parametrize("kind", ["ome_tiff", "tiff_stack"])
@pytest.mark.parametrize(("dtype", "value"), [("uint64", 2**32), ("int64", -1)])
def test_one_that_does_not_fit_fails_the_export(kind: str, dtype: str, value: int, tmp_path: Path) -> None:
    volume = ids(np.array([1], dtype))
    volume.voxels[0, 8, 200, 300] = value
    with pytest.raises(InvalidRequest, match="choose renumber"):
        export(make_spec(BOX, dtype, kind=kind, is_labels=True), volume, tmp_path / "a.ome.tif")
    assert not (tmp_path / "a.ome.tif").exists()


def test_kept_ones_are_a_plain_tiff(tmp_path: Path) -> None:
    volume = ids(WIDE)
    export(make_spec(BOX, "uint64", is_labels=True, tile=32, levels=2, wide="keep"), volume, tmp_path / "a.tif")
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert not file.is_ome
        assert "dataset: set" in file.pages[0].description
        np.testing.assert_array_equal(np.stack([page.asarray() for page in file.pages]), volume.voxels[0])


@pytest.mark.parametrize("kind", ["ome_tiff", "tiff_stack"])
@pytest.mark.parametrize("values", [WIDE, np.array([-(2**40), -1, 0, 3, 2**62], np.int64)], ids=["uint64", "int64"])
def test_renumbered_ones_come_with_their_table(kind: str, values: np.ndarray, tmp_path: Path) -> None:
    volume = ids(values)
    spec = make_spec(BOX, values.dtype.name, kind=kind, is_labels=True, tile=32, wide="renumber")
    plan, places = make_plan(spec), places_for(tmp_path / "a", tmp_path / "scratch")
    for number in tiers(plan)[0]:
        asyncio.run(scan_unit(plan, number, volume, places))
    assert merge_ids(plan, places.scratch, tiers(plan)[0]) == len(values)
    with Spill(tmp_path) as out:
        write_table(plan, places.scratch, out)
        lines = b"".join(out.pieces()).decode().splitlines()
    assert lines[0] == "id,stored_id"
    table: dict[int, int] = {0: 0} | {int(new): int(old) for new, _, old in (line.partition(",") for line in lines[1:])}
    assert sorted(table) == list(range(len(values)))
    assert sorted(table.values()) == sorted(values.tolist())
    run_export(plan, volume, places)
    if kind == "ome_tiff":
        found = by_tifffile(tmp_path / "a", (1, 9))[0]
        lookup = np.array([table[number] for number in range(len(table))], values.dtype)
        np.testing.assert_array_equal(lookup[found], volume.voxels)
        assert expected_levels(found, 1, labels=True)[0].dtype == np.uint32


def test_an_id_that_the_scan_did_not_see_fails_the_unit(tmp_path: Path) -> None:
    spec = make_spec(BOX, "uint64", is_labels=True, wide="renumber")
    plan, places = make_plan(spec), places_for(tmp_path / "a", tmp_path / "scratch")
    with pytest.raises(PartsDiffer):
        asyncio.run(run_unit(plan, 0, ids(WIDE), places))
    for number in tiers(plan)[0]:
        asyncio.run(scan_unit(plan, number, ids(WIDE[:3]), places))
    merge_ids(plan, places.scratch, tiers(plan)[0])
    with pytest.raises(SourceChanged):
        asyncio.run(run_unit(plan, 0, ids(WIDE), places))


def test_a_unit_that_was_not_scanned_is_missed(tmp_path: Path) -> None:
    plan, places = make_plan(make_spec(BOX, "uint64", wide="renumber")), places_for(tmp_path / "a", tmp_path / "s")
    with pytest.raises(PartsDiffer):
        merge_ids(plan, places.scratch, tiers(plan)[0])


def test_more_ids_than_32_bits_number_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zarrlink.exports.ids._MOST", 3)
    plan, places = make_plan(make_spec(BOX, "uint64", wide="renumber")), places_for(tmp_path / "a", tmp_path / "s")
    for number in tiers(plan)[0]:
        asyncio.run(scan_unit(plan, number, ids(WIDE), places))
    with pytest.raises(InvalidRequest, match="more than 32 bits can number"):
        merge_ids(plan, places.scratch, tiers(plan)[0])


def test_other_types_are_kept_as_they_are(tmp_path: Path) -> None:
    spec: Any = make_spec(BOX, "uint32", wide="renumber", tile=32)
    assert not make_plan(spec).form.renumbered
