"""The JSON API, as WEBKNOSSOS's UI and scripts call it."""

import asyncio
import json
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from builders.machines import machine_with
from builders.wkw_files import LayerFiles, dataset, ramp
from zarrlink.geometry import Mag
from zarrlink.http.api_door import App
from zarrlink.users.interface import hash_user_token
from zarrlink_local.machine import Machine
from zarrlink_local.server import create_app

ONE = Mag(1, 1, 1)
ANN, BOB = {"X-Auth-Token": "ann-token"}, {"X-Auth-Token": "bob-token"}
LINKS = "/api/zarrPrivateLinks"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    layers = (LayerFiles("a", {ONE: ramp((16, 16, 16))}), LayerFiles("b", {ONE: ramp((16, 16, 16))}))
    n5 = LayerFiles("n5", {ONE: ramp((8, 8, 8))}, described={"dataFormat": "n5"})
    return machine_with(tmp_path, dataset(*layers, n5))


def test_a_link_lives_from_creation_to_revocation(client: TestClient, dataset_id: str) -> None:
    made = client.post(LINKS, headers=ANN, json={"dataset": dataset_id, "name": "For the reviewers"}).json()
    assert made["dataset"] == dataset_id
    assert made["annotation"] is None
    assert made["scope"] == {"layers": ["a", "b"], "boundingBox": None, "finestMag": None, "mappings": None}
    (left_out,) = made["leftOut"]
    assert left_out.startswith("layer 'n5': it has no mag that can be read")
    assert made["layers"][0]["v3"] == f"https://links.example/zarr/{made['accessToken']}/v3/a.zarr"
    path = made["layers"][0]["v3"].removeprefix("https://links.example")
    assert client.get(f"{path}/zarr.json").status_code == 200

    assert [link["id"] for link in client.get(LINKS, headers=ANN).json()] == [made["id"]]
    for route in ("byDataset", "byAnnotation"):
        assert [link["id"] for link in client.get(f"{LINKS}/{route}/{dataset_id}", headers=ANN).json()] == [made["id"]]
        assert client.get(f"{LINKS}/{route}/{'0' * 24}", headers=ANN).json() == []
    one = client.get(f"{LINKS}/{made['id']}", headers=ANN).json()
    assert one == {**made, "leftOut": []}

    # As WEBKNOSSOS's UI does: the whole object back, with another expiry.
    changed = client.put(f"{LINKS}/{made['id']}", headers=ANN, json={**one, "expirationDateTime": None}).json()
    assert changed == {**one, "expirationDateTime": None}
    renamed = client.put(f"{LINKS}/{made['id']}", headers=ANN, json={"name": "x"}).json()
    assert renamed == {**changed, "name": "x"}

    gone = client.delete(f"{LINKS}/{made['id']}", headers=ANN)
    assert gone.json() == {"messages": [{"success": "privateLink deleted"}]}
    assert client.get(f"{path}/zarr.json").status_code == 410
    assert client.get(LINKS, headers=ANN).json() == []
    for method in ("get", "delete"):
        assert getattr(client, method)(f"{LINKS}/{made['id']}", headers=ANN).status_code == 404
    assert client.put(f"{LINKS}/{made['id']}", headers=ANN, json={"expirationDateTime": None}).status_code == 404


@pytest.mark.parametrize("what", ["dataset", "annotation"])
@pytest.mark.parametrize("body", [b'"\\ud800"', b'"a\\u0000"', b'"' + b"a" * 1000 + b'"'])
def test_an_id_that_is_no_text_is_refused(client: TestClient, what: str, body: bytes) -> None:
    sent = b'{"%s": %s}' % (what.encode(), body)
    reply = client.post(LINKS, headers={**ANN, "content-type": "application/json"}, content=sent)
    assert reply.status_code == 400
    assert what in reply.json()["detail"]


