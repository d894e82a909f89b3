"""`stream` and `api` where a CDN stands in front of them; and `api` below /data, with a CDN or without."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from builders.emf import emf_lines, total
from builders.lambda_door import ENVIRONMENT, S3Objects, load_function, rest_event
from builders.moto_aws import MotoAws
from builders.wkw_files import LayerFiles, dataset, ramp
from zarrlink.aws_tables import ANNOTATIONS, CATALOGUE, LINKS, USERS
from zarrlink.catalogue.dynamodb import DynamoCatalogue
from zarrlink.edge.revision import revision_of
from zarrlink.geometry import Mag
from zarrlink.http.message import Request
from zarrlink.links.dynamodb import DynamoLinks
from zarrlink.users.dynamodb import DynamoUsers
from zarrlink.users.interface import User, hash_user_token

CONTEXT = SimpleNamespace(aws_request_id="request-1", function_name="api", memory_limit_in_mb=512)
SECRET, NEXT = "e" * 64, "f" * 64
CHUNK = "v3/em.zarr/0/c/0/0/0"


@pytest.fixture(params=["cdn", "no cdn"])
def stack(aws: MotoAws, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """Both functions over one set of tables, and a link that `api` has made."""
    dynamodb, secrets = aws.client("dynamodb"), aws.client("secretsmanager")
    bucket = aws.new_bucket()
    names = {"CATALOGUE_TABLE": CATALOGUE, "ANNOTATIONS_TABLE": ANNOTATIONS, "LINKS_TABLE": LINKS, "USERS_TABLE": USERS}
    tables = {name: aws.new_table(definition) for name, definition in names.items()}
    keys = json.dumps({"current": "a", "a": "x" * 64})
    edge_secret = secrets.create_secret(Name=f"edge-{bucket}", SecretString=SECRET)["ARN"]
    has_cdn = request.param == "cdn"
    for name, value in {
        **ENVIRONMENT,
        **tables,
        "LINK_KEYS_SECRET": secrets.create_secret(Name=f"keys-{bucket}", SecretString=keys)["ARN"],
        "EDGE_SECRET": edge_secret if has_cdn else "",
        **aws.environment(),
    }.items():
        monkeypatch.setenv(name, value)
    layers = (LayerFiles("em", {Mag(1, 1, 1): ramp((40, 20, 20))}), LayerFiles("b c", {Mag(1, 1, 1): ramp((9, 9, 9))}))
    S3Objects(aws.client("s3"), bucket).update(dataset(*layers))
    record = DynamoCatalogue(dynamodb, tables["CATALOGUE_TABLE"]).register("mouse", f"s3://{bucket}", 1)
    DynamoUsers(dynamodb, tables["USERS_TABLE"]).add(User("ann", 1), hash_user_token("token"))
    stack = SimpleNamespace(
        api=load_function("api"), stream=load_function("stream"), dataset=record.id, has_cdn=has_cdn,
        secrets=secrets, edge_secret=edge_secret,
    )  # fmt: skip
    made = ask(stack, stack.api, "POST", "/api/zarrPrivateLinks", {"dataset": record.id}).json
    link = DynamoLinks(dynamodb, tables["LINKS_TABLE"]).get(made["id"])
    assert link is not None
    stack.link, stack.made = link, made
    stack.pinned = f"/c/{link.view.id}/{revision_of(('1', ''), link.geometry)}"
    yield stack
    stack.stream.LOOP.close()


class Reply(SimpleNamespace):
    """What a function answered: status, headers, body."""

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    stack: SimpleNamespace,
    function: Any,
    method: str,
    path: str,
    body: Any = None,
    secret: str | None = SECRET,
    **headers: str,
) -> Reply:
    given = {
        "x_auth_token": "token",
        "content_type": "application/json",
        "x_zarrlink_host": "links.example.org",
        **headers,
    }
    if secret is not None:
        given["x_zarrlink_edge"] = secret
    event = rest_event(
        Request(method, path, {name.replace("_", "-").encode(): value.encode() for name, value in given.items()})
    )
    if body is not None:
        event["body"] = json.dumps(body)
    answer = function.handler(event, CONTEXT)
    found = base64.b64decode(answer["body"]) if answer["isBase64Encoded"] else answer["body"].encode()
    return Reply(status=answer["statusCode"], headers=answer["headers"], body=found)


def test_addresses_begin_with_what_the_cdn_was_reached_by(stack: SimpleNamespace) -> None:
    own = "https://links.example.org" if stack.has_cdn else "https://abc123.execute-api.eu-central-1.amazonaws.com/v1"
    assert stack.made["page"] == f"{own}/zarr/{stack.made['accessToken']}/"


def test_a_link_is_answered_where_it_is_checked(stack: SimpleNamespace) -> None:
    token, header = stack.made["accessToken"], {"x_zarrlink_link": stack.link.id}
    statuses = {
        f"/zarr/{token}/{CHUNK}": 410 if stack.has_cdn else 200,
        f"{stack.pinned}/{CHUNK}": 200 if stack.has_cdn else 410,
        f"/u/{stack.link.id}/{CHUNK}": 200 if stack.has_cdn else 410,
        f"/u/-/{CHUNK}": 200 if stack.has_cdn else 410,
    }
    for path, status in statuses.items():
        reply = ask(stack, stack.stream, "GET", path, x_zarrlink_token=token, **header)
        assert reply.status == status, path
        assert reply.headers["access-control-allow-origin"] == "*"
    if stack.has_cdn:
        pinned = ask(stack, stack.stream, "GET", f"{stack.pinned}/w3/em/1/0.0.0.0", **header)
        assert pinned.headers["cache-control"] == "public, max-age=300, s-maxage=31536000, immutable"
        assert len(pinned.body) == 32**3


@pytest.mark.parametrize("stack", ["cdn"], indirect=True)
def test_past_the_cdn_there_is_nothing(stack: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    """Which is counted: a CDN that says another secret fails at nothing, and lets nobody in."""
    for function, path in (
        (stack.stream, f"{stack.pinned}/{CHUNK}"),
        (stack.stream, f"/u/{stack.link.id}/"),
        (stack.api, "/api/datasets"),
        (stack.api, "/web/link.js"),
        (stack.api, "/"),
        (stack.api, f"/data/zarr/{stack.dataset}/em/1/0.0.0.0"),
    ):
        for secret in (None, "", SECRET[1:]):
            capsys.readouterr()
            reply = ask(stack, function, "GET", path, secret=secret, x_zarrlink_link=stack.link.id)
            assert (reply.status, reply.headers["cache-control"]) == (410, "no-store"), path
            assert total(emf_lines(capsys.readouterr().out), "Refused") == 1, path
            assert reply.headers["access-control-allow-origin"] == "*"
        assert ask(stack, function, "GET", path, x_zarrlink_link=stack.link.id).status == 200, path


@pytest.mark.parametrize("stack", ["cdn"], indirect=True)
def test_the_secret_is_rotated_without_an_outage(stack: SimpleNamespace) -> None:
    path, header = f"{stack.pinned}/{CHUNK}", {"x_zarrlink_link": stack.link.id}
    assert ask(stack, stack.stream, "GET", path, **header).status == 200
    stack.secrets.put_secret_value(SecretId=stack.edge_secret, SecretString=NEXT)
    for secret in (SECRET, NEXT, SECRET, NEXT):
        assert ask(stack, stack.stream, "GET", path, secret=secret, **header).status == 200
        assert ask(stack, stack.api, "GET", "/api/datasets", secret=secret).status == 200


def test_below_data_by_id_and_by_token(stack: SimpleNamespace) -> None:
    by_id = ask(stack, stack.api, "GET", f"/data/zarr/{stack.dataset}/em/1/0.0.0.0")
    assert (by_id.status, len(by_id.body)) == (200, 32**3)
    assert ask(stack, stack.api, "GET", f"/data/v14/zarr/{stack.dataset}/b%20c/1/.zarray").json["zarr_format"] == 2
    token = stack.made["accessToken"]
    by_token = ask(stack, stack.api, "GET", f"/data/annotations/zarr/{token}/em/1/0.0.0.0", x_auth_token="")
    assert by_token.status == (410 if stack.has_cdn else 200)
    if stack.has_cdn:
        # The edge rewrites it.
        return
    assert by_token.body == by_id.body
    assert by_token.headers["access-control-allow-origin"] == "*"
    array = ask(stack, stack.api, "GET", f"/data/v14/annotations/zarr/{token}/b%20c/1/.zarray", x_auth_token="")
    assert array.json["zarr_format"] == 2


def test_no_token_and_no_link_is_logged(stack: SimpleNamespace) -> None:
    out = io.StringIO()
    for function in (stack.api, stack.stream):
        (handler,) = function.LOGGER.handlers
        handler.setStream(out)
    token, header = stack.made["accessToken"], {"x_zarrlink_link": stack.link.id}
    paths = (
        f"{stack.pinned}/{CHUNK}",
        f"/u/{stack.link.id}/{CHUNK}",
        f"/u/-/{CHUNK}",
        f"/zarr/{token}/{CHUNK}",
        "/c/",
        "/u",
    )
    for path in paths:
        ask(stack, stack.stream, "GET", path, x_zarrlink_token=token, **header)
    ask(stack, stack.api, "GET", f"/data/annotations/zarr/{token}/em/1/0.0.0.0")
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    told = [line for line in lines if line.get("message") == "request"]
    assert len(told) == len(paths) + 1
    links = {line["link"] for line in told[:4]}
    assert len(links) == 1
    assert {line["key"] for line in told[:4]} <= {CHUNK, ""}
    for secret in (token, stack.link.id, SECRET):
        assert secret not in out.getvalue()
