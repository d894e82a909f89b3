"""The benchmarks still run and compare equal bytes. How fast anything is, is not tested."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.append(str(BENCHMARKS))

import bulk  # noqa: E402
import cdn_hits  # noqa: E402
import data  # noqa: E402
import frames  # noqa: E402
import growth  # noqa: E402
import measure  # noqa: E402
import peers  # noqa: E402
import performance  # noqa: E402
import report  # noqa: E402
import servers  # noqa: E402
import serving  # noqa: E402
import soak  # noqa: E402
import stages  # noqa: E402
import tiff  # noqa: E402

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
    if missing := cdn_hits.missing():
        pytest.skip(f"not installed: {', '.join(missing)}")
    (table,) = cdn_hits.run(dataset, TINY).tables
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
    others = [tiff._BFCONVERT] if tiff.bioformats_jar() else []
    assert [row[0] for row in speeds.rows] == [*tiff._RUNS, *others]
    assert "aim 2.5" in speeds.rows[1][2]
    assert int(terabyte.rows[0][0]) > 1000


def test_peers_give_equal_voxels_and_are_measured(dataset: Path) -> None:
    _skip_without_programs()
    part = peers.run(dataset, TINY, (peers.Case(32, 2),))
    names = {row[0] for row in part.tables[0].rows}
    installed = {*peers.PASSING, *peers.TRANSCODING} if peers.PYTHON.exists() else set()
    assert names == {"zarrlink", "nginx", *installed}
    assert len(part.aims) == len(installed & set(peers.TRANSCODING))


def test_a_peer_with_other_voxels_is_found_out(dataset: Path, tmp_path: Path) -> None:
    _skip_without_programs()
    volume = data.voxels(dataset, peers.LAYER)
    with servers.zarrlink_serve(dataset, tmp_path / "state.sqlite") as ours:
        peer = peers.Peer(ours, lambda _side, key: f"/v2/{peers.LAYER}.zarr/0/{key}", lambda _body: bytes(32**3))
        with pytest.raises(AssertionError, match="other voxels"):
            peers.check(peer, volume, 32, ["0/0/0"])


def test_bulk_reads_give_equal_voxels_and_are_counted(dataset: Path) -> None:
    _skip_without_programs()
    waiting, wire, overhead = bulk.run(dataset, TINY, ("tensorstore",), (0, 5)).tables
    assert [row[1] for row in waiting.rows] == [*bulk.ORIGINS, *bulk.ORIGINS]
    down = {row[1]: float(row[2]) for row in wire.rows}
    assert down[bulk.RAW] > 128**3 / 1e6 > down[bulk.LINK_V2]
    assert len(overhead.rows) == 2


def test_a_reader_that_gets_other_voxels_fails(dataset: Path, tmp_path: Path) -> None:
    reader = str(BENCHMARKS / "bulk_reader.py")
    with servers.zarrlink_serve(dataset, tmp_path / "state.sqlite") as ours:
        address = f"http://127.0.0.1:{ours.port}{ours.prefix}/v3/em.zarr/0"
        run = subprocess.run(
            [sys.executable, reader, "tensorstore", address, "0" * 64], check=False, capture_output=True, text=True
        )
    assert run.returncode == 1
    assert run.stderr.startswith("tensorstore read other voxels")


def test_growth_is_measured(dataset: Path) -> None:
    _skip_without_programs()
    part = growth.run(dataset, TINY)
    *_, dynamodb, reads, readers = part.tables
    assert {row[1] for row in dynamodb.rows} == {"1.00"}
    assert [row[1:] for row in reads.rows] == [["5", "2", "1"], ["5", "2", "1"], ["4", "1", "1"], ["4", "1", "1"]]
    assert [row[0] for row in readers.rows] == ["1", "16"]
    assert len(part.aims) == 2


def test_a_soak_is_measured(dataset: Path) -> None:
    _skip_without_programs()
    part = soak.run(dataset, TINY)
    assert len(part.plots[0].series["RSS"]) > 2
    assert part.aims[0].found > 0


@pytest.mark.parametrize(
    ("options", "minutes", "said"),
    [
        (["--rounds", "0"], "", "--rounds 0: at least 1 round is measured\n"),
        (["--rounds", "-1"], "", "--rounds -1: at least 1 round is measured\n"),
        (["--only", "soak"], "abc", "SOAK_MINUTES=abc: minutes are a number above 0\n"),
        (["--only", "soak"], "-3", "SOAK_MINUTES=-3: minutes are a number above 0\n"),
    ],
)
def test_what_cannot_be_measured_is_said_in_one_line(options: list[str], minutes: str, said: str) -> None:
    run = subprocess.run(
        [sys.executable, str(BENCHMARKS / "run.py"), "--quick", *options],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "SOAK_MINUTES": minutes},
    )
    assert (run.returncode, run.stdout, run.stderr) == (2, "", said)


def test_a_soak_says_by_how_much_memory_still_rises() -> None:
    """By the medians of the second and of the last quarter."""
    flat = [(float(minute), 100.0) for minute in range(61)]
    rising = [(minute, mib + 2 * minute / 30) for minute, mib in flat]
    assert soak.FREED in soak.notes(rising)
    assert "does not rise" in " ".join(soak.notes(flat))
    assert "rises by 4.0 MiB an hour" in " ".join(soak.notes(rising))


def test_the_page_counts_the_aims_in_the_cells_of_the_results() -> None:
    table = report.Table("us", ("a", "ratio"), [["x", report.at_least(2, 3)], ["y", report.at_least(4, 3)]])
    other = report.Table("MB", ("a", "RSS"), [["x", report.at_most(9, 8)]])
    results = report.document([report.Part("First", "Said.", [table, other]).markdown([])])
    assert report.aims_in(results) == {
        ("First", "ratio", "at least 3"): [False, True],
        ("First", "RSS", "at most 8"): [False],
    }
    page = performance.page({}, results)
    assert "3 aims more, of which 2 are missed" in page
    assert "| First | ratio | at least 3 | 1 | 1 |" in page
    assert "| First | RSS | at most 8 | 0 | 1 |" in page


def test_the_page_says_which_aims_are_missed_and_why(tmp_path: Path) -> None:
    aims = [report.Aim("fast", 6.0, 5.0, least=True), report.Aim("small", 2.0, 1.0, least=False, reason="it is large")]
    series = {"b": [("x", 1.0), ("y", 2.0)], "c": [("x", 3.0), ("y", 4.0)]}
    plots = [report.Plot("bars", "B", "", "us", series, "y"), report.Plot("lines", "L", "n", "us", {"a": [(1.0, 2.0)]})]
    part = report.Part("Peers", "Said.", [report.Table("t", ("a",), [["1"]])], ["noted"], aims, plots)
    known = report.keep(tmp_path / "results.json", {"peers": report.Measured(part, ["day 1"])})
    page = performance.page(known, performance.results())
    assert "| fast | at least 5 | 6 | met |" in page
    assert "| small | at most 1 | 2 | **missed** |" in page
    assert "* small: it is large." in page
    performance.write(known, tmp_path)
    assert (tmp_path / "performance.md").read_text() == page
    if peers.PYTHON.exists():
        drawn = [f"performance-{plot.name}.svg" for plot in plots]
        assert sorted(path.name for path in (tmp_path / "images").iterdir()) == drawn


def test_the_page_and_its_plots_are_of_the_kept_numbers() -> None:
    docs = BENCHMARKS.parent / "docs"
    page = (docs / "performance.md").read_text()
    assert page == performance.page(report.read(BENCHMARKS / "results.json"), performance.results())
    images = re.findall(r"\]\((images/[^)]*)\)", page)
    assert images
    assert all(0 < (docs / image).stat().st_size < 150_000 for image in images)


def _skip_without_programs() -> None:
    if missing := serving.missing():
        pytest.skip(f"not installed: {', '.join(missing)}")


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