def test_webknossos_own_body_is_taken(client: TestClient, dataset_id: str) -> None:
    body = {"annotation": dataset_id, "expirationDateTime": 4_000_000_000_000}
    made = client.post("/api/v14/zarrPrivateLinks", headers=ANN, json=body).json()
    assert made["expirationDateTime"] == 4_000_000_000_000
    assert len(made["accessToken"]) == 33
    assert (
        client.post(LINKS, headers=ANN, json={**body, "expirationDateTime": None}).json()["expirationDateTime"] is None
    )


def test_a_scope_limits_a_link(client: TestClient, dataset_id: str) -> None:
    scope = {"layers": ["a"], "boundingBox": [4, 4, 4, 4, 4, 4], "finestMag": "1"}
    made = client.post(LINKS, headers=ANN, json={"dataset": dataset_id, "scope": scope}).json()
    assert made["scope"] == {**scope, "mappings": None}
    assert [layer["name"] for layer in made["layers"]] == ["a"]
    base = f"/zarr/{made['accessToken']}"
    assert client.get(f"{base}/v3/a.zarr/0/zarr.json").json()["shape"] == [8, 8, 8]
    assert client.get(f"{base}/v3/b.zarr/zarr.json").status_code == 410


def test_another_user_sees_and_changes_nothing(client: TestClient, dataset_id: str) -> None:
    made = client.post(LINKS, headers=ANN, json={"dataset": dataset_id}).json()
    path = f"{LINKS}/{made['id']}"
    assert client.get(LINKS, headers=BOB).json() == []
    assert client.get(f"{LINKS}/byDataset/{dataset_id}", headers=BOB).json() == []
    unknown = client.get(f"{LINKS}/AAAAAAAAAAAAAAAA", headers=BOB).json()
    for reply in (
        client.get(path, headers=BOB),
        client.put(path, headers=BOB, json={"expirationDateTime": None}),
        client.delete(path, headers=BOB),
    ):
        assert reply.status_code == 404
        assert {**reply.json(), "instance": ""} == {**unknown, "instance": ""}
    assert client.get(path, headers=ANN).json()["expirationDateTime"] == made["expirationDateTime"]


@pytest.mark.parametrize(
    "headers", [{}, {"X-Auth-Token": ""}, {"X-Auth-Token": "wrong"}, {"X-Auth-Token": "ann-token "}]
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", LINKS),
        ("post", LINKS),
        ("get", f"{LINKS}/x"),
        ("put", f"{LINKS}/x"),
        ("delete", f"{LINKS}/x"),
        ("get", f"{LINKS}/byAnnotation/x"),
        ("get", f"{LINKS}/byDataset/x"),
        ("post", "/api/datasets"),
        ("delete", "/api/datasets/x"),
        ("get", "/api/user"),
    ],
)
def test_a_stranger_is_asked_to_sign_in(client: TestClient, method: str, path: str, headers: dict[str, str]) -> None:
    kwargs = {"json": {}} if method in ("post", "put") else {}
    reply = getattr(client, method)(path, headers=headers, **kwargs)
    if headers.get("X-Auth-Token") == "ann-token ":
        assert reply.status_code != 500, "a trailing space is stripped by HTTP itself"
        return
    assert reply.status_code == 401
    assert reply.headers["content-type"] == "application/problem+json"


