"""The `api` function: a link made through API Gateway's events, over DynamoDB and S3."""

from __future__ import annotations

import base64
import io
import json
import os
from types import SimpleNamespace
from typing import Any

import pytest

from builders.lambda_door import ENVIRONMENT, S3Objects, load_function, rest_event
from builders.moto_aws import MotoAws
from builders.wkw_files import LayerFiles, dataset, ramp
from zarrlink.aws_tables import ANNOTATIONS, CATALOGUE, LINKS, USERS
from zarrlink.catalogue.dynamodb import DynamoCatalogue
from zarrlink.errors import InvalidRequest, SourceUnavailable
from zarrlink.geometry import Mag
from zarrlink.http import lambda_events
from zarrlink.http.message import Request
from zarrlink.users.dynamodb import DynamoUsers
from zarrlink.users.interface import User, hash_user_token

CONTEXT = SimpleNamespace(aws_request_id="request-1", function_name="api", memory_limit_in_mb=512)


@pytest.fixture
def api(aws: MotoAws, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    dynamodb = aws.client("dynamodb")
    annotations = aws.new_table(ANNOTATIONS)
    catalogue, users, bucket = aws.new_table(CATALOGUE), aws.new_table(USERS), aws.new_bucket()
    secret = aws.client("secretsmanager").create_secret(
        Name=f"keys-{bucket}", SecretString=json.dumps({"current": "a", "a": "x" * 64})
    )["ARN"]
    for name, value in {
        **ENVIRONMENT,
        "LINKS_TABLE": aws.new_table(LINKS),
        "CATALOGUE_TABLE": catalogue,
        "ANNOTATIONS_TABLE": annotations,
        "USERS_TABLE": users,
        "LINK_KEYS_SECRET": secret,
        **aws.environment(),
    }.items():
        monkeypatch.setenv(name, value)
    S3Objects(aws.client("s3"), bucket).update(dataset(LayerFiles("em", {Mag(1, 1, 1): ramp((20, 20, 20))})))
    record = DynamoCatalogue(dynamodb, catalogue).register("mouse", f"s3://{bucket}", 1)
    DynamoUsers(dynamodb, users).add(User("ann", 1), hash_user_token("token"))
    return SimpleNamespace(function=load_function("api"), dataset=record.id)


def call(api: SimpleNamespace, method: str, path: str, body: Any = None, token: str = "token") -> tuple[int, Any]:
    headers = {b"x-auth-token": token.encode(), b"content-type": b"application/json"}
    event = {**rest_event(Request(method, path, headers)), "resource": "/api/{proxy+}"}
    if body is not None:
        event["body"] = json.dumps(body)
    answer = api.function.handler(event, CONTEXT)
    text = base64.b64decode(answer["body"]) if answer["isBase64Encoded"] else answer["body"]
    return answer["statusCode"], json.loads(text)


def test_a_link_is_made_listed_changed_and_revoked(api: SimpleNamespace) -> None:
    status, made = call(api, "POST", "/api/zarrPrivateLinks", {"dataset": api.dataset, "name": "For Ann"})
    assert status == 200, made
    own = "https://abc123.execute-api.eu-central-1.amazonaws.com/v1"
    assert made["page"] == f"{own}/zarr/{made['accessToken']}/"
    assert call(api, "GET", "/api/v14/zarrPrivateLinks") == (200, [made])
    status, changed = call(api, "PUT", f"/api/zarrPrivateLinks/{made['id']}", {"expirationDateTime": None})
    assert (status, changed["expirationDateTime"]) == (200, None)
    assert call(api, "DELETE", f"/api/zarrPrivateLinks/{made['id']}")[0] == 200
    assert call(api, "GET", "/api/zarrPrivateLinks") == (200, [])


def test_a_stranger_is_asked_to_sign_in(api: SimpleNamespace) -> None:
    status, problem = call(api, "GET", "/api/datasets", token="wrong")
    assert (status, problem["status"]) == (401, 401)


def test_the_pages_files_come_from_the_package(api: SimpleNamespace) -> None:
    answer = api.function.handler(rest_event(Request("GET", "/web/link.js", {})), CONTEXT)
    assert answer["statusCode"] == 200
    assert answer["headers"]["content-type"].startswith("text/javascript")


def test_one_line_a_request_without_the_address(api: SimpleNamespace) -> None:
    out = io.StringIO()
    (handler,) = api.function.LOGGER.handlers
    handler.setStream(out)
    call(api, "GET", "/api/zarrPrivateLinks/AAAAAAAAAAAAAAAA")
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    (line,) = [line for line in lines if line["message"] == "request"]
    assert (line["method"], line["route"], line["status"]) == ("GET", "/api/{proxy+}", 404)
    assert "AAAAAAAAAAAAAAAA" not in json.dumps(lines)


def test_a_list_that_lambda_would_not_carry_is_refused_in_words(
    api: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The status that is logged is the one that goes out."""
    monkeypatch.setattr(lambda_events, "MAX_ANSWER_BYTES", 100)
    out = io.StringIO()
    (handler,) = api.function.LOGGER.handlers
    handler.setStream(out)
    status, problem = call(api, "GET", "/api/datasets")
    assert (status, problem["status"]) == (413, 413)
    assert "one dataset" in problem["detail"]
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["status"] for line in lines if line["message"] == "request"] == [413]


def test_keys_that_cannot_be_read_are_a_failure_like_any_other(
    api: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(*_: object) -> None:
        raise SourceUnavailable("secret: ThrottlingException")

    monkeypatch.setattr(api.function.KEYS, "read", unreadable)
    out = io.StringIO()
    (handler,) = api.function.LOGGER.handlers
    handler.setStream(out)
    status, problem = call(api, "GET", "/api/datasets")
    assert status == 503
    failure, request = [json.loads(line) for line in out.getvalue().splitlines()]
    assert (failure["level"], failure["request_id"]) == ("ERROR", request["request_id"])
    assert problem["instance"] in failure["message"]


def answered(api: SimpleNamespace, method: str, path: str, **headers: str) -> dict[str, Any]:
    given = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    answer: dict[str, Any] = api.function.handler(rest_event(Request(method, path, given)), CONTEXT)
    return answer


def test_the_start_page_is_there(api: SimpleNamespace) -> None:
    answer = answered(api, "GET", "/")
    assert answer["statusCode"] == 200
    assert answer["headers"]["content-type"] == "text/html; charset=utf-8"
    assert "frame-ancestors 'none'" in answer["headers"]["content-security-policy"]


def test_pages_of_the_configured_origins_may_call(
    aws: MotoAws, api: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    ui = "https://ui.example.org"
    monkeypatch.setenv("ZARRLINK_UI_ORIGINS", f"{ui},https://other.example.org")
    there = SimpleNamespace(function=load_function("api"), dataset=api.dataset)
    asked = {"access_control_request_method": "POST", "access_control_request_headers": "x-auth-token"}
    before = answered(there, "OPTIONS", "/api/zarrPrivateLinks", origin=ui, **asked)
    assert before["statusCode"] == 204
    assert before["headers"]["access-control-allow-origin"] == ui
    assert "X-Auth-Token" in before["headers"]["access-control-allow-headers"]
    for path in ("/api/datasets", "/api/nope"):
        assert answered(there, "GET", path, origin=ui)["headers"]["access-control-allow-origin"] == ui
        assert (
            "access-control-allow-origin" not in answered(there, "GET", path, origin="https://evil.example")["headers"]
        )

    def unreadable(*_: object) -> None:
        raise SourceUnavailable("secret: ThrottlingException")

    # Answered by the handler itself, without the API.
    monkeypatch.setattr(there.function.KEYS, "read", unreadable)
    there.function.door.cache_clear()
    failed = answered(there, "GET", "/api/datasets", origin=ui)
    assert (failed["statusCode"], failed["headers"]["access-control-allow-origin"]) == (503, ui)


def test_a_setting_that_does_not_fit_stops_the_function(api: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZARRLINK_UI_ORIGINS", "*")
    with pytest.raises(InvalidRequest, match="is not the origin of a UI"):
        load_function("api")


def test_an_admin_registers_a_dataset_and_its_owner_shares_and_forgets_it(aws: MotoAws, api: SimpleNamespace) -> None:
    users = DynamoUsers(aws.client("dynamodb"), os.environ["USERS_TABLE"])
    users.add(User("root", 1, is_admin=True), hash_user_token("root"))
    bucket = aws.new_bucket()
    files = dataset(LayerFiles("em", {Mag(1, 1, 1): ramp((20, 20, 20))}))
    S3Objects(aws.client("s3"), bucket).update({f"rats/7/{key}": data for key, data in files.items()})
    body = {"name": "Rat", "location": f"s3://{bucket}/rats/7/", "tags": ["EM"], "visibility": "private"}
    assert call(api, "POST", "/api/datasets", body)[0] == 403
    for wrong in (f"s3://{bucket}/rats/8", f"s3://{ENVIRONMENT['EXPORT_BUCKET']}/x", "/etc", "https://host/x"):
        assert call(api, "POST", "/api/datasets", {**body, "location": wrong}, "root")[0] == 400, wrong
    status, made = call(api, "POST", "/api/datasets", body, "root")
    assert (status, made["owner"], made["tags"], made["visibility"]) == (200, "root", ["EM"], "private")
    assert call(api, "POST", "/api/datasets", body, "root")[0] == 400

    own = f"/api/datasets/{made['id']}"
    assert call(api, "GET", own)[0] == 404
    status, shared = call(api, "PATCH", own, {"collaborators": ["ann"], "description": "Cortex"}, "root")
    assert (status, shared) == (200, {**made, "collaborators": ["ann"], "description": "Cortex"})
    (listed,) = (it for it in call(api, "GET", "/api/datasets")[1] if it["id"] == made["id"])
    assert listed == {**shared, "collaborators": [], "isEditable": False}
    assert call(api, "PATCH", own, {"name": "mine"})[0] == 404

    link = call(api, "POST", "/api/zarrPrivateLinks", {"dataset": made["id"]})[1]
    preview = call(api, "POST", f"{own}/view")[1]
    assert preview["page"].startswith("https://abc123.execute-api.eu-central-1.amazonaws.com/v1/zarr/")
    assert [it["id"] for it in call(api, "GET", f"/api/zarrPrivateLinks/byDataset/{made['id']}", None, "root")[1]] == [
        link["id"]
    ]
    assert call(api, "DELETE", f"/api/zarrPrivateLinks/{link['id']}", None, "root")[0] == 200
    assert call(api, "DELETE", own, None, "root")[0] == 200
    assert call(api, "GET", own, None, "root")[0] == 404
