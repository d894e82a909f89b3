"""The whole server of one machine behind a CDN: the API and the pages too."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from builders.edge_origin import SECRET
from builders.machines import machine_with
from builders.wkw_files import LayerFiles, dataset, ramp
from zarrlink.geometry import Mag
from zarrlink.http.edge_door import EdgeDoor
from zarrlink_local.machine import Machine
from zarrlink_local.server import create_app

ANN = {"X-Auth-Token": "ann-token"}
LINKS = "/api/zarrPrivateLinks"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return machine_with(tmp_path, dataset(LayerFiles("em", {Mag(1, 1, 1): ramp((9, 9, 9))})), ("ann",))


def client_of(machine: Machine, *, is_named: bool = False) -> TestClient:
    app = create_app(machine, "http://own", edge=EdgeDoor.fixed((SECRET,)), is_named=is_named)
    return TestClient(app, headers={"x-zarrlink-edge": SECRET})


def make_link(client: TestClient, machine: Machine, host: str | None) -> str:
    (record,) = machine.catalogue.all()
    headers = ANN if host is None else {**ANN, "x-zarrlink-host": host}
    page: str = client.post(LINKS, headers=headers, json={"dataset": record.id}).json()["page"]
    return page.partition("/zarr/")[0]


def test_addresses_begin_with_what_the_cdn_was_reached_by(machine: Machine) -> None:
    client = client_of(machine)
    for host in ("a.example.org", "b.example.org:8443", "a.example.org"):
        assert make_link(client, machine, host) == f"https://{host}"
    assert make_link(client, machine, None) == "http://own"
    assert make_link(client, machine, "evil/path") == "http://own"
    for number in range(20):
        assert make_link(client, machine, f"h{number}.example.org") == f"https://h{number}.example.org"
    (server,) = client.get("/api/openapi.json", headers={"x-zarrlink-host": "a.example.org"}).json()["servers"]
    assert server == {"url": "https://a.example.org"}


def test_unless_the_operator_says_what_they_begin_with(machine: Machine) -> None:
    assert make_link(client_of(machine, is_named=True), machine, "a.example.org") == "http://own"


def test_without_a_cdn_nobody_is_believed(machine: Machine) -> None:
    client = TestClient(create_app(machine, "http://own"), headers={"x-zarrlink-edge": SECRET})
    assert make_link(client, machine, "a.example.org") == "http://own"


@pytest.mark.parametrize(
    "path",
    ["/", "/web/link.js", "/api/buildinfo", LINKS, "/api/openapi.json", "/data/zarr/x/em/zarr.json", "/nope", "//c/x"],
)
def test_past_the_cdn_there_is_nothing(machine: Machine, path: str) -> None:
    client = client_of(machine)
    for method in ("GET", "HEAD", "OPTIONS", "POST"):
        for secret in ("", "x", SECRET[1:]):
            reply = client.request(method, f"http://testserver{path}", headers={**ANN, "x-zarrlink-edge": secret})
            assert (reply.status_code, reply.headers["cache-control"]) == (410, "no-store")
            assert reply.headers["access-control-allow-origin"] == "*"
    if path.startswith(("/api/", "/web/")):
        assert client.get(path, headers=ANN).status_code == 200