BAD = {
    "nothing": ({}, 400, "either a dataset or an annotation"),
    "both": ({"dataset": "ID", "annotation": "ID"}, 400, "either a dataset or an annotation"),
    "unknown dataset": ({"dataset": "0" * 24}, 404, "no such dataset"),
    "unknown field": ({"dataset": "ID", "expires": 1}, 400, "expires"),
    "expiry text": ({"dataset": "ID", "expirationDateTime": "soon"}, 400, "expirationDateTime"),
    "expiry past": ({"dataset": "ID", "expirationDateTime": 1}, 400, "expired already"),
    "expiry huge": ({"dataset": "ID", "expirationDateTime": 10**30}, 400, "expir"),
    "expiry negative": ({"dataset": "ID", "expirationDateTime": -1}, 400, "expiry"),
    "name long": ({"dataset": "ID", "name": "x" * 201}, 400, "name"),
    "name control": ({"dataset": "ID", "name": "a\nb"}, 400, "name"),
    "layer unknown": ({"dataset": "ID", "scope": {"layers": ["zz"]}}, 422, "'zz'"),
    "layer not WKW": ({"dataset": "ID", "scope": {"layers": ["a", "n5"]}}, 422, "n5"),
    "no layers": ({"dataset": "ID", "scope": {"layers": []}}, 400, "at least one layer"),
    "box short": ({"dataset": "ID", "scope": {"boundingBox": [1, 2, 3]}}, 400, "six whole numbers"),
    "box empty": ({"dataset": "ID", "scope": {"boundingBox": [0, 0, 0, 0, 1, 1]}}, 400, "positive side"),
    "box outside": ({"dataset": "ID", "scope": {"boundingBox": [99, 0, 0, 1, 1, 1]}}, 422, "holds nothing"),
    "box huge": ({"dataset": "ID", "scope": {"boundingBox": [0, 0, 0, 10**40, 1, 1]}}, 400, ""),
    "mag": ({"dataset": "ID", "scope": {"finestMag": "0"}}, 400, "not a mag"),
    "mag too coarse": ({"dataset": "ID", "scope": {"finestMag": "8"}}, 422, "no mag not finer than 8"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(client: TestClient, dataset_id: str, name: str) -> None:
    body, status, words = BAD[name]
    given = {key: dataset_id if value == "ID" else value for key, value in body.items()}
    reply = client.post(LINKS, headers=ANN, json=given)
    assert reply.status_code == status, reply.text
    assert words in reply.json()["detail"]
    assert client.get(LINKS, headers=ANN).json() == [], "nothing half-made"


MISTYPED = {
    "expiry true": {"expirationDateTime": True},
    "expiry digits": {"expirationDateTime": "1999999999999"},
    "expiry float": {"expirationDateTime": 1999999999999.0},
    "name number": {"name": 1},
    "note list": {"note": ["x"]},
    "box of booleans": {"scope": {"boundingBox": [True, False, False, True, True, True]}},
    "box of digits": {"scope": {"boundingBox": ["0", "0", "0", "1", "1", "1"]}},
    "layers of numbers": {"scope": {"layers": [1]}},
    "mag number": {"scope": {"finestMag": 1}},
}


@pytest.mark.parametrize("name", MISTYPED)
def test_json_of_another_type_is_refused_and_not_turned_into_ours(
    client: TestClient, dataset_id: str, name: str
) -> None:
    reply = client.post(LINKS, headers=ANN, json={"dataset": dataset_id, **MISTYPED[name]})
    assert reply.status_code == 400
    assert next(iter(MISTYPED[name])) in reply.json()["detail"]
    assert client.get(LINKS, headers=ANN).json() == []


@pytest.mark.parametrize("name", ["expiry true", "expiry digits", "expiry float", "name number", "note list"])
def test_a_change_is_as_strict(client: TestClient, dataset_id: str, name: str) -> None:
    made = client.post(LINKS, headers=ANN, json={"dataset": dataset_id}).json()
    assert client.put(f"{LINKS}/{made['id']}", headers=ANN, json=MISTYPED[name]).status_code == 400
    assert client.get(f"{LINKS}/{made['id']}", headers=ANN).json() == {**made, "leftOut": []}


@pytest.mark.parametrize(
    ("layers", "words"), [(["a"] * 1001, "at most 1000 items"), (["x" * 256], "at most 255 characters")]
)
def test_layers_are_bounded(client: TestClient, dataset_id: str, layers: list[str], words: str) -> None:
    reply = client.post(LINKS, headers=ANN, json={"dataset": dataset_id, "scope": {"layers": layers}})
    assert reply.status_code == 400
    assert words in reply.json()["detail"]


def post(api: App, chunks: int, headers: dict[str, str]) -> tuple[list[MutableMapping[str, Any]], int]:
    """What is answered to a body of so many times 1 KiB, and how many of them were asked for."""
    sent: list[MutableMapping[str, Any]] = []
    asked = 0

    async def receive() -> MutableMapping[str, Any]:
        nonlocal asked
        asked += 1
        return {"type": "http.request", "body": b" " * 1024, "more_body": asked < chunks}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "POST", "path": LINKS, "query_string": b"", "headers": raw}
    asyncio.run(api({**scope, "http_version": "1.1", "scheme": "http"}, receive, send))
    return sent, asked


@pytest.mark.parametrize("declared", ["1048576", "9" * 5000])
@pytest.mark.parametrize("user", [{}, ANN])
def test_a_body_declared_too_large_is_not_read(machine: Machine, user: dict[str, str], declared: str) -> None:
    sent, asked = post(create_app(machine, ""), 1024, {**user, "Content-Length": declared})
    assert asked == 0
    check_too_large(sent)


@pytest.mark.parametrize("user", [{}, ANN])
@pytest.mark.parametrize("declared", [{}, {"Content-Length": "10"}, {"Content-Length": "-1"}])
def test_a_body_that_grows_too_large_is_not_read_to_its_end(machine: Machine, user: dict[str, str], declared) -> None:
    sent, asked = post(create_app(machine, ""), 1024, {**user, **declared, "Content-Type": "application/json"})
    assert asked == 65
    check_too_large(sent)


def test_a_body_up_to_the_limit_is_read(machine: Machine) -> None:
    sent, asked = post(create_app(machine, ""), 64, {**ANN, "Content-Type": "application/json"})
    assert asked == 64
    assert sent[0]["status"] == 400, "spaces are no JSON"


def check_too_large(sent: list[MutableMapping[str, Any]]) -> None:
    start, body = sent
    assert start["status"] == 413
    assert dict(start["headers"])[b"content-type"] == b"application/problem+json"
    assert "65536" in json.loads(body["body"])["detail"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b'{"dataset": ' + b"[" * 5000])
