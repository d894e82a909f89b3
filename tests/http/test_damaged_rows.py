"""A damaged row of a table harms nothing but what it is about: over HTTP."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from builders.machines import machine_with
from builders.spoilt_rows import in_file
from builders.wkw_files import LayerFiles, dataset, ramp
from contracts.annotations import CELLS
from zarrlink.catalogue.changes import Changes
from zarrlink.geometry import Mag
from zarrlink.users.interface import User, hash_user_token
from zarrlink_local.machine import Machine

ANN, BOB, ADMIN = ({"X-Auth-Token": f"{name}-token"} for name in ("ann", "bob", "admin"))
LINKS, GARBAGE = "/api/zarrPrivateLinks", "{garbage"
REVOKED = {"messages": [{"success": "privateLink deleted"}]}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = machine_with(tmp_path, dataset(LayerFiles("a", {Mag(1, 1, 1): ramp((16, 16, 16))})))
    machine.users.add(User("admin", 1, is_admin=True), hash_user_token("admin-token"))
    return machine


def make(client: TestClient, dataset_id: str, who: dict[str, str] = ANN) -> dict[str, Any]:
    reply = client.post(LINKS, headers=who, json={"dataset": dataset_id})
    assert reply.status_code == 200, reply.text
    made: dict[str, Any] = reply.json()
    return made


def ids(client: TestClient, path: str, who: dict[str, str] = ANN) -> list[str]:
    reply = client.get(path, headers=who)
    assert reply.status_code == 200, reply.text
    return [found["id"] for found in reply.json()]


def assert_damaged(reply: Any, kind: str, *secrets: str) -> None:
    assert reply.status_code == 500
    assert reply.headers["content-type"] == "application/problem+json"
    assert (reply.json()["type"], reply.json()["detail"]) == (
        "about:blank#damaged-row",
        f"the row of this {kind} cannot be read",
    )
    for secret in (GARBAGE, *secrets):
        assert secret not in reply.text


def test_a_damaged_link_is_missing_from_lists_and_opens_nothing(
    client: TestClient, machine: Machine, dataset_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    kept, spoilt = make(client, dataset_id), make(client, dataset_id)
    in_file(machine.file, "links")(spoilt["id"], "view", GARBAGE)
    assert ids(client, LINKS) == [kept["id"]]
    assert ids(client, f"{LINKS}/byDataset/{dataset_id}", ADMIN) == [kept["id"]]
    assert {record.getMessage() for record in caplog.records if record.levelname == "ERROR"} == {
        f"damaged rows are left out: link {spoilt['id']}"
    }
    for address in (f"{LINKS}/{spoilt['id']}", f"/zarr/{spoilt['accessToken']}/v3/a.zarr/zarr.json"):
        caplog.clear()
        assert_damaged(client.get(address, headers=ANN), "link", spoilt["id"])
        # Whose business it is finds it in the log.
        assert f'"row_id": "{spoilt["id"]}"' in caplog.text
    assert client.get(f"/zarr/{kept['accessToken']}/v3/a.zarr/zarr.json").status_code == 200


@pytest.mark.parametrize("who", [ANN, ADMIN])
def test_a_damaged_link_is_revoked_by_its_maker_and_by_an_admin(
    client: TestClient, machine: Machine, dataset_id: str, who: dict[str, str]
) -> None:
    made = make(client, dataset_id)
    spoil, view = in_file(machine.file, "links"), machine.links.get(made["id"])
    assert view is not None
    spoil(made["id"], "view", GARBAGE)
    assert client.delete(f"{LINKS}/{made['id']}", headers=BOB).status_code == 404
    reply = client.delete(f"{LINKS}/{made['id']}", headers=who)
    assert (reply.status_code, reply.json()) == (200, REVOKED)
    # And is revoked for good, whatever is mended.
    spoil(made["id"], "view", view.view.to_json())
    assert client.get(f"/zarr/{made['accessToken']}/v3/a.zarr/zarr.json").status_code == 410
    assert client.delete(f"{LINKS}/{made['id']}", headers=who).status_code == 404


def test_a_damaged_dataset_is_missing_from_lists_and_stops_only_what_is_of_it(
    client: TestClient, machine: Machine, dataset_id: str, tmp_path: Path
) -> None:
    twin = shutil.copytree(tmp_path / "data" / "mouse", tmp_path / "twin")
    other = machine.catalogue.register("other", str(twin), 1).id
    to_it, to_other = make(client, dataset_id), make(client, other)
    in_file(machine.file, "datasets")(dataset_id, "tags", GARBAGE)
    assert ids(client, "/api/datasets") == [other]
    assert_damaged(client.get(f"/api/datasets/{dataset_id}", headers=ANN), "dataset")
    # Whoever opens a link is not told what it is of. What is open already stays so for some seconds.
    opened = machine.links.get(to_it["id"])
    assert opened is not None
    machine.library.doubt(opened.view, "a")
    address = f"/zarr/{to_it['accessToken']}/v3/a.zarr/zarr.json"
    assert client.get(f"/zarr/{to_other['accessToken']}/v3/a.zarr/zarr.json").status_code == 200
    assert_damaged(client.get(address), "dataset", dataset_id)
    # The links themselves are whole: seen, and revoked.
    assert set(ids(client, LINKS)) == {to_it["id"], to_other["id"]}
    assert client.get(f"{LINKS}/{to_it['id']}", headers=ANN).json()["accessToken"] == to_it["accessToken"]
    assert client.delete(f"{LINKS}/{to_it['id']}", headers=ANN).json() == REVOKED
    assert client.post(LINKS, headers=ANN, json={"dataset": other}).status_code == 200


def test_a_damaged_dataset_or_annotation_is_removed_by_an_admin(
    client: TestClient, machine: Machine, dataset_id: str
) -> None:
    """Not by its owner: whose it is cannot be told."""
    machine.shelf.annotations.add(replace(CELLS, owner="ann"))
    in_file(machine.file, "datasets")(dataset_id, "owner", "ann")
    made = make(client, dataset_id)
    for kind, thing_id in (("dataset", dataset_id), ("annotation", CELLS.id)):
        in_file(machine.file, f"{kind}s")(thing_id, "tags", GARBAGE)
        address = f"/api/{kind}s/{thing_id}"
        for who in (ANN, BOB):
            assert_damaged(client.delete(address, headers=who), kind)
        assert client.delete(address).status_code == 401
        assert_damaged(client.patch(address, headers=ADMIN, json={"description": "x"}), kind)
        reply = client.delete(address, headers=ADMIN)
        assert (reply.status_code, reply.json()) == (200, {"messages": [{"success": f"{kind} deleted"}]})
        assert client.delete(address, headers=ADMIN).status_code == 404
    link = machine.links.get(made["id"])
    assert link is not None
    machine.library.doubt(link.view, "a")
    assert client.get(f"/zarr/{made['accessToken']}/v3/a.zarr/zarr.json").status_code == 410


@pytest.mark.parametrize(("field", "value"), [("created_ms", -1), ("is_admin", 2)])
def test_a_damaged_user_does_not_sign_in(
    client: TestClient, machine: Machine, caplog: pytest.LogCaptureFixture, field: str, value: int
) -> None:
    in_file(machine.file, "users", "name")("ann", field, value)
    for address in ("/api/user", "/api/datasets", LINKS):
        caplog.clear()
        assert_damaged(client.get(address, headers=ANN), "user", "ann-token")
        assert '"row_id": "ann"' in caplog.text
        assert hash_user_token("ann-token") not in caplog.text
        assert client.get(address, headers=BOB).status_code == 200
    assert machine.users.remove("ann")
    assert client.get("/api/user", headers=ANN).status_code == 401


def test_a_damaged_dataset_tells_nobody_a_token_who_may_not_read_it(
    client: TestClient, machine: Machine, dataset_id: str
) -> None:
    """Bob may see that there is a link to his annotation, and not the dataset below it."""
    machine.shelf.annotations.add(CELLS)
    machine.shelf.annotations.change(CELLS.id, Changes(visibility="private"))
    machine.catalogue.change(dataset_id, Changes(visibility="private", collaborators=("ann",)))
    made = make(client, dataset_id)
    link = machine.links.get(made["id"])
    assert link is not None
    in_file(machine.file, "annotations")(CELLS.id, "owner", "bob")
    view = link.view.to_json().replace("{", f'{{"annotation":"{CELLS.id}",', 1)
    in_file(machine.file, "links")(made["id"], "view", view)
    for damage in ('["tag"]', GARBAGE):
        in_file(machine.file, "datasets")(dataset_id, "tags", damage)
        seen = client.get(f"{LINKS}/{made['id']}", headers=BOB)
        assert (seen.status_code, seen.json()["accessToken"], seen.json()["page"]) == (200, "", "")


def test_a_damaged_annotation_is_missing_from_lists(client: TestClient, machine: Machine) -> None:
    machine.shelf.annotations.add(CELLS)
    in_file(machine.file, "annotations")(CELLS.id, "collaborators", "7")
    assert ids(client, "/api/annotations/readable", ADMIN) == []
    assert_damaged(client.get(f"/api/annotations/{CELLS.id}/info", headers=ADMIN), "annotation")


def test_files_of_a_damaged_annotation_outlast_the_damage(machine: Machine) -> None:
    machine.shelf.annotations.add(CELLS)
    folder = Path(machine.vault.sink(CELLS.id, CELLS.revision)[1])
    folder.mkdir(parents=True)
    for path in (folder, folder.parent):
        os.utime(path, (0, 0))
    in_file(machine.file, "annotations")(CELLS.id, "tags", GARBAGE)
    machine.sweep()
    assert folder.exists()
    machine.shelf.annotations.remove(CELLS.id)
    machine.sweep()
    assert not folder.exists()
