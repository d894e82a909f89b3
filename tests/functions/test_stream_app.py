"""The `stream` function itself: its own parts, put together as in the cloud, and what it logs."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from builders.gateway import Gateway
from builders.lambda_door import ENVIRONMENT, S3Objects, load_function, rest_event
from builders.loopback import served
from builders.moto_aws import MotoAws
from builders.template import ROOT
from builders.wkw_files import LayerFiles, dataset, noise, ramp
from zarrlink.aws_tables import ANNOTATIONS, CATALOGUE, LINKS
from zarrlink.catalogue.dynamodb import DynamoCatalogue
from zarrlink.errors import SourceUnavailable
from zarrlink.formats.wkw import BlockType
from zarrlink.geometry import Mag
from zarrlink.http.lambda_events import MAX_BODY_BYTES, reply_of, request_of
from zarrlink.http.message import Request, Response
from zarrlink.links.dynamodb import DynamoLinks
from zarrlink.links.model import Link
from zarrlink.links.secrets import read_key_ring
from zarrlink.view import View

ONE = Mag(1, 1, 1)
# 128^3 uint16 that no codec can compress: the largest shard that there is.
LARGEST = noise((128, 128, 128), "uint16")
CONTEXT = SimpleNamespace(aws_request_id="request-1", function_name="stream", memory_limit_in_mb=512)


@pytest.fixture(scope="module")
def cloud(aws: MotoAws) -> Iterator[SimpleNamespace]:
    """Tables, a bucket and a secret, and the function that finds them by its environment."""
    with pytest.MonkeyPatch.context() as patch:
        links, catalogue, bucket = aws.new_table(LINKS), aws.new_table(CATALOGUE), aws.new_bucket()
        annotations = aws.new_table(ANNOTATIONS)
        secret = aws.client("secretsmanager").create_secret(
            Name="keys", SecretString=json.dumps({"current": "a", "a": "x" * 64})
        )["ARN"]
        environment = {
            **ENVIRONMENT,
            "LINKS_TABLE": links,
            "CATALOGUE_TABLE": catalogue,
            "ANNOTATIONS_TABLE": annotations,
            "LINK_KEYS_SECRET": secret,
            "HEAD_WITH_BODY": "true",
            **aws.environment(),
        }
        for name, value in environment.items():
            patch.setenv(name, value)
        objects = S3Objects(aws.client("s3"), bucket)
        layers = (
            LayerFiles("em", {ONE: ramp((40, 40, 40))}),
            LayerFiles("raw", {ONE: LARGEST}, block_side=32, file_side=4, block_type=BlockType.RAW),
            LayerFiles("lz4", {ONE: LARGEST}, block_side=32, file_side=4),
        )
        for key, data in dataset(*layers).items():
            objects[f"volumes/mouse/{key}"] = data
        record = DynamoCatalogue(aws.client("dynamodb"), catalogue).register("mouse", f"s3://{bucket}/volumes/mouse", 1)
        stream = load_function("stream")
        library = stream.data_path().streamer.library
        view = View(record.id, ("em", "lz4", "raw"))
        geometry = {}
        for name in view.layers:
            geometry[name] = stream.LOOP.run_until_complete(library.layer(view, name)).fingerprint
        link = Link("AAAAAAAAAAAAAAAA", "ann", view, geometry, "", "", 1, None)
        DynamoLinks(aws.client("dynamodb"), links).add(link)
        token = read_key_ring(aws.client("secretsmanager"), secret).token(link.id)
        yield SimpleNamespace(stream=stream, token=token, objects=objects)
        stream.LOOP.close()


def call(cloud: SimpleNamespace, below: str, method: str = "GET", **headers: str) -> dict[str, Any]:
    given = {name.encode(): value.encode() for name, value in headers.items()}
    event = rest_event(Request(method, f"/zarr/{cloud.token}/{below}", given))
    answer: dict[str, Any] = cloud.stream.handler(event, CONTEXT)
    return answer


def test_the_function_puts_its_own_parts_together(cloud: SimpleNamespace) -> None:
    answer = call(cloud, "v3/em.zarr/zarr.json")
    assert answer["statusCode"] == 200
    assert json.loads(base64.b64decode(answer["body"]))["node_type"] == "group"
    assert call(cloud, "v3/em.zarr/0/c/0/0/0")["statusCode"] == 200
    assert call(cloud, "v3/other.zarr/zarr.json")["statusCode"] == 410


def test_head_is_answered_like_get_where_the_gateway_strips_the_body(cloud: SimpleNamespace) -> None:
    head, get = call(cloud, "v3/em.zarr/0/c/0/0/0", "HEAD", range="bytes=0-9"), call(cloud, "v3/em.zarr/0/c/0/0/0")
    assert head == get
    assert head["headers"]["content-length"] == str(len(base64.b64decode(head["body"])))


@pytest.mark.parametrize("layer", ["raw", "lz4"])
def test_the_largest_shard_fits_a_lambda_answer(cloud: SimpleNamespace, layer: str) -> None:
    answer = call(cloud, f"v3/{layer}.zarr/0/c/0/0/0")
    assert answer["statusCode"] == 200
    assert len(base64.b64decode(answer["body"])) > 4 * 2**20
    assert len(json.dumps(answer)) < 6_000_000


def test_what_lambda_could_not_carry_is_refused_before_it_fails() -> None:
    assert reply_of(Response(200, (), bytes(MAX_BODY_BYTES)))["statusCode"] == 200
    refused = reply_of(Response(200, (), bytes(MAX_BODY_BYTES + 1)))
    assert refused["statusCode"] == 413
    detail = json.loads(base64.b64decode(refused["body"]))["detail"]
    assert "more than the 4700000" in detail
    assert "Range" in detail
    assert len(json.dumps(reply_of(Response(200, (), bytes(MAX_BODY_BYTES))))) < 6_291_556


def test_one_line_a_request_and_no_token_in_it(cloud: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    call(cloud, "v3/em.zarr/0/c/0/0/0")
    out = io.StringIO()
    (handler,) = cloud.stream.LOGGER.handlers
    handler.setStream(out)
    capsys.readouterr()
    call(cloud, "v3/em.zarr/0/c/0/0/1")
    lines = [json.loads(line) for line in (out.getvalue() + capsys.readouterr().out).splitlines()]
    (line,) = [line for line in lines if line.get("message") == "request"]
    assert line["request_id"] == "request-1"
    assert (line["method"], line["key"], line["status"]) == ("GET", "v3/em.zarr/0/c/0/0/1", 200)
    assert line["source_requests"] == 2
    assert line["bytes_sent"] > 0
    (metrics,) = [line for line in lines if "_aws" in line]
    assert metrics["Served"] == [1.0]
    assert cloud.token not in json.dumps(lines)
    assert cloud.token[1:17] not in json.dumps(lines)


def test_the_line_of_a_failure_names_its_request_and_its_link(
    cloud: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the answer's `instance`: whoever shows that is told of the request."""
    out = io.StringIO()
    (handler,) = cloud.stream.LOGGER.handlers
    handler.setStream(out)

    def unreadable() -> None:
        raise SourceUnavailable("secret: ThrottlingException")

    monkeypatch.setattr(cloud.stream, "data_path", unreadable)
    answer = call(cloud, "v3/em.zarr/zarr.json")
    instance = json.loads(base64.b64decode(answer["body"]))["instance"]
    failure, request = [json.loads(line) for line in out.getvalue().splitlines()]
    assert (failure["level"], request["level"]) == ("ERROR", "INFO")
    assert instance in failure["message"]
    hashed = hashlib.sha256(cloud.token[1:17].encode()).hexdigest()[:12]
    for line in (failure, request):
        assert (line["request_id"], line["link"]) == ("request-1", hashed)
    assert cloud.token[1:17] not in out.getvalue()

    # What is no link's is not called by the one before.
    monkeypatch.undo()
    cloud.stream.handler(rest_event(Request("GET", "/", {})), SimpleNamespace(aws_request_id="request-2"))
    last = json.loads(out.getvalue().splitlines()[-1])
    assert (last["request_id"], last["link"] == hashed) == ("request-2", False)


