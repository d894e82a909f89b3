"""What the functions write: one line a request, and nowhere a token."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from builders.emulator import Emulated, Runtime, emulated, skip_unless_built
from builders.lambda_door import rest_event
from zarrlink.http.message import Request
from zarrlink.links.token import TOKEN_LENGTH

skip_unless_built()


def run(runtime: Runtime, name: str, environment: dict[str, str], log: Path, requests: list[Request]) -> list[Any]:
    """The answers' statuses of a function of its own, which has ended: its log is whole."""
    with emulated(runtime, runtime.folders(name), environment, log) as function:
        return [function.invoke(rest_event(request))["statusCode"] for request in requests]


def written(log: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The lines about requests, and all other lines that are JSON."""
    lines = [json.loads(line) for line in Emulated(0, 0, log).log_lines() if line.startswith("{")]
    requests = [line for line in lines if line.get("message") == "request"]
    return requests, [line for line in lines if line not in requests]


def test_one_line_a_request_and_no_token(runtime: Runtime, deployment: Any, link: str, tmp_path: Path) -> None:
    token, fake = link.removeprefix("/zarr/"), "a" + "B" * (TOKEN_LENGTH - 1)
    below = "/v3/em.zarr/0/c/0/0/0"
    paths = [f"/zarr/{token}{below}", f"/zarr/{token}{below[:-1]}9", f"/zarr/{fake}{below}", f"/zarr/{token}/"]
    # As a reader joins addresses wrongly, or as somebody writes them who wants the token in the log.
    wrong = [f"/zarr//{token}{below}", f"/zarr/v3/{token}{below}", f"/zarr/{token}/v3/em.zarr/{token}"]
    paths += wrong
    requests = [Request("GET", path, {}) for path in paths] + [
        Request("GET", paths[0], {b"range": b"bytes=999999999-"})
    ]
    environment, log = deployment.stack.environment("StreamFunction"), tmp_path / "log"

    statuses = run(runtime, "StreamFunction", environment, log, requests)

    lines, others = written(log)
    assert statuses == [200, 404, 410, 200, 410, 410, 404, 416]
    assert [line["status"] for line in lines] == statuses
    assert [line["service"] for line in lines] == ["stream"] * 8
    assert [line["key"] for line in lines[:2]] == [below[1:], f"{below[1:-1]}9"]
    # Powertools' metrics are the other ones.
    assert [set(line) & {"_aws"} for line in others] == [{"_aws"}] * 8
    text = log.read_text()
    for secret in (token, token[1:17], fake, fake[1:17]):
        assert secret not in text


def test_a_secret_that_cannot_be_read_is_503_and_no_crash(runtime: Runtime, deployment: Any, tmp_path: Path) -> None:
    for name, path in {"StreamFunction": "/zarr/x/v3/em.zarr/zarr.json", "ApiFunction": "/api/datasets"}.items():
        environment = deployment.stack.environment(name) | {"LINK_KEYS_SECRET": "no-such-secret"}
        assert run(runtime, name, environment, tmp_path / name, [Request("GET", path, {})] * 2) == [503, 503]
        lines, _ = written(tmp_path / name)
        assert [line["status"] for line in lines] == [503, 503]


def test_the_apis_lines(runtime: Runtime, deployment: Any, tmp_path: Path) -> None:
    made = deployment.make_link()
    headers = {b"x-auth-token": b"a-personal-token"}
    paths = ["/api/zarrPrivateLinks", f"/api/zarrPrivateLinks/{made['id']}", "/api/nothing"]
    requests = [Request("GET", path, headers) for path in paths]
    environment, log = deployment.stack.environment("ApiFunction"), tmp_path / "log"

    statuses = run(runtime, "ApiFunction", environment, log, requests)

    lines, others = written(log)
    assert statuses == [200, 200, 404]
    assert [(line["status"], line["route"]) for line in lines] == [(status, "/api/{proxy+}") for status in statuses]
    assert [set(line) & {"_aws"} for line in others] == [{"_aws"}] * 3
    for secret in ("a-personal-token", made["accessToken"], made["id"]):
        assert secret not in log.read_text()


@pytest.mark.parametrize("name", ["StreamFunction", "ApiFunction"])
def test_nothing_is_written_that_is_not_json_or_the_emulators(
    runtime: Runtime, deployment: Any, link: str, tmp_path: Path, name: str
) -> None:
    path = f"{link}/v3/em.zarr/zarr.json" if name == "StreamFunction" else "/api/zarrPrivateLinks"
    run(runtime, name, deployment.stack.environment(name), tmp_path / "log", [Request("GET", path, {})])
    lines = Emulated(0, 0, tmp_path / "log").log_lines()
    own = [line for line in lines if "(rapid)" not in line and line.split(" ")[0] not in ("START", "END", "REPORT")]
    assert [line for line in own if line.strip() and not line.startswith("{")] == []
