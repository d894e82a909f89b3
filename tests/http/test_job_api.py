"""Exports through the API, as WEBKNOSSOS's clients and scripts call it."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from starlette.testclient import TestClient

from builders.annotation_zips import Volume, annotation_zip, nml, voxels, wkw_data, zip_of
from builders.export_engine import PatientEngine
from builders.export_runs import SMALL
from builders.machines import machine_with
from builders.spoilt_rows import in_file
from builders.wkw_files import LayerFiles, dataset, ramp, write_tree
from zarrlink.annotations.downloads import StreamedDownloads
from zarrlink.exports.store_files import FolderStore
from zarrlink.geometry import Mag
from zarrlink.http.api import ApiServices, create_api
from zarrlink.http.api_door import ApiDoor
from zarrlink.jobs.limits import JobLimits
from zarrlink.jobs.service import JobService
from zarrlink.jobs.sqlite import SqliteJobs
from zarrlink.library import Subject
from zarrlink_local.machine import Machine
from zarrlink_local.scan import register_below

ANN, BOB = {"X-Auth-Token": "ann-token"}, {"X-Auth-Token": "bob-token"}
ONE, TWO = Mag(1, 1, 1), Mag(2, 2, 1)
COLOR = ramp((64, 48, 8))
SEGMENTS = ramp((64, 64, 64), "uint32")
# 2026-11-23 10:22 UTC
NOW_MS = 1_795_429_320_000
DAY_MS = 86_400_000
BOX = "8,0,1,40,32,5"


@dataclass
class Server:
    """The API of one machine, whose jobs wait until they are told to run."""

    machine: Machine
    engine: PatientEngine
    client: TestClient
    dataset: str
    clock: list[int]

    def ask(self, method: str, path: str, user: dict[str, str] = ANN, status: int = 200, **more: Any) -> Any:
        answer = self.client.request(method, path, headers={**user, **more.pop("headers", {})}, **more)
        assert answer.status_code == status, answer.text
        if status >= 400:
            assert answer.headers["content-type"] == "application/problem+json"
        return answer.json()

    def submit(self, layer: str = "color", user: dict[str, str] = ANN, *, status: int = 200, **params: Any) -> Any:
        given = {"bbox": BOX, "asOmeTiff": "true", "layerName": layer, **params}
        headers = given.pop("headers", {})
        known = {name: value for name, value in given.items() if value is not None}
        path = f"/api/jobs/run/exportTiff/{self.dataset}"
        return self.ask("POST", path, user, status, params=known, headers=headers)

    def done(self, layer: str = "color", **params: Any) -> str:
        """The id of a job with a result."""
        made = self.submit(layer, **params)
        self.engine.run()
        assert self.ask("GET", f"/api/jobs/{made['id']}")["state"] == "SUCCESS"
        return str(made["id"])

    def refused(self, layer: str = "color", status: int = 400, **params: Any) -> str:
        return str(self.submit(layer, status=status, **params)["detail"])


def make_server(tmp_path: Path, limits: JobLimits | None = None) -> Server:
    color = LayerFiles("color", {ONE: COLOR, TWO: COLOR[:, ::2, ::2].copy()})
    seg = LayerFiles("segmentation", {ONE: SEGMENTS}, category="segmentation", block_side=32, file_side=2)
    machine = machine_with(tmp_path, dataset(color, seg))
    clock = [NOW_MS]
    jobs, store = SqliteJobs(machine.file), FolderStore(tmp_path / "exports")
    engine = PatientEngine(jobs, machine.library, store, lambda: clock[0])
    service = JobService(jobs, engine, machine.library, limits or JobLimits(store=SMALL), lambda: clock[0])
    services = ApiServices(
        library=machine.library,
        catalogue=machine.catalogue,
        shelf=machine.shelf,
        downloads=StreamedDownloads(machine.library.holdings),
        links=machine.links,
        users=machine.users,
        keys=machine.keys,
        now_ms=lambda: clock[0],
        public_url="https://links.example",
        jobs=service,
        open_result=store.path,
    )
    client = TestClient(ApiDoor(create_api(services)), raise_server_exceptions=False, follow_redirects=False)
    return Server(machine, engine, client, machine.catalogue.all()[0].id, clock)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = make_server(tmp_path)
    yield server
    server.machine.file.close()


def annotate(server: Server, file: bytes, name: str = "cells.zip") -> str:
    fields = {"datasetId": server.dataset}
    answer = server.client.post("/api/annotations/upload", headers=ANN, files={"file": (name, file)}, data=fields)
    return str(answer.json()["annotation"]["id"])


def painted() -> bytes:
    """A download with one block painted at (1, 0, 0), over the layer `segmentation`."""
    data = zip_of(wkw_data({"1": {(1, 0, 0): voxels(1)}}))
    return annotation_zip(Volume(data=data, fallback_layer="segmentation"))


# --- from submission to file ---


def test_from_submission_to_the_file(server: Server) -> None:
    made = server.submit(mag="1")
    assert (made["command"], made["state"], made["manualState"], made["resultLink"]) == (
        "export_tiff",
        "PENDING",
        None,
        None,
    )
    assert (made["created"], made["started"], made["ended"], made["progress"]) == (NOW_MS, None, None, 0)
    assert made["commandArgs"] | {"compression": ""} == {
        "dataset_directory_name": "mouse",
        "organization_id": "",
        "dataset_name": "mouse",
        "dataset_id": server.dataset,
        "annotation_id": None,
        "export_file_name": "2026-11-23_10-22__mouse__color.ome.tif",
        "nd_bbox": {
            "topLeft": [8, 0, 1],
            "width": 40,
            "height": 32,
            "depth": 5,
            "additionalAxes": [],
            "axisOrder": {"c": 0, "x": 1, "y": 2, "z": 3},
        },
        "layer_name": "color",
        "annotation_layer_name": None,
        "mag": "1",
        "additional_coordinates": [],
        "compression": "",
        "wide": None,
        "levels": None,
        "mapping_name": None,
    }
    assert made["owner"]["id"] == "ann"
    assert made["sizeEstimate"] > 0
    assert made["timeEstimateSeconds"] > 0
    assert server.engine.started == [(made["id"], 1)]

    server.engine.run()
    done = server.ask("GET", f"/api/jobs/{made['id']}")
    assert (done["state"], done["progress"], done["message"]) == ("SUCCESS", 1, None)
    assert done["resultLink"] == f"/api/jobs/{made['id']}/export"
    assert done["resultExpires"] == NOW_MS + 7 * DAY_MS
    assert (done["started"], done["ended"]) == (NOW_MS, NOW_MS)
    file = server.client.get(done["resultLink"], headers=ANN, follow_redirects=True)
    assert file.headers["content-type"] == "image/tiff"
    assert file.headers["content-disposition"] == ('attachment; filename="2026-11-23_10-22__mouse__color.ome.tif"')
    assert len(file.content) == done["resultBytes"]
    with tifffile.TiffFile(io.BytesIO(file.content)) as tiff:
        assert np.array_equal(tiff.asarray(), COLOR[1:6, :32, 8:48])


def test_a_stack_and_a_coarser_mag(server: Server) -> None:
    job = server.done(asOmeTiff="false", mag="2-2-1")
    answer = server.client.get(f"/data/v14/exports/{job}/download", headers=ANN)
    assert answer.headers["content-disposition"].endswith('__mouse__color.zip"')
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        slices = [
            tifffile.imread(io.BytesIO(archive.read(name)))
            for name in sorted(archive.namelist())
            if name.endswith(".tif")
        ]
    assert np.array_equal(np.stack(slices), COLOR[1:6, :32:2, 8:48:2])


def test_a_volume_layer_of_an_annotation(server: Server) -> None:
    annotation = annotate(server, painted())
    job = server.done(
        "segmentation", annotationId=annotation, annotationLayerName="Volume", bbox="0,0,0,64,32,1", mag="1"
    )
    shown = server.ask("GET", f"/api/jobs/{job}")["commandArgs"]
    assert (shown["annotation_id"], shown["annotation_layer_name"]) == (annotation, "Volume")
    assert shown["export_file_name"] == "2026-11-23_10-22__mouse__Volume.ome.tif"
    content = server.client.get(f"/data/exports/{job}/download", headers=ANN).content
    found = tifffile.imread(io.BytesIO(content)).squeeze()
    assert np.array_equal(found[:, :32], SEGMENTS[0, :32, :32])
    assert np.array_equal(found[:, 32:], np.frombuffer(voxels(1), "<u4").reshape(32, 32, 32)[0])


def test_what_was_painted_is_never_left_out_in_silence(server: Server) -> None:
    annotation = annotate(server, painted())
    refused = server.refused("segmentation", annotationId=annotation, bbox="0,0,0,64,32,1", mag="1")
    assert "name 'Volume'" in refused
    server.done("color", annotationId=annotation)


@pytest.mark.parametrize("data_format", ["wkw", "zarr3"])
def test_an_annotation_as_a_whole(server: Server, data_format: str) -> None:
    annotation = annotate(server, painted())
    path = f"/api/jobs/run/exportAnnotation/{annotation}?volumeDataZipFormat={data_format}"
    made = server.ask("POST", path)
    assert made["command"] == "export_annotation"
    assert made["commandArgs"]["volume_data_zip_format"] == data_format
    server.engine.run()
    answer = server.client.get(f"/data/exports/{made['id']}/download", headers=ANN)
    assert answer.headers["content-disposition"].endswith('.zip"')
    assert annotate(server, answer.content) != annotation


def test_an_annotation_without_volumes_is_its_nml(server: Server) -> None:
    file = nml(skeleton='<thing id="1" name="t"><nodes><node id="1" x="1" y="2" z="3"/></nodes><edges/></thing>')
    annotation = annotate(server, file, "a?b.nml")
    made = server.ask("POST", f"/api/jobs/run/exportAnnotation/{annotation}")
    server.engine.run()
    answer = server.client.get(f"/data/exports/{made['id']}/download", headers=ANN)
    assert answer.content == file
    assert answer.headers["content-disposition"] == 'attachment; filename="a_b.nml"'


def test_an_estimate_tells_what_the_export_comes_to_and_begins_nothing(server: Server) -> None:
    path = f"/api/jobs/run/exportTiff/{server.dataset}/estimate"
    params = {"bbox": "1,0,0,63,48,8", "layerName": "color", "asOmeTiff": "true", "mag": "2-2-1"}
    found = server.ask("GET", path, params=params)
    assert found["sizeInMag"] == [32, 24, 8]
    assert found["sizeEstimate"] > 0
    assert found["timeEstimateSeconds"] > 0
    assert found["units"] >= 1
    assert server.ask("GET", "/api/jobs") == []
    server.ask("GET", path, status=400, params={**params, "bbox": "900,0,0,63,48,8"})
    server.ask("GET", path, BOB, params=params)


def test_additional_axes_are_named_or_at_their_first(server: Server, tmp_path: Path) -> None:
    frames = np.stack([ramp((16, 16, 4)) + number for number in range(3)]).astype("uint8")
    root = zarr.open_group(tmp_path / "data" / "film.ome.zarr", mode="w", zarr_format=2)
    root.create_array("0", shape=frames.shape, dtype=frames.dtype, chunks=(1, 4, 16, 16))[:] = frames
    axes = [{"name": "t", "type": "time"}, *({"name": axis, "type": "space"} for axis in "zyx")]
    place = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 1, 1, 1]}]}
    root.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": [place]}]
    register_below(tmp_path / "data" / "film.ome.zarr", server.machine.catalogue, 1, pytest.fail)
    (film,) = [record for record in server.machine.catalogue.all() if record.id != server.dataset]
    (layer,) = asyncio.run(server.machine.library.layer_names(Subject(film)))
    server.dataset = film.id
    third = json.dumps([{"name": "t", "value": 2}])
    for coordinates, number in ((None, 0), (third, 2)):
        job = server.done(layer, bbox="0,0,0,16,16,4", additionalCoordinates=coordinates)
        told = server.ask("GET", f"/api/jobs/{job}")["commandArgs"]["additional_coordinates"]
        assert told == [{"name": "t", "value": number}], "what was left open is said"
        content = server.client.get(f"/data/exports/{job}/download", headers=ANN).content
        assert np.array_equal(tifffile.imread(io.BytesIO(content)), frames[number])
    assert "from 0 to 2" in server.refused(layer, bbox="0,0,0,16,16,4", additionalCoordinates=third.replace("2", "3"))


# --- one request, one job ---


def test_the_same_request_twice_is_one_job(server: Server) -> None:
    first = server.submit()
    assert server.submit()["id"] == first["id"]
    # The finest mag is what is meant where none is named.
    assert server.submit(mag="1")["id"] == first["id"]
    assert len({first["id"], server.submit(mag="2-2-1")["id"], server.submit("segmentation")["id"]}) == 3
    assert server.submit(user=BOB)["id"] != first["id"]
    server.engine.run()
    # The data may have been replaced in place.
    again = server.submit()
    assert (again["id"] != first["id"], again["state"]) == (True, "PENDING")
    assert server.submit()["id"] == again["id"]


def test_other_data_is_another_export(server: Server, tmp_path: Path) -> None:
    first = server.submit()
    described = tmp_path / "data" / "mouse" / "datasource-properties.json"
    described.write_bytes(described.read_bytes() + b"\n")
    assert server.submit()["id"] != first["id"]


def test_a_key_of_the_callers_own_tells_requests_apart(server: Server) -> None:
    first = server.submit()
    mine = server.submit(headers={"Idempotency-Key": "run 7"})
    assert mine["id"] != first["id"]
    assert server.submit(headers={"Idempotency-Key": "run 7"})["id"] == mine["id"]
    assert server.submit(user=BOB, headers={"Idempotency-Key": "run 7"})["id"] != mine["id"]
    assert "another job" in server.refused(mag="2-2-1", headers={"Idempotency-Key": "run 7"})
    server.engine.run()
    assert server.submit(headers={"Idempotency-Key": "run 7"})["id"] == mine["id"]
    server.clock[0] += 8 * DAY_MS
    assert server.submit(headers={"Idempotency-Key": "run 7"})["id"] != mine["id"], "its result has expired"


def test_a_job_that_could_not_be_started_says_so(server: Server) -> None:
    server.engine.reachable = False
    assert server.submit(status=503)["type"] == "about:blank#source-unavailable"
    (job,) = server.ask("GET", "/api/jobs")
    assert (job["state"], job["message"]) == ("FAILURE", "the job could not be started: try it again")
    server.engine.reachable = True
    assert server.ask("PATCH", f"/api/jobs/{job['id']}/retry")["state"] == "PENDING"
    assert server.engine.started == [(job["id"], 2)]


# --- what becomes of a job ---


def test_a_cancelled_job_leaves_nothing_and_can_be_tried_again(server: Server, tmp_path: Path) -> None:
    job = server.submit()["id"]
    cancelled = server.ask("PATCH", f"/api/jobs/{job}/cancel")
    assert (cancelled["state"], cancelled["manualState"], cancelled["resultLink"]) == ("CANCELLED", "CANCELLED", None)
    assert server.engine.stopped == [(job, 1)]
    server.engine.run()
    assert server.ask("GET", f"/api/jobs/{job}")["state"] == "CANCELLED"
    assert list((tmp_path / "exports").iterdir()) == []
    assert "CANCELLED" in server.ask("PATCH", f"/api/jobs/{job}/cancel", status=400)["detail"]
    assert server.ask("GET", f"/api/jobs/{job}/export", status=404)["detail"] == (
        "this job was cancelled, so it has no result"
    )
    again = server.ask("PATCH", f"/api/jobs/{job}/retry")
    assert (again["id"], again["attempt"], again["state"], again["manualState"]) == (job, 2, "PENDING", None)
    server.engine.run()
    assert server.ask("GET", f"/api/jobs/{job}")["state"] == "SUCCESS"
    assert "SUCCESS" in server.ask("PATCH", f"/api/jobs/{job}/cancel", status=400)["detail"]
    assert "SUCCESS" in server.ask("PATCH", f"/api/jobs/{job}/retry", status=400)["detail"]


def test_a_failure_tells_why(server: Server, tmp_path: Path) -> None:
    job = server.submit()["id"]
    for file in (tmp_path / "data" / "mouse" / "color" / "1").rglob("x*.wkw"):
        file.write_bytes(file.read_bytes()[:100])
    server.engine.run()
    failed = server.ask("GET", f"/api/jobs/{job}")
    assert failed["state"] == "FAILURE"
    assert failed["message"].startswith("a stored file is damaged")
    assert failed["resultLink"] is None
    assert "failed" in server.ask("GET", f"/api/jobs/{job}/export", status=404)["detail"]


def test_what_cannot_be_read_is_said_when_it_is_submitted(server: Server, tmp_path: Path) -> None:
    for file in (tmp_path / "data" / "mouse" / "color" / "1").rglob("x*.wkw"):
        file.write_bytes(file.read_bytes()[:100])
    refused = server.submit(status=502)
    assert refused["type"] == "about:blank#damaged-source"
    assert "layer 'color', mag 1, color/1/z0/y0/x" in refused["detail"]
    assert server.ask("GET", "/api/jobs") == []


def test_what_was_submitted_anew_is_not_tried_again(server: Server) -> None:
    job = server.submit()["id"]
    server.ask("PATCH", f"/api/jobs/{job}/cancel")
    assert server.submit()["id"] != job
    assert "submitted again" in server.ask("PATCH", f"/api/jobs/{job}/retry", status=400)["detail"]


def test_a_result_is_not_there_before_the_end(server: Server) -> None:
    job = server.submit()["id"]
    for path in (f"/api/jobs/{job}/export", f"/data/exports/{job}/download"):
        answer = server.client.get(path, headers=ANN)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert "still running" in answer.json()["detail"]


def test_an_expired_result_says_that_it_expired(server: Server) -> None:
    job = server.done()
    server.clock[0] += 7 * DAY_MS
    for path in (f"/api/jobs/{job}/export", f"/data/exports/{job}/download"):
        assert "expired" in server.ask("GET", path, status=410)["detail"]
    shown = server.ask("GET", f"/api/jobs/{job}")
    assert (shown["state"], shown["resultLink"]) == ("SUCCESS", None)


def test_a_result_that_was_removed_too_early_says_so(server: Server, tmp_path: Path) -> None:
    job = server.done()
    (file,) = (tmp_path / "exports" / job).rglob("*.tif")
    file.unlink()
    assert "was removed" in server.ask("GET", f"/data/exports/{job}/download", status=410)["detail"]
    server.ask("DELETE", f"/api/jobs/{job}")
    assert server.submit()["id"] != job


def test_a_result_that_was_cut_short_is_not_sent(server: Server, tmp_path: Path) -> None:
    job = server.done()
    (file,) = (tmp_path / "exports" / job).rglob("*.tif")
    file.write_bytes(file.read_bytes()[:-1])
    assert server.ask("GET", f"/data/exports/{job}/download", status=502)["type"].endswith("damaged-source")


def test_a_removed_job_takes_its_result_along(server: Server, tmp_path: Path) -> None:
    job = server.submit()["id"]
    assert "cancel it first" in server.ask("DELETE", f"/api/jobs/{job}", status=400)["detail"]
    server.engine.run()
    server.ask("DELETE", f"/api/jobs/{job}")
    server.ask("GET", f"/api/jobs/{job}", status=404)
    assert list((tmp_path / "exports").iterdir()) == []


# --- lists and facts ---


def test_lists_are_newest_first_and_by_command(server: Server) -> None:
    annotation = annotate(server, painted())
    jobs = [server.submit()["id"]]
    server.clock[0] += 1000
    jobs.append(server.ask("POST", f"/api/jobs/run/exportAnnotation/{annotation}")["id"])
    assert [job["id"] for job in server.ask("GET", "/api/v14/jobs")] == jobs[::-1]
    assert [job["id"] for job in server.ask("GET", "/api/jobs?command=export_tiff")] == jobs[:1]
    assert server.ask("GET", "/api/jobs?command=infer_neurons") == []
    server.machine.catalogue.remove(server.dataset)
    assert len(server.ask("GET", "/api/jobs?skipForDeletedDatasets=false")) == 2
    assert server.ask("GET", "/api/jobs?skipForDeletedDatasets=true") == []
    assert server.ask("GET", "/api/jobs")[0]["commandArgs"]["dataset_name"] is None


def test_a_damaged_job_is_missing_from_lists(server: Server) -> None:
    jobs = [server.submit(mag=mag)["id"] for mag in ("1", "2-2-1")]
    spoil = in_file(server.machine.file, "jobs")
    for field, value in (("args", "{garbage"), ("args", '{"layer":7,"box":null,"mag":null,"extra":{}}'), ("kind", "?")):
        spoil(jobs[0], field, value)
        assert [job["id"] for job in server.ask("GET", "/api/jobs")] == jobs[1:]
        refused = server.ask("GET", f"/api/jobs/{jobs[0]}", status=500)
        assert refused["detail"] == "the row of this job cannot be read"


def test_status_counts_ones_own(server: Server) -> None:
    server.done()
    server.submit(mag="2-2-1")
    found = server.ask("GET", "/api/jobs/status")
    assert found["jobsByState"] == {"SUCCESS": 1, "PENDING": 1}
    assert "export_tiff" in found["workers"][0]["supportedJobCommands"]
    assert server.ask("GET", "/api/jobs/status", BOB)["jobsByState"] == {}


def test_features_tell_the_limits(server: Server, tmp_path: Path) -> None:
    assert server.ask("GET", "/api/features") == {
        "jobsEnabled": True,
        "exportTiffMaxVolumeMVx": 5 * 2**20,
        "exportTiffMaxEdgeLengthVx": 2**31 - 1,
    }
    narrow = make_server(tmp_path / "narrow", JobLimits(volume_mvx=1024, edge_vx=8192, store=SMALL))
    assert narrow.client.get("/api/features").json()["exportTiffMaxVolumeMVx"] == 1024
    narrow.machine.file.close()


# --- whose jobs ---

OF_A_JOB = [
    ("GET", "/api/jobs/{}"),
    ("PATCH", "/api/jobs/{}/cancel"),
    ("PATCH", "/api/jobs/{}/retry"),
    ("DELETE", "/api/jobs/{}"),
    ("GET", "/api/jobs/{}/export"),
    ("GET", "/data/exports/{}/download"),
]


@pytest.mark.parametrize(("method", "path"), OF_A_JOB, ids=str)
@pytest.mark.parametrize("ended", [False, True])
def test_a_job_is_its_owners_alone(server: Server, method: str, path: str, ended: bool) -> None:
    job = server.done() if ended else server.submit()["id"]
    before = server.ask("GET", f"/api/jobs/{job}")
    refused = server.ask(method, path.format(job), BOB, 404)
    unknown = server.ask(method, path.format("0" * 24), BOB, 404)
    assert {**refused, "instance": ""} == {**unknown, "instance": ""}
    server.ask(method, path.format(job), {}, 401)
    server.ask(method, path.format(job), {"X-Auth-Token": "nonsense"}, 401)
    assert server.ask("GET", "/api/jobs", BOB) == []
    assert server.ask("GET", f"/api/jobs/{job}") == before
    assert server.engine.stopped == server.engine.discarded == []


def test_only_the_owner_of_an_annotation_exports_it(server: Server) -> None:
    annotation = annotate(server, painted())
    missing = {"annotationId": annotation, "annotationLayerName": "Volume"}
    assert "no such dataset or annotation" in server.submit(user=BOB, status=404, **missing)["detail"]
    server.ask("POST", f"/api/jobs/run/exportAnnotation/{annotation}", BOB, 404)
    server.ask("POST", f"/api/jobs/run/exportAnnotation/{server.dataset}", ANN, 404)
    server.ask("POST", f"/api/jobs/run/exportAnnotation/{annotation}", {}, 401)
    server.submit(user={}, status=401)
    server.ask("GET", "/api/jobs", {}, 401)


def test_an_address_may_hold_the_token_where_a_browser_goes_by_itself(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    job = server.done()
    answer = server.client.get(f"/api/jobs/{job}/export?token=ann-token")
    assert answer.status_code == 303
    assert answer.headers["location"] == f"/data/exports/{job}/download?token=ann-token"
    assert (answer.headers["cache-control"], answer.headers["referrer-policy"]) == ("no-store", "no-referrer")
    assert server.client.get(answer.headers["location"]).status_code == 200
    by_header = server.client.get(f"/api/jobs/{job}/export", headers=ANN)
    assert by_header.headers["location"] == f"/data/exports/{job}/download"
    assert server.client.get(f"/data/exports/{job}/download?token=bob-token").status_code == 404
    assert server.client.get(f"/data/exports/{job}/download?token=").status_code == 401
    # Nowhere else is it taken.
    assert server.client.get(f"/api/jobs/{job}?token=ann-token").status_code == 401
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("zarrlink")]
    assert not any("-token" in message for message in ours)


def test_a_result_elsewhere_is_gone_to(server: Server) -> None:
    job = server.done()
    server.engine.signed = "https://bucket.example/exports/file?signature=secret"
    answer = server.client.get(f"/api/jobs/{job}/export?token=ann-token")
    assert (answer.status_code, answer.headers["location"]) == (303, server.engine.signed)


def test_the_table_of_renumbered_ids_is_fetched_beside_the_result(server: Server, tmp_path: Path) -> None:
    segments = np.zeros((16, 16, 16), "uint64")
    segments[4:8], segments[8:] = 2**40, 7
    write_tree(dataset(LayerFiles("cells", {ONE: segments}, category="segmentation")), tmp_path / "data" / "wide")
    register_below(tmp_path / "data" / "wide", server.machine.catalogue, 1, pytest.fail)
    (wide,) = [record for record in server.machine.catalogue.all() if record.id != server.dataset]
    plain = server.done("segmentation")
    server.dataset = wide.id
    made = server.submit("cells", bbox="0,0,0,16,16,16")
    assert (made["idsLink"], made["commandArgs"]["wide"]) == (None, "renumber")
    address = f"/api/jobs/{made['id']}/ids"
    server.ask("GET", address, status=503)
    server.engine.run()
    assert server.ask("GET", f"/api/jobs/{made['id']}")["idsLink"] == address
    answer = server.client.get(address + "?token=ann-token")
    assert (answer.status_code, answer.headers["location"]) == (303, f"/data/exports/{made['id']}/ids?token=ann-token")
    table = server.client.get(answer.headers["location"])
    assert table.text.splitlines() == ["id,stored_id", "1,7", f"2,{2**40}"]
    assert table.headers["content-type"].startswith("text/csv")
    assert table.headers["content-disposition"].endswith('.tif.ids.csv"')
    part = server.client.get(f"/data/exports/{made['id']}/ids", headers={**ANN, "Range": "bytes=0-1"})
    assert (part.status_code, part.content) == (206, b"id")
    server.ask("GET", address, BOB, 404)
    server.ask("GET", f"/data/exports/{made['id']}/ids", BOB, 404)
    server.engine.signed = "https://bucket.example/exports/file"
    answer = server.client.get(address, headers=ANN)
    assert answer.headers["location"] == "https://bucket.example/exports/file.ids.csv"
    assert server.ask("GET", f"/api/jobs/{plain}")["idsLink"] is None
    assert "no table" in server.ask("GET", f"/api/jobs/{plain}/ids", status=404)["detail"]


# --- what cannot be exported ---

BAD: dict[str, tuple[dict[str, Any], int, str]] = {
    "no box": ({"bbox": None}, 400, "bbox"),
    "five numbers": ({"bbox": "1,2,3,4,5"}, 400, "six whole numbers"),
    "words": ({"bbox": "1,2,3,4,5,x"}, 400, "not a box"),
    "nothing": ({"bbox": "1,2,3,4,5,0"}, 400, "positive side lengths"),
    "absurd": ({"bbox": f"0,0,0,{10**14},1,1"}, 400, "too large a number"),
    "outside": ({"bbox": "1000,0,0,1,1,1"}, 400, "lies outside of layer 'color', which is [0, 0, 0, 64, 48, 8]"),
    "partly outside": ({"bbox": "60,40,0,10,10,8"}, 400, "the part inside is [60, 40, 0, 4, 8, 8]"),
    "no such mag": ({"mag": "4"}, 400, "has no mag 4; it has 1, 2-2-1"),
    "no mag": ({"mag": "one"}, 400, "is not a mag"),
    "no layer": ({"layerName": None}, 400, "name a layer"),
    "no such layer": ({"layerName": "em"}, 422, "layer 'em': the dataset has no such layer"),
    "neither format": ({"asOmeTiff": None}, 400, "asOmeTiff"),
    "some format": ({"asOmeTiff": "jpeg"}, 400, "asOmeTiff"),
    "compression": ({"compression": "lzw"}, 400, "compression"),
    "zstd in a stack": ({"compression": "zstd", "asOmeTiff": "false"}, 400, "ImageJ opens no zstd"),
    "wide": ({"wide": "fat"}, 400, "wide"),
    "levels": ({"levels": "0"}, 400, "1 to 32 levels"),
    "levels in words": ({"levels": "all"}, 400, "levels"),
    "no such axis": ({"additionalCoordinates": '[{"name":"t","value":3}]'}, 400, "no additional axis 't'"),
    "axis twice": ({"additionalCoordinates": '[{"name":"t","value":3},{"name":"t","value":4}]'}, 400, "each axis once"),
    "no coordinates": ({"additionalCoordinates": '{"t":3}'}, 400, "each axis once"),
    "an object": ({"additionalCoordinates": "{}"}, 400, "each axis once"),
    "deep": ({"additionalCoordinates": "[" * 4000}, 400, "each axis once"),
    "a truth": ({"additionalCoordinates": '[{"name":"t","value":true}]'}, 400, "each axis once"),
    "no such mapping": ({"layerName": "segmentation", "mappingName": "x"}, 422, "segmentation"),
    "no such annotation": ({"annotationId": "0" * 24}, 404, "no such dataset or annotation"),
    "a long key": ({"headers": {"Idempotency-Key": "x" * 256}}, 400, "idempotency-key"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_exported_is_refused_at_once(server: Server, name: str) -> None:
    params, status, sentence = BAD[name]
    assert sentence.lower() in server.refused(**params, status=status).lower()
    assert server.ask("GET", "/api/jobs") == []
    assert server.engine.started == []


def test_unknown_datasets_and_those_of_other_annotations_are_refused(server: Server) -> None:
    params = {"bbox": BOX, "layerName": "color", "asOmeTiff": "true"}
    for unknown in ("0" * 24, "nonsense"):
        server.ask("POST", f"/api/jobs/run/exportTiff/{unknown}", status=404, params=params)
    annotation = annotate(server, painted())
    path = f"/api/jobs/run/exportTiff/{'0' * 24}"
    refused = server.ask("POST", path, status=400, params={**params, "annotationId": annotation})
    assert "another dataset" in refused["detail"]


def test_what_is_more_than_allowed_names_the_mag_that_fits(tmp_path: Path) -> None:
    server = make_server(tmp_path, JobLimits(edge_vx=30, store=SMALL))
    assert server.refused(bbox="0,0,0,60,48,8") == (
        "the box's longest side has 60 voxels, more than the 30 that are allowed here: mag 2-2-1 fits"
    )
    assert server.submit(bbox="0,0,0,60,48,8", mag="2-2-1")["state"] == "PENDING"
    assert server.refused(bbox="0,0,0,64,48,8", mag="2-2-1").endswith("choose a smaller box")
    server.machine.file.close()
    server = make_server(tmp_path / "other", JobLimits(volume_mvx=0, store=SMALL))
    assert "voxels, more than the 0 that are allowed here: choose a smaller box" in server.refused()
    server.machine.file.close()


def test_what_fits_once_it_is_compressed_is_not_refused(tmp_path: Path) -> None:
    """Tiles of the box have 2 MiB, of which a twentieth is stored: a few samples tell."""
    server = make_server(tmp_path, JobLimits(store=replace(SMALL, object_bytes=200_000)))
    assert server.submit()["sizeEstimate"] < 200_000
    sentence = server.refused(compression="none")
    assert "the file would have about" in sentence
    assert "more than the 200000 of an object: choose a smaller box" in sentence
    server.machine.file.close()


def test_an_owner_has_so_many_jobs_at_the_same_time(tmp_path: Path) -> None:
    server = make_server(tmp_path, JobLimits(running=2, store=SMALL))
    first, second = server.submit()["id"], server.submit(mag="2-2-1")["id"]
    refused = server.submit("segmentation", status=429)
    assert refused["detail"] == "2 of your jobs run already, and at most 2 may: wait for one, or cancel it"
    # Those that are there already are no more jobs, and others have their own number.
    assert server.submit()["id"] == first
    assert server.submit("segmentation", user=BOB)["state"] == "PENDING"
    server.ask("PATCH", f"/api/jobs/{second}/cancel")
    server.submit("segmentation")
    assert server.ask("PATCH", f"/api/jobs/{second}/retry", status=429)["title"].startswith("Too many")
    server.machine.file.close()


# --- ranges ---


@pytest.fixture
def result(server: Server) -> tuple[str, bytes]:
    """The address of a result, and all of it."""
    path = f"/data/exports/{server.done()}/download"
    return path, server.client.get(path, headers=ANN).content


def test_a_download_goes_on_where_it_broke_off(server: Server, result: tuple[str, bytes]) -> None:
    path, whole = result
    first = server.client.get(path, headers={**ANN, "Range": "bytes=0-99"})
    assert (first.status_code, first.headers["content-range"]) == (206, f"bytes 0-99/{len(whole)}")
    etag = first.headers["etag"]
    rest = server.client.get(path, headers={**ANN, "Range": "bytes=100-", "If-Range": etag})
    assert rest.status_code == 206
    assert first.content + rest.content == whole
    last = server.client.get(path, headers={**ANN, "Range": "bytes=-7"})
    assert (last.content, last.headers["content-length"]) == (whole[-7:], "7")
    # Of another file it is no continuation: all of it is sent.
    other = server.client.get(path, headers={**ANN, "Range": "bytes=100-", "If-Range": '"another"'})
    assert (other.status_code, other.content) == (200, whole)


def test_ranges_that_hold_nothing_are_refused(server: Server, result: tuple[str, bytes]) -> None:
    path, whole = result
    answer = server.client.get(path, headers={**ANN, "Range": f"bytes={len(whole)}-"})
    assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{len(whole)}")


def test_head_tells_what_get_would(server: Server, result: tuple[str, bytes]) -> None:
    path, whole = result
    head = server.client.head(path, headers=ANN)
    get = server.client.get(path, headers=ANN)
    assert (head.status_code, head.content) == (200, b"")
    assert dict(head.headers) == dict(get.headers)
    assert head.headers["accept-ranges"] == "bytes"
    assert int(head.headers["content-length"]) == len(whole)
    unchanged = server.client.get(path, headers={**ANN, "If-None-Match": get.headers["etag"]})
    assert (unchanged.status_code, unchanged.content) == (304, b"")


# --- a server without jobs ---


def test_a_server_without_jobs_says_so(tmp_path: Path) -> None:
    server = make_server(tmp_path)
    services: ApiServices = server.client.app._api.state.services  # type: ignore[attr-defined]
    bare = {name: getattr(services, name) for name in ApiServices.__dataclass_fields__} | {"jobs": None}
    server.client = TestClient(ApiDoor(create_api(ApiServices(**bare))), raise_server_exceptions=False)
    for method, path in (("GET", "/api/jobs"), ("POST", "/api/jobs/run/exportTiff/x"), ("PATCH", "/api/jobs/x/cancel")):
        assert server.ask(method, path, status=404)["detail"] == "this zarrlink runs no jobs, so it makes no exports"
        server.ask(method, path, {}, 401)
    assert server.ask("GET", "/api/features")["jobsEnabled"] is False
    server.machine.file.close()


def test_the_description_of_the_api_knows_the_routes(server: Server) -> None:
    described = json.loads(server.client.get("/api/openapi.json").content)
    known = set(described["paths"])
    assert {"/api/jobs", "/api/jobs/{job_id}/export", "/data/exports/{job_id}/download", "/api/features"} <= known
    given = described["paths"]["/api/jobs/run/exportTiff/{dataset_id}"]["post"]["parameters"]
    assert {"bbox", "asOmeTiff", "layerName", "Idempotency-Key"} <= {parameter["name"] for parameter in given}