def test_a_body_that_is_no_json_object_is_400(client: TestClient, body: bytes) -> None:
    reply = client.post(LINKS, headers={**ANN, "content-type": "application/json"}, content=body)
    assert reply.status_code == 400


def test_what_a_link_opens_cannot_be_changed(client: TestClient, dataset_id: str) -> None:
    made = client.post(LINKS, headers=ANN, json={"dataset": dataset_id}).json()
    reply = client.put(f"{LINKS}/{made['id']}", headers=ANN, json={"annotation": "1" * 24})
    assert reply.status_code == 400
    assert "fixed" in reply.json()["detail"]


def test_versions_are_routes_to_the_same_api(client: TestClient) -> None:
    for version in (10, 14, 16):
        assert client.get(f"/api/v{version}/datasets", headers=ANN).json()[0]["name"] == "mouse"
    for version in (0, 9, 17, 9999, "015", "0015", "00"):
        reply = client.get(f"/api/v{version}/datasets", headers=ANN)
        assert reply.status_code == 400
        assert f"10 to 16 are served, not {version}" in reply.json()["detail"]


def test_a_slash_at_the_end_changes_nothing_and_sends_nobody_elsewhere(client: TestClient, dataset_id: str) -> None:
    for path in ("/api/datasets", "/api/v14/datasets", LINKS, f"{LINKS}/byDataset/{dataset_id}"):
        asked = {**ANN, "Host": "elsewhere.example"}
        plain, slashed = (client.get(form, headers=asked, follow_redirects=False) for form in (path, f"{path}/"))
        assert (plain.status_code, plain.json()) == (slashed.status_code, slashed.json()), path
        assert slashed.status_code == 200
    made = client.post(f"{LINKS}/", headers=ANN, json={"dataset": dataset_id}, follow_redirects=False)
    assert made.status_code == 200
    assert client.get("/api/datasets//", headers=ANN, follow_redirects=False).status_code == 404


