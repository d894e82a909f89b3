"""`zarrlink --api URL export` and `jobs`: a server makes the file, and it comes whole, whatever breaks off."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders.annotation_zips import Volume, annotation_zip, voxels, wkw_data, zip_of
from builders.commands import Result
from builders.local_jobs import until
from builders.loopback import served
from builders.processes import take_signals
from builders.remote_site import EM, SEG, TOKENS, Site, breaking_off, running_site
from builders.tiff_readers import by_tifffile

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def site_of_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("site"), jobs=True) as site:
        yield site


@pytest.fixture
def site(site_of_all: Site) -> Site:
    site_of_all.requests.clear()
    site_of_all.middle = None
    return site_of_all


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], site: Site) -> Run:
    return lambda *arguments, user="ann": site.run(capsys, *arguments, user=user)


@pytest.fixture
def job(run: Run, tmp_path: Path) -> dict[str, Any]:
    """One that has succeeded."""
    run("export", "ome-tiff", "mouse", "em", "-o", tmp_path / "first.tif", "--json").json  # noqa: B018
    newest: dict[str, Any] = run("jobs", "list", "--json").json[0]
    return newest


def test_a_whole_layer_comes_as_a_file(run: Run, capsys: Any, site: Site, tmp_path: Path) -> None:
    told = run("export", "ome-tiff", "mouse", "em", "-o", tmp_path / "em.tif", "--json").json
    assert told == {"files": [{"file": str(tmp_path / "em.tif"), "bytes": (tmp_path / "em.tif").stat().st_size}]}
    np.testing.assert_array_equal(by_tifffile(tmp_path / "em.tif", (1, 20))[0][0], EM)
    assert [entry.name for entry in tmp_path.iterdir()] == ["em.tif"]
    # What the server made to tell the layer's box is nobody's link.
    assert Result(capsys, "links", "list", *site.state, "--json").json == []
    assert "is there already" in run("export", "ome-tiff", "mouse", "em", "-o", tmp_path / "em.tif").refusal
    again = run("export", "ome-tiff", "mouse", "em", "-o", tmp_path / "em.tif", "--force", "--json")
    assert again.json == told


def test_a_box_at_a_mag_as_a_stack(run: Run, tmp_path: Path) -> None:
    options = ("--bbox", "10,20,4,40,30,8", "--mag", "2-2-1", "-o", tmp_path / "s.zip", "--compression", "none")
    assert run("export", "tiff-stack", "mouse", "em", *options).status == 0
    listed = run("jobs", "list", "--json").json[0]
    assert (listed["kind"], listed["state"], listed["owner"]) == ("tiff_stack", "SUCCESS", "ann")
    assert listed["bytes"] == (tmp_path / "s.zip").stat().st_size


def test_what_was_painted_over_a_dataset(run: Run, tmp_path: Path) -> None:
    data = zip_of(wkw_data({"1": {(1, 0, 0): voxels(1)}}))
    (tmp_path / "cells.zip").write_bytes(annotation_zip(Volume(data=data, fallback_layer="seg", name="cells")))
    run("annotations", "import", tmp_path / "cells.zip", "--dataset", "mouse", "--json").json  # noqa: B018
    options = ("--annotation", "sample__explorational", "-o", tmp_path / "c.tif")
    assert run("export", "ome-tiff", "mouse", "cells", *options).status == 0
    expected = SEG.copy()
    expected[:32, :32, 32:64] = np.frombuffer(voxels(1), "<u4").reshape(32, 32, 32)
    # The layer is as large as the dataset.
    np.testing.assert_array_equal(by_tifffile(tmp_path / "c.tif", (1, 64))[0][0][:, :64, :64], expected)


@pytest.mark.parametrize(
    "arguments",
    [
        ("nope", "em"),
        ("mouse", "nope"),
        ("mouse", "em", "--bbox", "900,900,900,1,1,1"),
        ("mouse", "em", "--mag", "16"),
        ("mouse", "em", "--workers", "2"),
        ("mouse", "em", "--annotation", "nope"),
        ("mouse", "em", "--axis", "t=3"),
    ],
    ids=str,
)
def test_what_cannot_be_exported_is_said_in_one_line(run: Run, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert run("export", "ome-tiff", *arguments, "-o", tmp_path / "x.tif").refusal
    assert list(tmp_path.iterdir()) == []


def test_jobs_are_listed_shown_downloaded_retried_and_removed(
    run: Run, capsys: Any, site: Site, job: dict[str, Any], tmp_path: Path
) -> None:
    (here,) = [it for it in Result(capsys, "jobs", "list", *site.state, "--json").json if it["id"] == job["id"]]
    assert {**here, "file": None} == job == run("jobs", "show", job["id"], "--json").json
    assert run("jobs", "list", "--json", user="bob").json == []
    assert run("jobs", "show", job["id"], user="bob").refusal
    assert "SUCCESS" in run("jobs", "show", job["id"]).out
    assert run("jobs", "cancel", job["id"]).refusal
    assert run("jobs", "retry", job["id"]).refusal

    (tmp_path / "there").mkdir()
    (told,) = run("jobs", "download", job["id"], "-o", tmp_path / "there", "--json").json["files"]
    assert told["file"] == str(tmp_path / "there" / job["fileName"])
    assert Result(capsys, "jobs", "download", job["id"], "-o", tmp_path / "here.tif", *site.state).status == 0
    assert (
        Path(told["file"]).read_bytes() == (tmp_path / "here.tif").read_bytes() == (tmp_path / "first.tif").read_bytes()
    )

    run("jobs", "remove", job["id"], "--json").json  # noqa: B018
    assert run("jobs", "download", job["id"]).refusal


# --- what breaks off ---


def test_a_download_goes_on_where_it_broke_off(run: Run, site: Site, job: dict[str, Any], tmp_path: Path) -> None:
    site.middle = breaking_off("/download", 1000, 500)
    assert run("jobs", "download", job["id"], "-o", tmp_path / "em.tif").status == 0
    assert (tmp_path / "em.tif").read_bytes() == (tmp_path / "first.tif").read_bytes()
    ranges = [headers.get("range") for headers in site.asked("/download")][-3:]
    assert ranges == [None, "bytes=1000-", "bytes=1500-"]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["em.tif", "first.tif"]


def test_the_next_command_goes_on_as_well(run: Run, site: Site, job: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    site.middle = breaking_off("/download", 3000, *[0] * 20)
    broken = run("jobs", "download", job["id"], "-o", tmp_path / "d/em.tif")
    assert broken.status == 2
    assert not (tmp_path / "d/em.tif").exists()
    site.middle = None
    assert run("jobs", "download", job["id"], "-o", tmp_path / "d/em.tif").status == 0
    assert (tmp_path / "d/em.tif").read_bytes() == (tmp_path / "first.tif").read_bytes()
    assert site.asked("/download")[-1]["range"] == "bytes=3000-"
    assert [entry.name for entry in (tmp_path / "d").iterdir()] == ["em.tif"]


def test_a_server_that_knows_no_ranges_sends_it_again(
    run: Run, site: Site, job: dict[str, Any], tmp_path: Path
) -> None:
    break_off = breaking_off("/download", 1000)

    async def middle(app: Any, scope: Any, receive: Any, send: Any) -> None:
        headers = [(name, value) for name, value in scope["headers"] if name != b"range"]
        await break_off(app, {**scope, "headers": headers}, receive, send)

    site.middle = middle
    assert run("jobs", "download", job["id"], "-o", tmp_path / "em.tif").status == 0
    assert (tmp_path / "em.tif").read_bytes() == (tmp_path / "first.tif").read_bytes()


@pytest.mark.parametrize("more", [-1, 1])
def test_a_file_of_another_length_is_not_taken_for_the_result(
    run: Run, site: Site, job: dict[str, Any], tmp_path: Path, more: int
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": bytes(job["bytes"] + more)})

    async def middle(inner: Any, scope: Any, receive: Any, send: Any) -> None:
        await (app if scope["path"].endswith("/download") else inner)(scope, receive, send)

    site.middle = middle
    assert run("jobs", "download", job["id"], "-o", tmp_path / "em.tif").status == 2
    assert not (tmp_path / "em.tif").exists()


def test_the_token_stays_with_the_server_it_is_for(run: Run, site: Site, job: dict[str, Any], tmp_path: Path) -> None:
    found: list[dict[str, str]] = []
    whole = (tmp_path / "first.tif").read_bytes()

    async def elsewhere(scope: Any, receive: Any, send: Any) -> None:
        found.append({name.decode(): value.decode() for name, value in scope["headers"]})
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": whole})

    with served(elsewhere) as address:

        async def middle(app: Any, scope: Any, receive: Any, send: Any) -> None:
            if not scope["path"].endswith("/export"):
                await app(scope, receive, send)
                return
            location = [(b"location", f"{address}/presigned".encode())]
            await send({"type": "http.response.start", "status": 303, "headers": location})
            await send({"type": "http.response.body", "body": b""})

        site.middle = middle
        assert run("jobs", "download", job["id"], "-o", tmp_path / "em.tif").status == 0
    assert (tmp_path / "em.tif").read_bytes() == whole
    (headers,) = found
    assert TOKENS["ann"] not in json.dumps(headers)
    assert all("token" not in name for name in headers)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_command_that_is_ended_leaves_the_job(
    site: Site, tmp_path: Path, number: signal.Signals, status: int
) -> None:
    looks: list[str] = []

    async def middle(app: Any, scope: Any, receive: Any, send: Any) -> None:
        # It never learns that the job has ended.
        if re.fullmatch("/api/jobs/[0-9a-f]+", scope["path"]):
            looks.append(scope["path"])
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": json.dumps(UNFINISHED).encode()})
        else:
            await app(scope, receive, send)

    site.middle = middle
    command = [sys.executable, "-c", "from zarrlink_local.cli import main; main()", "--api", site.address]
    path = os.pathsep.join(entry for entry in sys.path if entry)
    with subprocess.Popen(
        [*command, "export", "ome-tiff", "fly", "em", "-o", str(tmp_path / "a.tif")],
        env={**os.environ, "PYTHONPATH": path, "ZARRLINK_TOKEN": TOKENS["ann"]},
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=take_signals,  # noqa: PLW1509 (nothing but that)
    ) as process:
        until(lambda: len(looks) > 1)
        process.send_signal(number)
        said = process.communicate()[1]
    assert process.returncode == status
    job_id = looks[0].rpartition("/")[2]
    assert f"job {job_id} goes on: zarrlink jobs download {job_id}" in said
    assert TOKENS["ann"] not in said
    assert list(tmp_path.iterdir()) == []
    assert site.machine.jobs.get(job_id) is not None


UNFINISHED = {
    "id": "1",
    "owner": {"firstName": "ann"},
    "command": "export_tiff",
    "commandArgs": {"export_file_name": "a.tif", "dataset_id": "1", "annotation_id": None},
    "state": "STARTED",
    "progress": 0.5,
    "attempt": 1,
    "created": 1,
    **dict.fromkeys(("ended", "resultExpires", "resultBytes", "message", "resultLink")),
}
