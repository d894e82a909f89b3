"""The table of docs/permissions.md, cell by cell: every role, visibility and route that names an id.

What is refused must be answered as what is not there, so each refusal is compared with that of an id that nothing has.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pytest
from fastapi import FastAPI
from starlette.routing import Route
from starlette.testclient import TestClient

from builders.annotation_zips import Volume, annotation_zip, nml, voxels, wkw_data, zip_of
from builders.export_engine import PatientEngine
from builders.export_runs import SMALL
from builders.moto_aws import moto_aws
from builders.wkw_files import LayerFiles, dataset, ramp, write_tree
from zarrlink.annotations.downloads import StreamedDownloads
from zarrlink.annotations.large_uploads import LargeUploads
from zarrlink.annotations.shelf import Upload
from zarrlink.aws_tables import ANNOTATIONS
from zarrlink.catalogue.annotations import AnnotationRecord
from zarrlink.catalogue.changes import Changes
from zarrlink.catalogue.uploads_dynamodb import DynamoUploads, UploadRecord
from zarrlink.exports.args import ExportArgs
from zarrlink.exports.store_files import FolderStore
from zarrlink.geometry import BoundingBox, Mag
from zarrlink.http.api import ApiServices, create_api
from zarrlink.http.api_door import ApiDoor
from zarrlink.http.cutout_api import create_cutout_routes
from zarrlink.http.webknossos_api import create_webknossos_routes
from zarrlink.http.webknossos_zarr import create_zarr_routes
from zarrlink.jobs.limits import JobLimits
from zarrlink.jobs.model import Job, State
from zarrlink.jobs.service import JobService
from zarrlink.jobs.sqlite import SqliteJobs
from zarrlink.links.model import Link, new_link_id
from zarrlink.users.interface import User, hash_user_token
from zarrlink.view import View
from zarrlink_local.machine import Machine, open_machine

NOW_MS: Final = 1_795_429_320_000
SEGMENTS: Final = ramp((64, 64, 64), "uint32")
LINKS: Final = "/api/zarrPrivateLinks"
SIGNED_IN: Final = ("member", "collaborator", "owner", "admin")
ROLES: Final = ("stranger", *SIGNED_IN)
VISIBILITIES: Final = ("private", "organization", "public")

# --- the table ---

READERS: Final = {
    "private": {"collaborator", "owner", "admin"},
    "organization": {"member", "collaborator", "owner", "admin"},
    "public": {"stranger", "member", "collaborator", "owner", "admin"},
}
CHANGERS: Final = {"owner", "admin"}
# Whoever made a link, job or upload is nothing else to what it is of: no owner, no collaborator, no admin.
WITH_MAKER: Final = (*ROLES, "maker")


@dataclass(frozen=True)
class Row:
    """A request about a thing. `{id}`, `{name}`: the thing's; the rest as in `ARRAY`. `refused`: the status where one may not.

    `may`: read, make (read, but signed in), change; of what somebody made: see, own, redo (own, and read what it is of).
    """

    method: str
    route: str
    of: str
    may: str
    json: Any = None
    params: Any = None
    refused: int = 404
    # Of who may: 404 where there is nothing of the kind in the thing itself.
    answered: tuple[int, ...] = (200, 303)

    @property
    def roles(self) -> tuple[str, ...]:
        return WITH_MAKER if self.may in ("see", "own", "redo") else ROLES

    def allows(self, role: str, visibility: str) -> bool:
        if self.may in ("own", "redo"):
            # The maker is a member.
            return role == "maker" and (self.may == "own" or "member" in READERS[visibility])
        if self.may == "see":
            return role in CHANGERS | {"maker"}
        allowed = CHANGERS if self.may == "change" else READERS[visibility]
        return role in allowed and not (self.may == "make" and role == "stranger")


TIFF: Final = {"bbox": "0,0,0,8,8,8", "asOmeTiff": "true", "layerName": "seg"}
CUT: Final = {"x": 0, "y": 0, "z": 0, "width": 4, "height": 4, "depth": 4}
DATASET_ID, ANNOTATION_ID = "/api/datasets/{dataset_id}", "/api/annotations/{annotation_id}"
ARRAY: Final = {"layer": "seg", "mag": "1", "key": "0.1.0.0", "document": "zarr.json"}
STREAMS: Final = tuple(
    Row("GET", f"{root}/{below}", of, "read", refused=410, answered=(404,) if below == ".zgroup" else (200,))
    for word in ("zarr", "zarr3_experimental")
    for root, of in (
        (f"/data/{word}/{{dataset_id}}", "dataset"),
        (f"/data/annotations/{word}/{{annotation_id}}", "annotation"),
    )
    # Without a version it is Zarr v3, which has no `.zgroup`.
    for below in ("datasource-properties.json", ".zgroup", "{layer}/{document}", "{layer}/{mag}/{key}")
)

TABLE: Final = (
    # datasets
    Row("GET", DATASET_ID, "dataset", "read"),
    Row("PATCH", DATASET_ID, "dataset", "change", json={"tags": ["new"]}),
    Row("DELETE", DATASET_ID, "dataset", "change"),
    Row("POST", f"{DATASET_ID}/replaced", "dataset", "change"),
    Row("POST", f"{DATASET_ID}/view", "dataset", "read"),
    Row("GET", "/api/datasets/disambiguate/{organization}/{name}/toId", "dataset", "read"),
    *STREAMS,
    Row("GET", "/data/datasets/{dataset_id}/layers/{layer}/data", "dataset", "read", params=CUT),
    Row("POST", "/api/jobs/run/exportTiff/{dataset_id}", "dataset", "make", params=TIFF),
    Row("GET", "/api/jobs/run/exportTiff/{dataset_id}/estimate", "dataset", "make", params=TIFF),
    # annotations
    Row("GET", f"{ANNOTATION_ID}/info", "annotation", "read"),
    Row("PATCH", ANNOTATION_ID, "annotation", "change", json={"tags": ["new"]}),
    Row("DELETE", ANNOTATION_ID, "annotation", "change"),
    Row("POST", f"{ANNOTATION_ID}/view", "annotation", "read"),
    Row("GET", f"{ANNOTATION_ID}/download", "annotation", "read"),
    Row("GET", "/api/annotations/{kind}/{annotation_id}/download", "annotation", "read"),
    Row("POST", "/api/jobs/run/exportAnnotation/{annotation_id}", "annotation", "make"),
    # links, of somebody who may not read what they open any more; but for what is public or shared with all
    Row("GET", f"{LINKS}/{{link_id}}", "link", "see"),
    Row("DELETE", f"{LINKS}/{{link_id}}", "link", "see"),
    Row("PUT", f"{LINKS}/{{link_id}}", "link", "own", json={"name": "new"}),
    # jobs and uploads
    Row("GET", "/api/jobs/{job_id}", "job", "own"),
    Row("PATCH", "/api/jobs/{job_id}/cancel", "job", "own"),
    Row("PATCH", "/api/jobs/{job_id}/retry", "failed job", "redo"),
    Row("DELETE", "/api/jobs/{job_id}", "ended job", "own"),
    Row("GET", "/api/jobs/{job_id}/export", "ended job", "own"),
    Row("GET", "/data/exports/{job_id}/download", "ended job", "own"),
    # This one renumbered no ids.
    Row("GET", "/api/jobs/{job_id}/ids", "ended job", "own", answered=(404,)),
    Row("GET", "/data/exports/{job_id}/ids", "ended job", "own", answered=(404,)),
    Row("GET", "/api/annotations/uploads/{upload_id}", "upload", "own"),
    Row("POST", "/api/annotations/uploads/{upload_id}/complete", "upload", "own", json={"parts": []}),
    Row("DELETE", "/api/annotations/uploads/{upload_id}", "upload", "own"),
)

# --- what it is tried on ---

TOKEN: Final = "token of {}"


@dataclass
class World:
    """The API with all of its routes, one dataset and one annotation in the folders of which many records lie.

    Each cell has a thing of its own, which its request may change or remove.
    """

    app: FastAPI
    client: TestClient
    machine: Machine
    jobs: SqliteJobs
    uploads: DynamoUploads
    store: FolderStore
    folder: Path
    painted: AnnotationRecord

    def dataset(self, visibility: str, tags: tuple[str, ...] = ()) -> str:
        number = next(NUMBERS)
        place = self.folder / str(number)
        place.symlink_to(self.folder.parent / "mouse")
        about = Changes(
            name=f"mouse {number}",
            tags=tags,
            visibility=visibility,  # type: ignore[arg-type]
            collaborators=("collaborator",),
        )
        return self.machine.catalogue.register("", str(place), 1, owner="owner", about=about).id

    def annotation(self, visibility: str, tags: tuple[str, ...] = (), dataset: str = "") -> str:
        record = replace(
            self.painted,
            id=f"{next(NUMBERS):024x}",
            owner="owner",
            tags=tags,
            dataset=dataset,
            visibility=visibility,
            collaborators=("collaborator",),
        )
        assert self.machine.shelf.annotations.add(record)
        return record.id

    def link(self, dataset: str, annotation: str = "", owner: str = "maker") -> str:
        view = View(dataset, ("seg",), annotation=annotation)
        link = Link(new_link_id(), owner, view, {"seg": "f"}, "", "", 1, NOW_MS + 10**9)
        self.machine.links.add(link)
        return link.id

    def job(self, dataset: str, state: State) -> str:
        number = next(NUMBERS)
        made = Job(f"{number:024x}", "maker", "ome_tiff", dataset, "", ARGS, "mouse.ome.tif", f"{number}", 1)
        self.jobs.add(made)
        if state != "PENDING":
            facts: dict[str, Any] = {"result_bytes": 4} if state == "SUCCESS" else {}
            assert self.jobs.start(made.id, 1, 1)
            assert self.jobs.end(made.id, 1, state, 1, **facts)
            path = self.store.path(made)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"TIFF")
        return made.id

    def upload(self) -> str:
        upload_id = f"{next(NUMBERS):024x}"
        self.uploads.add(UploadRecord(upload_id, "maker", "cells.zip", 10, "", "0" * 24, "multipart", 1))
        return upload_id

    def thing(self, row: Row, visibility: str) -> dict[str, str]:
        """A new one: what its places in the route's address are filled with."""
        if row.of == "annotation":
            return {"annotation_id": self.annotation(visibility), "kind": "Task"}
        if row.of == "upload":
            return {"upload_id": self.upload()}
        dataset_id = self.dataset(visibility)
        if row.of == "link":
            return {"link_id": self.link(dataset_id)}
        states: dict[str, State] = {"job": "PENDING", "failed job": "FAILURE", "ended job": "SUCCESS"}
        if row.of in states:
            return {"job_id": self.job(dataset_id, states[row.of])}
        name = self.machine.catalogue.get(dataset_id)
        assert name is not None
        return {"dataset_id": dataset_id, "organization": "zarrlink", "name": name.name}

    def ask(self, role: str, method: str, path: str, **more: Any) -> Any:
        headers = {} if role == "stranger" else {"X-Auth-Token": TOKEN.format(role)}
        return self.client.request(method, path, headers=headers, **more)


