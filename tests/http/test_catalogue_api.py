"""Datasets and annotations as people find, describe, share and look at them through the API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from builders.annotation_zips import TREE, nml
from builders.wkw_files import LayerFiles, dataset, ramp, write_tree
from zarrlink.geometry import Mag
from zarrlink.links.previews import LASTS_MS, PREVIEWER, SHARED_MS
from zarrlink.users.interface import User, hash_user_token
from zarrlink_local.machine import Machine, now_ms, open_machine
from zarrlink_local.scan import register_below
from zarrlink_local.server import create_app

ADMIN, ANN = {"X-Auth-Token": "root-token"}, {"X-Auth-Token": "ann-token"}
DATASETS, READABLE = "/api/datasets", "/api/annotations/readable"
BOXES = """<parameters>
    <userBoundingBox id="1" name="soma &amp; axon" topLeftX="-3" topLeftY="4" topLeftZ="5" width="6" height="7" depth="8" />
    <userBoundingBox id="2" topLeftX="0" topLeftY="0" topLeftZ="0" width="1" height="1" depth="1" />"""


def files() -> dict[str, bytes]:
    return dataset(LayerFiles("em", {Mag(1, 1, 1): ramp((16, 16, 16))}))


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    for name in ("mouse", "fly"):
        write_tree(files(), tmp_path / "data" / name)
    machine = open_machine(tmp_path / "state.sqlite", (str(tmp_path / "more"),))
    register_below(tmp_path / "data", machine.catalogue, 1, pytest.fail)
    machine.users.add(User("root", 1, is_admin=True), hash_user_token("root-token"))
    machine.users.add(User("ann", 1), hash_user_token("ann-token"))
    yield machine
    machine.file.close()


@pytest.fixture
def client(machine: Machine, tmp_path: Path) -> Iterator[TestClient]:
    app = create_app(machine, "https://links.example", served=(tmp_path / "data",))
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def mouse(machine: Machine) -> str:
    return next(record.id for record in machine.catalogue.all() if record.name == "mouse")


@pytest.fixture
def cells(client: TestClient, mouse: str) -> str:
    file = nml(skeleton=TREE).replace(b"<parameters>", BOXES.encode())
    given = {"files": {"file": ("cells.nml", file)}, "data": {"datasetId": mouse}}
    answer = client.post("/api/annotations/upload", headers=ANN, **given)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["annotation"]["id"])


# --- describing and finding ---

SAID = {
    "name": "Mouse, cortex",
    "description": "Imaged in 2026.\n\n* layer 2/3",
    "tags": ["cortex", "EM"],
    "visibility": "public",
    "collaborators": ["ann", "who.is@not.yet"],
}


def test_a_dataset_says_what_was_said_of_it(client: TestClient, mouse: str) -> None:
    changed = client.patch(f"{DATASETS}/{mouse}", headers=ADMIN, json=SAID).json()
    assert (
        changed.items()
        >= {**SAID, "id": mouse, "isPublic": True, "isEditable": True, "owner": "", "created": 1}.items()
    )
    assert client.get(f"{DATASETS}/{mouse}", headers=ADMIN).json().items() >= changed.items()
    (listed,) = client.get(DATASETS, params={"tag": "EM"}).json()
    assert listed == {**changed, "isEditable": False, "collaborators": []}
    again = client.patch(f"{DATASETS}/{mouse}", headers=ADMIN, json={"tags": []}).json()
    assert again == {**changed, "tags": []}


def test_an_annotation_says_what_was_said_of_it(client: TestClient, cells: str) -> None:
    changed = client.patch(f"/api/annotations/{cells}", headers=ANN, json=SAID).json()
    assert changed.items() >= {**SAID, "id": cells, "isPublic": True, "isEditable": True}.items()
    info = client.get(f"/api/annotations/{cells}/info", headers=ANN).json()
    assert info.items() >= {**SAID, "owner": {"id": "ann", "firstName": "ann", "lastName": ""}}.items()
    (listed,) = client.get(READABLE).json()
    assert listed.items() >= {**SAID, "collaborators": [], "isEditable": False}.items()


def test_boxes_that_somebody_drew_are_told(client: TestClient, cells: str) -> None:
    info = client.get(f"/api/annotations/{cells}/info", headers=ANN).json()
    assert info["boundingBoxes"] == [
        {"name": "soma & axon", "boundingBox": [-3, 4, 5, 6, 7, 8]},
        {"name": "", "boundingBox": [0, 0, 0, 1, 1, 1]},
    ]


@pytest.mark.parametrize(
    ("params", "names"),
    [
        ({}, ["Mouse, cortex", "fly"]),
        ({"query": "CORTEX"}, ["Mouse, cortex"]),
        ({"query": "imaged em"}, ["Mouse, cortex"]),
        ({"query": "imaged fly"}, []),
        ({"query": "  "}, ["Mouse, cortex", "fly"]),
        ({"tag": "EM"}, ["Mouse, cortex"]),
        ({"tag": "em"}, []),
        ({"visibility": "public"}, ["Mouse, cortex"]),
        ({"visibility": "organization"}, ["fly"]),
        ({"mine": "true"}, []),
    ],
)
def test_datasets_are_found(client: TestClient, mouse: str, params: dict[str, str], names: list[str]) -> None:
    client.patch(f"{DATASETS}/{mouse}", headers=ADMIN, json=SAID)
    found = client.get(DATASETS, headers=ANN, params=params).json()
    assert [it["name"] for it in found] == names


def test_annotations_are_found(client: TestClient, cells: str, mouse: str) -> None:
    client.patch(f"/api/annotations/{cells}", headers=ANN, json={"tags": ["x"], "description": "Axons of layer 4"})
    for params in ({"tag": "x"}, {"query": "axons"}, {"query": "ANN"}, {"datasetId": mouse}, {}):
        assert [it["id"] for it in client.get(READABLE, headers=ANN, params=params).json()] == [cells], params
    for params in ({"tag": "y"}, {"query": "dendrites"}, {"datasetId": "0" * 24}):
        assert client.get(READABLE, headers=ANN, params=params).json() == [], params


BAD: dict[str, tuple[Any, str]] = {
    "unknown field": ({"owner": "ann"}, "owner"),
    "name empty": ({"name": ""}, "name"),
    "name long": ({"name": "x" * 201}, "name"),
    "name control": ({"name": "a\nb"}, "name"),
    "description long": ({"description": "x" * 10_001}, "description"),
    "description control": ({"description": "a\0b"}, "description"),
    "tags many": ({"tags": [str(number) for number in range(51)]}, "tags"),
    "tag long": ({"tags": ["x" * 101]}, "tags"),
    "tag empty": ({"tags": [""]}, "tags"),
    "tag control": ({"tags": ["a\tb"]}, "tag"),
    "tag twice": ({"tags": ["a", "a"]}, "twice"),
    "tags text": ({"tags": "a"}, "tags"),
    "visibility": ({"visibility": "secret"}, "visibility"),
    "visibility number": ({"visibility": 1}, "visibility"),
    "collaborators many": ({"collaborators": [f"u{number}" for number in range(101)]}, "collaborators"),
    "collaborator shape": ({"collaborators": ["a b"]}, "user name"),
    "collaborator twice": ({"collaborators": ["ann", "ann"]}, "twice"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_out_of_bounds_is_named_and_changes_nothing(
    client: TestClient, mouse: str, cells: str, name: str
) -> None:
    body, word = BAD[name]
    for path, user in ((f"{DATASETS}/{mouse}", ADMIN), (f"/api/annotations/{cells}", ANN)):
        refused = client.patch(path, headers=user, json=body)
        assert refused.status_code == 400
        assert word in refused.json()["detail"]
    (kept,) = client.get(DATASETS, headers=ADMIN, params={"query": "mouse"}).json()
    assert (kept["name"], kept["tags"], kept["description"], kept["collaborators"]) == ("mouse", [], "", [])


def test_bounds_themselves_are_within(client: TestClient, mouse: str) -> None:
    most = {
        "name": "\u4e2d" * 200,
        "description": "x" * 10_000,
        "tags": [f"{number:0100}" for number in range(50)],
        "collaborators": [f"u{number}" for number in range(100)],
    }
    assert client.patch(f"{DATASETS}/{mouse}", headers=ADMIN, json=most).json().items() >= most.items()


# --- registering and forgetting ---


def new_dataset(folder: Path) -> Path:
    write_tree(files(), folder)
    return folder


def test_an_admin_registers_a_dataset_that_is_served(client: TestClient, tmp_path: Path) -> None:
    for place in (tmp_path / "data" / "deep" / "rat", tmp_path / "more" / "rat"):
        about = {"name": "Rat", "description": "new", "tags": ["a"], "visibility": "private"}
        made = client.post(DATASETS, headers=ADMIN, json={**about, "location": str(new_dataset(place))})
        assert made.status_code == 200, made.text
        assert made.json().items() >= {**about, "owner": "root", "isEditable": True}.items()
        assert str(tmp_path) not in made.text
        (mine,) = client.get(DATASETS, headers=ADMIN, params={"mine": True, "query": "rat"}).json()
        assert mine == made.json()
        assert client.post("/api/zarrPrivateLinks", headers=ADMIN, json={"dataset": mine["id"]}).status_code == 200
        again = client.post(DATASETS, headers=ADMIN, json={**about, "location": f"{place}/"})
        assert again.status_code == 400
        assert "registered already" in again.json()["detail"]
        assert client.delete(f"{DATASETS}/{mine['id']}", headers=ADMIN).status_code == 200


def test_what_was_said_stays_when_the_server_finds_the_folder_again(
    client: TestClient, machine: Machine, tmp_path: Path
) -> None:
    location = str(new_dataset(tmp_path / "data" / "rat"))
    made = client.post(DATASETS, headers=ADMIN, json={"name": "Rat 7", "location": location, "tags": ["x"]}).json()
    register_below(tmp_path / "data", machine.catalogue, 2, pytest.fail)
    (found,) = client.get(DATASETS, headers=ADMIN, params={"tag": "x"}).json()
    assert found == made


def test_only_an_admin_registers(client: TestClient, tmp_path: Path) -> None:
    body = {"name": "Rat", "location": str(new_dataset(tmp_path / "data" / "rat"))}
    refused = client.post(DATASETS, headers=ANN, json=body)
    assert refused.status_code == 403
    assert refused.headers["content-type"] == "application/problem+json"
    assert client.post(DATASETS, json=body).status_code == 401
    assert client.get(DATASETS, headers=ADMIN, params={"query": "rat"}).json() == []


def test_what_lies_elsewhere_is_not_even_looked_for(client: TestClient, tmp_path: Path) -> None:
    new_dataset(tmp_path / "elsewhere" / "rat")
    (tmp_path / "data" / "out").symlink_to(tmp_path / "elsewhere" / "rat")
    answers = []
    for location in (
        str(tmp_path / "elsewhere" / "rat"),
        str(tmp_path / "elsewhere" / "nothing"),
        str(tmp_path / "data" / "out"),
        str(tmp_path / "database"),
        "/",
    ):
        answer = client.post(DATASETS, headers=ADMIN, json={"name": "Rat", "location": location})
        assert answer.status_code == 400, location
        answers.append({**answer.json(), "instance": ""})
        assert str(tmp_path) not in answer.text
    assert all(answer == answers[0] for answer in answers)
    for location in ("", "rat", f"{tmp_path}/data/../elsewhere/rat", "s3://bucket/rat", "https://host/rat", "/a\0b"):
        assert client.post(DATASETS, headers=ADMIN, json={"name": "Rat", "location": location}).status_code == 400


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "no dataset can be read at this location"),
        ({"datasource-properties.json": b"{}"}, "cannot be read"),
        ({"datasource-properties.json": b"no JSON"}, "cannot be read"),
    ],
    ids=["empty", "nothing in it", "damaged"],
)
def test_what_cannot_be_read_is_not_registered(
    client: TestClient, tmp_path: Path, content: dict[str, bytes], words: str
) -> None:
    (tmp_path / "data" / "bad").mkdir()
    write_tree(content, tmp_path / "data" / "bad")
    refused = client.post(DATASETS, headers=ADMIN, json={"name": "Bad", "location": str(tmp_path / "data" / "bad")})
    assert refused.status_code == 400
    assert words in refused.json()["detail"]
    assert str(tmp_path) not in refused.text


def test_a_dataset_that_is_forgotten_ends_its_links_and_leaves_its_files(
    client: TestClient, machine: Machine, mouse: str, tmp_path: Path
) -> None:
    link = client.post("/api/zarrPrivateLinks", headers=ANN, json={"dataset": mouse}).json()
    path = f"/zarr/{link['accessToken']}/v3/em.zarr/0/zarr.json"
    assert client.get(path).status_code == 200
    assert client.delete(f"{DATASETS}/{mouse}", headers=ADMIN).json() == {"messages": [{"success": "dataset deleted"}]}
    machine.library._freshness_s = 0.0
    assert client.get(path).status_code == 410
    assert client.delete(f"{DATASETS}/{mouse}", headers=ADMIN).status_code == 404
    assert (tmp_path / "data" / "mouse" / "datasource-properties.json").exists()


# --- looking ---


def test_pictures_are_drawn_from_an_address_in_nobodys_list(client: TestClient, machine: Machine, mouse: str) -> None:
    before = now_ms()
    preview = client.post(f"{DATASETS}/{mouse}/view", headers=ANN).json()
    assert before + LASTS_MS <= preview["expires"] <= now_ms() + LASTS_MS + SHARED_MS
    page = preview["page"].removeprefix("https://links.example")
    facts = client.get(page, headers={"Accept": "application/json"}).json()
    assert [layer["name"] for layer in facts["layers"]] == ["em"]
    assert client.get(f"{page}{facts['layers'][0]['v3']}/0/zarr.json").status_code == 200
    (link,) = [link for link in machine.links.of_owner(None) if link.owner == PREVIEWER]
    for user in (ANN, ADMIN):
        assert client.get("/api/zarrPrivateLinks", headers=user).json() == []
        assert client.get(f"/api/zarrPrivateLinks/byDataset/{mouse}", headers=user).json() == []
        assert client.get(f"/api/zarrPrivateLinks/{link.id}", headers=user).status_code == 404
        assert client.delete(f"/api/zarrPrivateLinks/{link.id}", headers=user).status_code == 404


def test_pages_that_are_opened_over_and_over_fill_no_table(client: TestClient, machine: Machine, mouse: str) -> None:
    for _ in range(3):
        for user in (ANN, ADMIN):
            assert client.post(f"{DATASETS}/{mouse}/view", headers=user).status_code == 200
    previews = [link for link in machine.links.of_owner(None) if link.owner == PREVIEWER]
    # Two where a new span began between them.
    assert len(previews) <= 2
    machine.links.forget(PREVIEWER, now_ms())
    assert len(machine.links.of_owner(None)) == len(previews), "they are valid still"
    machine.links.forget(PREVIEWER, previews[0].expires_ms + SHARED_MS + 1)  # type: ignore[operator]
    assert machine.links.of_owner(None) == []


def test_a_skeleton_has_no_picture_of_its_own_but_its_datasets(client: TestClient, cells: str, mouse: str) -> None:
    page = client.post(f"/api/annotations/{cells}/view", headers=ANN).json()["page"]
    facts = client.get(page.removeprefix("https://links.example"), headers={"Accept": "application/json"}).json()
    assert (facts["annotation"]["id"], facts["dataset"]["id"]) == (cells, mouse)
    assert [layer["name"] for layer in facts["layers"]] == ["em"]