def test_head_is_get_without_the_body(client: TestClient) -> None:
    for path, headers in (("/api/datasets", ANN), ("/api/datasets", {}), ("/api/openapi.json", {}), ("/api/v9/x", {})):
        get, head = client.get(path, headers=headers), client.head(path, headers=headers)
        assert head.content == b""
        assert head.status_code == get.status_code
        for name in ("content-type", "content-length"):
            assert head.headers[name] == get.headers[name]
    assert "HEAD" in client.patch(LINKS, headers=ANN).headers["allow"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/x", 404),
        ("/api/nope", 404),
        ("/web/nope.js", 404),
        ("/web/../link.html", 404),
        ("/web/%2e%2e/link.html", 400),
        # The CDN's own.
        ("/c/x/1/v3/a.zarr/zarr.json", 410),
        ("/u/x", 410),
    ],
)
def test_other_addresses_are_unknown(client: TestClient, path: str, status: int) -> None:
    reply = client.get(path)
    assert reply.status_code == status
    assert reply.headers["content-type"] == "application/problem+json"


def test_wrong_methods_are_named(client: TestClient) -> None:
    reply = client.patch(LINKS, headers=ANN)
    assert reply.status_code == 405
    assert "POST" in reply.headers["allow"]


def test_the_openapi_describes_every_route(client: TestClient) -> None:
    document = client.get("/api/openapi.json").json()
    assert set(document["paths"]) == {
        "/zarr/{token}",
        "/api/buildinfo",
        "/api/datasets",
        "/api/features",
        LINKS,
        f"{LINKS}/byAnnotation/{{source_id}}",
        f"{LINKS}/byDataset/{{source_id}}",
        f"{LINKS}/{{link_id}}",
        "/api/annotations/readable",
        "/api/annotations/upload",
        "/api/annotations/{annotation_id}",
        "/api/annotations/{annotation_id}/info",
        "/api/annotations/{annotation_id}/view",
        "/api/annotations/{annotation_id}/download",
        "/api/user",
        "/api/datasets/{dataset_id}",
        "/api/datasets/{dataset_id}/replaced",
        "/api/datasets/{dataset_id}/view",
        "/api/datasets/disambiguate/{organization}/{name}/toId",
        "/api/datastores",
        "/api/tracingstore",
        "/data/datasets/{dataset_id}/layers/{layer}/data",
        *(
            f"/data/{place}/{tail}"
            for word in ("zarr", "zarr3_experimental")
            for place in (f"{word}/{{dataset_id}}", f"annotations/{word}/{{annotation_id}}")
            for tail in ("datasource-properties.json", ".zgroup", "{layer}/{document}", "{layer}/{mag}/{key}")
        ),
        "/zarr/{token}/",
        "/zarr/{token}/v3/{layer}.zarr/zarr.json",
        "/zarr/{token}/v3/{layer}.zarr/{level}/zarr.json",
        "/zarr/{token}/v3/{layer}.zarr/{level}/c/{z}/{y}/{x}",
        "/zarr/{token}/v2/{layer}.zarr/{document}",
        "/zarr/{token}/v2/{layer}.zarr/{level}/.zarray",
        "/zarr/{token}/v2/{layer}.zarr/{level}/{z}/{y}/{x}",
    }
    for address, path in document["paths"].items():
        for operation in path.values():
            assert operation["summary"]
            if address.startswith("/zarr/"):
                # The address is all that it takes.
                assert "401" not in operation["responses"]
                assert operation["security"] == []
                continue
            assert operation["responses"]["401"] == {"$ref": "#/components/responses/401"}
    assert "application/problem+json" in document["components"]["responses"]["401"]["content"]


def test_anybody_is_told_which_versions_are_served(client: TestClient) -> None:
    """WEBKNOSSOS's library asks this before it knows where to send its token."""
    answer = client.get("/api/buildinfo").json()
    assert answer == {"httpApiVersioning": {"currentApiVersion": 16, "oldestSupportedApiVersion": 10}}


def test_user_tokens_are_kept_only_as_hashes(machine: Machine) -> None:
    kept = machine.file.path.read_bytes() + machine.file.path.with_name("state.sqlite-wal").read_bytes()
    assert b"ann-token" not in kept
    assert hash_user_token("ann-token").encode() in kept
