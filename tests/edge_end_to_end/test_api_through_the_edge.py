"""The API behind the edge: bodies come through, addresses are the CDN's, and a revocation says when it is known everywhere."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from typing import Any

from builders.local_cdn import LocalEdge, ask
from builders.local_jobs import until

LINKS = "/api/zarrPrivateLinks"


def token_of_somebody(edge: LocalEdge) -> str:
    command = [sys.executable, "-c", "from zarrlink_local.cli import main; main()", "users", "add", "ann", "--admin"]
    state = ["--state", str(edge.machine.file.path), "--json"]
    return json.loads(subprocess.run([*command, *state], check=True, capture_output=True, text=True).stdout)["token"]


def call(edge: LocalEdge, token: str, method: str, path: str, body: object = None) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    headers = {"X-Auth-Token": token, "Content-Type": "application/json"}
    request = urllib.request.Request(edge.address + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, json.load(refused)


def test_a_link_made_and_revoked_through_the_api(edge: LocalEdge) -> None:
    token = token_of_somebody(edge)
    (record,) = edge.machine.catalogue.all()
    status, link = call(edge, token, "POST", LINKS, {"dataset": record.id, "name": "x" * 200, "note": "y" * 2000})
    assert (status, link["note"]) == (200, "y" * 2000)
    layer = link["layers"][0]
    assert link["page"].startswith(f"{edge.address}/zarr/")
    assert layer["v3"].startswith(link["page"])
    until(lambda: "x-cache" in ask(f"{layer['v2']}/0/0/0/0").headers)

    status, revoked = call(edge, token, "DELETE", f"{LINKS}/{link['id']}")
    assert (status, revoked["state"]) == (202, "revoking")
    until(lambda: call(edge, token, "GET", f"{LINKS}/{link['id']}")[0] == 404)
    # From then on no request is answered, wherever it comes in.
    assert ask(f"{layer['v2']}/0/0/0/0").status == 410


def test_answers_of_the_api_are_never_shared(edge: LocalEdge) -> None:
    edge.asked.clear()
    assert [ask(f"{edge.address}/api/buildinfo").status for _ in range(2)] == [200, 200]
    assert edge.reads() == ["/api/buildinfo"] * 2
    assert len({one.headers["x-zarrlink-alone"] for one in edge.asked}) == 2