NUMBERS: Final = itertools.count(1)
ARGS: Final = ExportArgs(layer="seg", box=BoundingBox((0, 0, 0), (8, 8, 8)), mag=Mag(1, 1, 1)).to_json()
NO_THING: Final = {
    "dataset_id": "0" * 24,
    "annotation_id": "0" * 24,
    "link_id": "A" * 16,
    "job_id": "0" * 24,
    "upload_id": "0" * 24,
    "name": "no such mouse",
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("permissions")
    seg = LayerFiles("seg", {Mag(1, 1, 1): SEGMENTS}, category="segmentation", block_side=32, file_side=2)
    write_tree(dataset(seg), folder / "mouse")
    (folder / "records").mkdir()
    machine = open_machine(folder / "state.sqlite", (), (folder,))
    for name in (*SIGNED_IN, "maker"):
        machine.users.add(User(name, 1, is_admin=name == "admin"), hash_user_token(TOKEN.format(name)))
    jobs, store = SqliteJobs(machine.file), FolderStore(folder / "exports")
    engine = PatientEngine(jobs, machine.library, store, lambda: NOW_MS)
    limits = JobLimits(running=10**6, store=SMALL)
    with moto_aws() as aws:
        uploads = DynamoUploads(aws.client("dynamodb"), aws.new_table(ANNOTATIONS))
        large = LargeUploads(uploads, aws.client("s3"), aws.new_bucket(), limit_bytes=100, start_import=lambda _: None)
        services = ApiServices(
            library=machine.library,
            catalogue=machine.catalogue,
            shelf=machine.shelf,
            downloads=StreamedDownloads(machine.library.holdings),
            links=machine.links,
            users=machine.users,
            keys=machine.keys,
            now_ms=lambda: NOW_MS,
            public_url="https://links.example",
            uploads=large,
            jobs=JobService(jobs, engine, machine.library, limits, lambda: NOW_MS),
            open_result=store.path,
        )
        app = create_api(
            services,
            create_cutout_routes(machine.library),
            create_webknossos_routes(machine.library, machine.catalogue, "https://links.example"),
            create_zarr_routes(machine.library),
        )
        client = TestClient(ApiDoor(app), raise_server_exceptions=False, follow_redirects=False)
        data = zip_of(wkw_data({"1": {(1, 0, 0): voxels(1)}}))
        with (folder / "cells.zip").open("w+b") as file:
            file.write(annotation_zip(Volume(name="seg", data=data)))
            painted = machine.shelf.add(Upload(file, "cells.zip", "owner", folder), 1, lambda *_: None)
        machine.shelf.annotations.remove(painted.id)
        yield World(app, client, machine, jobs, uploads, store, folder / "records", painted)
    machine.file.close()


# --- cell by cell ---

CELLS: Final = [
    pytest.param(row, role, visibility, id=f"{row.method} {row.route} by {role}, {visibility}")
    for row in TABLE
    for visibility in VISIBILITIES
    for role in row.roles
]


@pytest.mark.parametrize(("row", "role", "visibility"), CELLS)
def test_whoever_may_is_answered_and_to_all_others_it_is_not_there(
    world: World, row: Row, role: str, visibility: str
) -> None:
    thing = {**ARRAY, **world.thing(row, visibility)}
    answer = world.ask(role, row.method, row.route.format(**thing), json=row.json, params=row.params)
    if row.allows(role, visibility):
        # Of the upload, whose parts are missing, it says so.
        assert answer.status_code in row.answered or "name the parts" in answer.json()["detail"], answer.text
        return
    assert answer.status_code == (401 if role == "stranger" else row.refused)
    if (role, row.may) == ("maker", "redo"):
        return  # The job is there; what it was of is not, as if it were removed.
    unknown = world.ask(role, row.method, row.route.format(**{**thing, **NO_THING}), json=row.json, params=row.params)
    assert answer.status_code == unknown.status_code
    assert {**answer.json(), "instance": ""} == {**unknown.json(), "instance": ""}
    told = {name: value for name, value in answer.headers.items() if name != "content-length"}
    assert told == {name: value for name, value in unknown.headers.items() if name != "content-length"}


# What an id says nothing about, or is not asked for: whether it is there decides nothing.
WITHOUT_A_CELL: Final = {
    # Lists, tested below.
    ("GET", f"{LINKS}/byAnnotation/{{source_id}}"),
    ("GET", f"{LINKS}/byDataset/{{source_id}}"),
}


def test_no_route_is_forgotten(world: World) -> None:
    with_an_id = {
        (method, route.path)
        for route in world.app.state.routes
        if isinstance(route, Route) and "{" in route.path
        for method in route.methods or ()
        if method != "HEAD"
    }
    assert with_an_id == {(row.method, row.route) for row in TABLE} | WITHOUT_A_CELL


# --- ids in bodies, and lists ---


@pytest.mark.parametrize("visibility", VISIBILITIES)
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("of", ["dataset", "annotation"])
def test_links_are_made_by_whoever_may_read(world: World, of: str, role: str, visibility: str) -> None:
    known = world.dataset(visibility) if of == "dataset" else world.annotation(visibility)
    answer, unknown = (world.ask(role, "POST", LINKS, json={of: given}) for given in (known, "0" * 24))
    if role in READERS[visibility] - {"stranger"}:
        assert answer.status_code == 200, answer.text
        return
    assert answer.status_code == (401 if role == "stranger" else 404)
    assert {**answer.json(), "instance": ""} == {**unknown.json(), "instance": ""}


@pytest.mark.parametrize("visibility", VISIBILITIES)
@pytest.mark.parametrize("role", SIGNED_IN)
def test_annotations_are_imported_to_what_one_may_read(world: World, role: str, visibility: str) -> None:
    def answers(dataset_id: str) -> Iterator[Any]:
        file = {"file": ("cells.nml", nml())}
        yield world.ask(role, "POST", "/api/annotations/upload", files=file, data={"datasetId": dataset_id})
        body = {"name": "cells.zip", "bytes": 1, "datasetId": dataset_id}
        yield world.ask(role, "POST", "/api/annotations/uploads", json=body)

    for answer, unknown in zip(answers(world.dataset(visibility)), answers("0" * 24), strict=True):
        if role in READERS[visibility]:
            assert answer.status_code == 200, answer.text
        else:
            assert answer.status_code == 400
            assert {**answer.json(), "instance": ""} == {**unknown.json(), "instance": ""}


@pytest.mark.parametrize("visibility", VISIBILITIES)
@pytest.mark.parametrize("role", ROLES)
def test_lists_hold_what_one_may_read_and_say_what_one_may_change(world: World, role: str, visibility: str) -> None:
    tag = f"tag {next(NUMBERS)}"
    for path, thing in (
        ("/api/datasets", world.dataset(visibility, (tag,))),
        ("/api/annotations/readable", world.annotation(visibility, (tag,))),
    ):
        listed = world.ask(role, "GET", path, params={"tag": tag}).json()
        assert [found["id"] for found in listed] == ([thing] if role in READERS[visibility] else [])
        for found in listed:
            expected = {"isEditable": role in CHANGERS, "isPublic": visibility == "public", "visibility": visibility}
            assert expected.items() <= found.items()
            assert found["collaborators"] == (["collaborator"] if role in CHANGERS else [])


@pytest.mark.parametrize("visibility", VISIBILITIES)
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("of", ["dataset", "annotation"])
def test_owners_are_listed_all_links_and_others_their_own(world: World, of: str, role: str, visibility: str) -> None:
    by = f"{LINKS}/by{of.capitalize()}"
    if role == "stranger":
        assert world.ask(role, "GET", f"{by}/{'0' * 24}").status_code == 401
        return
    dataset_id = world.dataset(visibility) if of == "dataset" else ""
    annotation_id = world.annotation(visibility) if of == "annotation" else ""
    links = {maker: world.link(dataset_id, annotation_id, maker) for maker in (role, "maker")}
    listed = world.ask(role, "GET", f"{by}/{dataset_id or annotation_id}").json()
    assert {link["id"] for link in listed} == (set(links.values()) if role in CHANGERS else {links[role]})
    assert {link["owner"] for link in listed} == ({role, "maker"} if role in CHANGERS else {role})
    assert world.ask(role, "GET", f"{by}/{'0' * 24}").json() == []


@pytest.mark.parametrize("role", ROLES)
def test_nobody_is_told_who_else_there_is(world: World, role: str) -> None:
    for path in ("/api/users", "/api/users/owner", "/api/user/owner"):
        answers = [world.ask(role, method, path) for method in ("GET", "POST", "PATCH", "DELETE")]
        assert {answer.status_code for answer in answers} == {404}
        assert "no such route" in answers[0].json()["detail"]


# --- what follows from it ---


def test_who_lost_a_dataset_keeps_a_link_and_cannot_extend_it(world: World) -> None:
    dataset_id = world.dataset("organization")
    path = f"{LINKS}/{world.link(dataset_id)}"
    later = {"expirationDateTime": NOW_MS + 10**12}
    assert world.ask("maker", "PUT", path, json=later).status_code == 200
    assert world.ask("owner", "PATCH", f"/api/datasets/{dataset_id}", json={"visibility": "private"}).status_code == 200
    for expiry in (None, NOW_MS + 10**12 + 1):
        refused = world.ask("maker", "PUT", path, json={"expirationDateTime": expiry})
        assert refused.status_code == 404
        assert "cannot be extended" in refused.json()["detail"]
    assert world.ask("maker", "PUT", path, json={"expirationDateTime": NOW_MS, "name": "short"}).status_code == 200
    # Of one that was removed the same is said.
    assert world.ask("owner", "DELETE", f"/api/datasets/{dataset_id}").status_code == 200
    gone = world.ask("maker", "PUT", path, json={"expirationDateTime": None})
    assert {**gone.json(), "instance": ""} == {**refused.json(), "instance": ""}


def test_a_secret_is_not_told_to_who_may_not_read_all_that_it_opens(world: World) -> None:
    """The owner of a dataset sees, and may revoke, a link to somebody's private annotation of it."""
    dataset_id = world.dataset("public")
    annotation_id = world.annotation("private", dataset=dataset_id)
    assert world.machine.shelf.annotations.remove(annotation_id)
    world.machine.shelf.annotations.add(replace(world.painted, id=annotation_id, owner="maker", dataset=dataset_id))
    link = world.link(dataset_id, annotation_id)
    (seen,) = world.ask("owner", "GET", f"{LINKS}/byDataset/{dataset_id}").json()
    assert (seen["id"], seen["owner"], seen["annotation"]) == (link, "maker", None)
    assert seen["dataset"] == dataset_id
    assert (seen["accessToken"], seen["page"], seen["layers"], seen["scope"]["layers"]) == ("", "", [], [])
    (told,) = world.ask("admin", "GET", f"{LINKS}/byDataset/{dataset_id}").json()
    assert told["annotation"] == annotation_id
    assert told["accessToken"] in told["page"]
    (seen,) = world.ask("maker", "GET", f"{LINKS}/byAnnotation/{annotation_id}").json()
    assert seen == told
    assert world.ask("owner", "DELETE", f"{LINKS}/{link}").status_code == 200


def test_the_owner_of_an_annotation_is_not_told_of_a_hidden_dataset_below(world: World) -> None:
    dataset_id, annotation_id = world.dataset("private"), world.annotation("organization")
    assert world.machine.shelf.annotations.remove(annotation_id)
    world.machine.shelf.annotations.add(replace(world.painted, id=annotation_id, owner="member", dataset=dataset_id))
    world.link(dataset_id, annotation_id, "collaborator")
    (seen,) = world.ask("member", "GET", f"{LINKS}/byAnnotation/{annotation_id}").json()
    assert (seen["annotation"], seen["dataset"], seen["layers"], seen["page"]) == (annotation_id, "", [], "")


def test_an_annotation_of_a_hidden_dataset_is_one_of_none(world: World) -> None:
    hidden, gone = (
        world.annotation("organization", dataset=dataset_id) for dataset_id in (world.dataset("private"), "0" * 24)
    )
    for path in ("info", "view"):
        method = "POST" if path == "view" else "GET"
        answers = [world.ask("member", method, f"/api/annotations/{it}/{path}") for it in (hidden, gone)]
        assert [answer.status_code for answer in answers] == [200, 200]
    assert world.ask("member", "GET", f"/api/annotations/{hidden}/info").json()["dataSetId"] is None
    assert world.ask("owner", "GET", f"/api/annotations/{hidden}/info").json()["dataSetId"] is not None
    params = {**TIFF, "bbox": "32,0,0,8,8,8", "annotationId": hidden, "annotationLayerName": "seg"}
    job = world.ask("member", "POST", f"/api/jobs/run/exportTiff/{hidden}", params=params).json()
    assert "commandArgs" in job, job
    assert job["commandArgs"]["dataset_id"] is None
    assert job["commandArgs"]["dataset_name"] is None


def test_a_job_says_nothing_of_a_dataset_that_was_hidden_since(world: World) -> None:
    dataset_id = world.dataset("organization")
    job = world.ask("member", "POST", f"/api/jobs/run/exportTiff/{dataset_id}", params=TIFF).json()
    assert job["commandArgs"]["dataset_name"] is not None
    world.ask("owner", "PATCH", f"/api/datasets/{dataset_id}", json={"visibility": "private", "name": "secret"})
    listed = {found["id"]: found for found in world.ask("member", "GET", "/api/jobs").json()}
    for found in (world.ask("member", "GET", f"/api/jobs/{job['id']}").json(), listed[job["id"]]):
        assert found["commandArgs"]["dataset_name"] is None
