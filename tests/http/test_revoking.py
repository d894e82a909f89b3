"""Revocation where a CDN is to be told, and datasets whose files were exchanged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from builders.wkw_files import LayerFiles, dataset, ramp, write_tree
from zarrlink.edge.addresses import SECRET_HEADER
from zarrlink.edge.memory import MemoryStore
from zarrlink.edge.sync import EdgeSync
from zarrlink.geometry import Mag
from zarrlink.http.edge_door import EdgeDoor
from zarrlink.users.interface import User, hash_user_token
from zarrlink_local.machine import Machine, now_ms, open_machine
from zarrlink_local.server import create_app

ANN, BOB, ADMIN = ({"X-Auth-Token": f"{name}-token"} for name in ("ann", "bob", "admin"))
LINKS, SECRET = "/api/zarrPrivateLinks", "s" * 40
GONE = {"messages": [{"success": "privateLink deleted"}]}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    write_tree(dataset(LayerFiles("a", {Mag(1, 1, 1): ramp((16, 16, 16))})), tmp_path / "mouse")
    machine = open_machine(tmp_path / "state.sqlite")
    machine.catalogue.register("mouse", str(tmp_path / "mouse"), 1)
    for name in ("ann", "bob", "admin"):
        machine.users.add(User(name, 1, is_admin=name == "admin"), hash_user_token(f"{name}-token"))
    return machine


@pytest.fixture
def client(machine: Machine) -> Iterator[TestClient]:
    app = create_app(machine, "https://links.example", edge=EdgeDoor.fixed((SECRET,)))
    headers = {SECRET_HEADER.decode(): SECRET}
    with TestClient(app, headers=headers, raise_server_exceptions=False) as client:
        yield client


def sync(machine: Machine) -> EdgeSync:
    annotations = machine.shelf.annotations
    return EdgeSync(machine.links, machine.catalogue, annotations, lambda: machine.keys, MemoryStore(), now_ms)


def make(client: TestClient, machine: Machine) -> dict[str, object]:
    made: dict[str, object] = client.post(LINKS, headers=ANN, json={"dataset": machine.catalogue.all()[0].id}).json()
    return made


def test_a_link_is_revoking_until_the_cdn_knows(client: TestClient, machine: Machine) -> None:
    made = make(client, machine)
    address = f"{LINKS}/{made['id']}"
    assert made["state"] == "active"
    reply = client.delete(address, headers=ANN)
    assert reply.status_code == 202
    assert reply.json() == {**GONE, "id": made["id"], "state": "revoking"}
    # Whoever asks again is told again, and the first revocation counts.
    before = machine.links.get(str(made["id"]))
    assert client.delete(address, headers=ANN).status_code == 202
    assert machine.links.get(str(made["id"])) == before
    assert client.get(address, headers=ANN).json() == {**made, "leftOut": [], "state": "revoking"}
    assert client.get(LINKS, headers=ANN).json() == []
    # It is as good as gone for everything else.
    assert client.put(address, headers=ANN, json={"name": "back"}).status_code == 404
    assert client.get(address, headers=BOB).status_code == 404
    sync(machine).sync_links([str(made["id"])])
    for method in ("GET", "DELETE", "PUT"):
        body = {"json": {"name": "back"}} if method == "PUT" else {}
        assert client.request(method, address, headers=ANN, **body).status_code == 404


def test_without_a_cdn_a_link_is_revoked_at_once(machine: Machine) -> None:
    with TestClient(create_app(machine, "https://links.example")) as client:
        made = make(client, machine)
        reply = client.delete(f"{LINKS}/{made['id']}", headers=ANN)
        assert (reply.status_code, reply.json()) == (200, GONE)
        assert client.get(f"{LINKS}/{made['id']}", headers=ANN).status_code == 404


def test_an_expired_link_says_so(client: TestClient, machine: Machine) -> None:
    made = make(client, machine)
    machine.links.change(str(made["id"]), None, expires_ms=5)
    assert [link["state"] for link in client.get(LINKS, headers=ANN).json()] == ["expired"]
    # What it is said to be is not taken over.
    changed = client.put(f"{LINKS}/{made['id']}", headers=ANN, json={**made, "state": "expired"}).json()
    assert changed["state"] == "active"


def test_exchanged_files_are_told_of_by_whoever_may_change_them(client: TestClient, machine: Machine) -> None:
    record = machine.catalogue.all()[0]
    address = f"/api/datasets/{record.id}/replaced"
    assert client.post(address).status_code == 401
    assert client.post(address, headers=ANN).status_code == 404
    reply = client.post(address, headers=ADMIN)
    assert (reply.status_code, reply.json()["id"]) == (200, record.id)
    found = machine.catalogue.get(record.id)
    assert found is not None
    assert found.revision == 2
    assert client.post(f"/api/datasets/{'0' * 24}/replaced", headers=ADMIN).status_code == 404
