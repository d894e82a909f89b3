"""What Lambda carries: the largest shard passes, and whatever would not pass is refused by us, in words."""

from __future__ import annotations

import base64
import json
import secrets
from pathlib import Path
from typing import Any

import pytest

from builders.emulator import FunctionFailed, Runtime, emulated, skip_unless_built
from builders.lambda_door import rest_event
from zarrlink.http.lambda_events import MAX_ANSWER_BYTES, MAX_BODY_BYTES
from zarrlink.http.message import Request
from zarrlink.links.model import Link
from zarrlink.view import View

skip_unless_built()

# Answers of any length, by the built layer's own code or past it.
APP = """
from zarrlink.http.lambda_events import reply_of
from zarrlink.http.message import Response

def handler(event, context):
    if event["past_us"]:
        return "x" * event["bytes"]
    return reply_of(Response(200, (), bytes(event["bytes"])))
"""


@pytest.mark.parametrize("layer", ["raw", "lz4"])
def test_the_largest_shard_passes(deployment: Any, link: str, layer: str) -> None:
    """128^3 uint16 that nothing compresses: 4 MiB, and base64 on top."""
    event = rest_event(Request("GET", f"{link}/v3/{layer}.zarr/0/c/0/0/0", {}))
    status, body = deployment.functions["StreamFunction"].post(event)
    answer = json.loads(body)
    assert (status, answer["statusCode"]) == (200, 200)
    assert len(base64.b64decode(answer["body"])) > 2 * 128**3
    assert len(body) < 6_000_000


def test_our_limit_is_below_lambdas(runtime: Runtime, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    path = [tmp_path, *runtime.folders("StreamFunction")]
    with emulated(runtime, path, {"AWS_LAMBDA_FUNCTION_TIMEOUT": "25"}, tmp_path / "log") as function:
        most = function.invoke({"bytes": MAX_BODY_BYTES, "past_us": False})
        refused = function.invoke({"bytes": MAX_BODY_BYTES + 1, "past_us": False})
        # A text's two quotes count as well.
        whole = function.invoke({"bytes": MAX_ANSWER_BYTES - 2, "past_us": True})
        with pytest.raises(FunctionFailed) as failure:
            function.invoke({"bytes": MAX_ANSWER_BYTES - 1, "past_us": True})
    assert most["statusCode"] == 200
    assert len(whole) == MAX_ANSWER_BYTES - 2
    assert failure.value.kind == "Function.ResponseSizeTooLarge"
    problem = json.loads(base64.b64decode(refused["body"]))
    assert refused["statusCode"] == problem["status"] == 413
    assert "Range" in problem["detail"]
    assert refused["headers"]["access-control-allow-origin"] == "*"
    assert refused["headers"]["cache-control"] == "no-store"


def test_a_list_that_lambda_would_not_carry_is_refused_in_words(deployment: Any) -> None:
    deployment.stack.add_user("many", "token-of-many")
    view = View(deployment.record.id, tuple(f"layer {number:03} {'ä' * 30}" for number in range(400)))
    for number in range(40):
        link_id = secrets.token_urlsafe(12)
        deployment.stack.links().add(Link(link_id, "many", view, {}, "", "", number, None))
    answer = deployment.send("GET", "/api/zarrPrivateLinks", x_auth_token="token-of-many")
    problem = json.loads(answer["body"])
    assert answer["statusCode"] == problem["status"] == 413
    assert "one dataset" in problem["detail"]
    one = deployment.send("GET", f"/api/zarrPrivateLinks/{link_id}", x_auth_token="token-of-many")
    assert one["statusCode"] == 200
