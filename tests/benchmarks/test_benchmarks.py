"""The benchmarks still run and compare equal bytes. How fast anything is, is not tested."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.append(str(BENCHMARKS))

import data  # noqa: E402
import frames  # noqa: E402
import measure  # noqa: E402
import report  # noqa: E402
import servers  # noqa: E402
import serving  # noqa: E402
import stages  # noqa: E402
import tiff  # noqa: E402

import edge  # noqa: E402
import sources  # noqa: E402

TINY = measure.Scale((128, 128, 128), rounds=1, seconds=1, calls=64)
CASES = (serving.Case("em", "v2", 2), serving.Case("segmentation", "v3", 1))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data.write_dataset(tmp_path_factory.mktemp("bench"), TINY.size_xyz)


def test_frames_decode_to_equal_voxels_and_are_timed(dataset: Path) -> None:
    chunks, shards = frames.run(dataset, TINY).tables
    for table in (chunks, shards):
        assert [row[0] for row in table.rows] == list(data.LAYERS)
        assert {len(row) for row in table.rows} == {len(table.head)}


def test_servers_give_equal_bytes_and_are_measured(dataset: Path) -> None:
    if missing := serving.missing():
        pytest.skip(f"not installed: {', '.join(missing)}")
    part = serving.run(dataset, TINY, CASES)
    *served, where = part.tables
    names = [row[0] for row in served[0].rows]
    assert names[:3] == ["nginx", "bare probe on uvicorn", "zarrlink on uvicorn"]
    for case, table in zip(CASES, served, strict=True):
        assert table.caption.startswith(str(case))
        assert [row[0] for row in table.rows] == names
    assert "aim 0.4" in served[0].rows[2][2]
    assert "aim 3" in served[0].rows[2][5]
    assert len(where.rows) == 11


def test_the_edge_gives_equal_bytes_and_is_measured(dataset: Path) -> None:
    if missing := edge.missing():
        pytest.skip(f"not installed: {', '.join(missing)}")
    (table,) = edge.run(dataset, TINY).tables
    names = ["static files", "cache alone", "cache behind the edge's function", "forged tokens, refused"]
    assert [row[0] for row in table.rows] == names
    assert table.rows[1][2] == "1"


def test_a_server_with_other_bytes_is_found_out(dataset: Path, tmp_path: Path) -> None:
    key = serving.CASES[0].keys(TINY.size_xyz)[0]
    with servers.zarrlink_serve(dataset, tmp_path / "state.sqlite") as ours:
        serving.copy_chunks(ours, [key], tmp_path)
        serving.check_same(ours, tmp_path, [key])
        (tmp_path / key[1:]).write_bytes(b"other")
        with pytest.raises(AssertionError, match="differs"):
            serving.check_same(ours, tmp_path, [key])


def test_stages_are_timed_and_profiled(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = stages.table(dataset, TINY, server_cpu_us=100.0)
    assert table.rows[-1] == ["**CPU a request, measured**", "100.0", "100%"]
    stages.profile(dataset, TINY)
    assert "us a request, without profiler" in capsys.readouterr().out


def test_annotations_and_other_formats_give_equal_voxels_and_are_timed(dataset: Path) -> None:
    over, formats = sources.run(dataset, TINY).tables
    both = ["the WKW layer alone", "annotation over it"]
    assert [row[1] for row in over.rows] == [*both, *both, "annotation over it, the first request of a shard"]
    assert ["aim 1.3" in row[3] for row in over.rows] == [False, True, False, True, True]
    assert [row[0] for row in formats.rows] == ["zarr, as it is", "zarr, axes turned", "zarr, big endian", "n5, gzip"]


def test_exports_are_equal_to_tifffiles_and_are_timed(dataset: Path) -> None:
    speeds, terabyte = tiff.run(dataset, TINY).tables
    assert [row[0] for row in speeds.rows] == list(tiff._RUNS)
    assert "aim 2.5" in speeds.rows[1][2]
    assert int(terabyte.rows[0][0]) > 1000


def test_contestants_take_turns() -> None:
    order = []
    contestants = {name: lambda name=name: order.append(name) or name for name in "abc"}
    assert measure.interleaved(contestants, 3) == {name: [name] * 3 for name in "abc"}
    assert order == list("abcbcacab")


def test_a_ratio_says_whether_it_meets_its_aim() -> None:
    assert report.at_least(0.41, 0.4) == "0.41 (aim 0.4: met)"
    assert report.at_least(0.39, 0.4) == "0.39 (aim 0.4: missed)"
    assert report.at_most(2.9, 3) == "2.9 (aim 3: met)"
    assert report.at_most(3.1, 3) == "3.1 (aim 3: missed)"


def test_a_part_measured_anew_leaves_the_others_as_they_were() -> None:
    def section(title: str, number: int) -> str:
        table = report.Table("us", ("a", "b"), [["1", str(number)]])
        return report.Part(title, "Said.", [table], ["noted"]).markdown([f"day {number}"])

    whole = report.document([section("first", 1), section("second", 1)])
    assert report.document([section("first", 1), section("second", 1)], whole) == whole
    again = report.document([section("second", 2), section("third", 2)], whole)
    assert again == report.document([section("first", 1), section("second", 2), section("third", 2)])
    assert again.startswith("# Benchmarks\n")
    assert whole.count("day 1") == 2


def test_the_results_are_in_the_form_that_parts_are_exchanged_in() -> None:
    text = (BENCHMARKS / "results.md").read_text()
    assert report.document([], text) == text


def test_results_are_written_without_paths_of_this_machine(tmp_path: Path) -> None:
    out = tmp_path / "results.md"
    command = [sys.executable, str(BENCHMARKS / "run.py"), "--quick", "--only", "frames", "--out", str(out)]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    text = out.read_text()
    assert text.endswith(run.stdout.removesuffix("\n"))
    assert "by `python benchmarks/run.py --quick --only frames`" in text
    assert str(BENCHMARKS.parent) not in text
    assert str(tmp_path) not in text
    assert text.count("aim 50") == len(data.LAYERS)