def test_every_check_of_make_smoke_holds(cloud: SimpleNamespace) -> None:
    with served(Gateway({"zarr": lambda event: cloud.stream.handler(event, CONTEXT)})) as address:
        run = subprocess.run(
            [sys.executable, str(ROOT / "infra" / "smoke.py"), f"{address}/zarr/{cloud.token}/"],
            capture_output=True,
            text=True,
            check=False,
        )
    assert run.returncode == 0, run.stdout + run.stderr


def test_keys_that_cannot_be_read_are_a_failure_like_any_other(
    cloud: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And only until they can."""
    make = cloud.stream.data_path

    def unreadable() -> None:
        raise SourceUnavailable("secret: ThrottlingException")

    monkeypatch.setattr(cloud.stream, "data_path", unreadable)
    answer = call(cloud, "v3/em.zarr/zarr.json")
    assert answer["statusCode"] == 503
    assert answer["headers"]["retry-after"]
    assert answer["headers"]["access-control-allow-origin"] == "*"
    monkeypatch.setattr(cloud.stream, "data_path", make)
    assert call(cloud, "v3/em.zarr/zarr.json")["statusCode"] == 200


def test_an_event_without_headers_is_a_request() -> None:
    assert request_of({"httpMethod": "GET", "path": "/zarr/x", "headers": None}).headers == {}


def test_a_missing_variable_is_named_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ValueError, match="LINKS_TABLE"):
        load_function("stream")


def test_the_module_loads_no_heavy_library(stream: ModuleType) -> None:
    code = f"import runpy, sys; runpy.run_path({stream.__file__!r}); print(*sorted(sys.modules))"
    run = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **ENVIRONMENT}, capture_output=True, text=True, check=True
    )
    modules = set(run.stdout.split())
    assert "zarrlink.http.routes" in modules
    heavy = {"numpy", "zarr", "tensorstore", "fastapi", "boto3", "aws_xray_sdk"}
    assert not {name.partition(".")[0] for name in modules} & heavy
    # Powertools looks whether botocore is there; what costs is its session.
    assert not modules & {"botocore.session", "botocore.client"}
