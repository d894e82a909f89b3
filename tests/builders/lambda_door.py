"""The door of the cloud: API Gateway's events to the `stream` function's own handler, over S3 and DynamoDB as moto plays them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from types import ModuleType
from typing import Any

from obstore.store import S3Store

from builders.door import Backend
from builders.modules import load_module
from builders.moto_aws import REGION, MotoAws, fixed_credentials
from zarrlink.aws_tables import CATALOGUE, LINKS
from zarrlink.catalogue.dynamodb import DynamoCatalogue
from zarrlink.http.message import Request, Response
from zarrlink.http.routes import DataPath
from zarrlink.links.dynamodb import DynamoLinks
from zarrlink.storage.s3 import S3Source

# What the template sets, with names that lead nowhere.
ENVIRONMENT = {
    "LINKS_TABLE": "links",
    "CATALOGUE_TABLE": "catalogue",
    "ANNOTATIONS_TABLE": "annotations",
    "ANNOTATION_BUCKET": "annotations-bucket",
    "ANNOTATION_IMPORT": "annotation-import",
    "USERS_TABLE": "users",
    "JOBS_TABLE": "jobs",
    "EXPORT_BUCKET": "export-bucket",
    "EXPORT_MACHINE": "arn:aws:states:eu-central-1:123456789012:stateMachine:export",
    "LINK_KEYS_SECRET": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:keys",
    "HEAD_WITH_BODY": "false",
    "POWERTOOLS_SERVICE_NAME": "stream",
    "POWERTOOLS_METRICS_NAMESPACE": "zarrlink",
    "AWS_REGION": "eu-central-1",
}
FUNCTIONS = Path(__file__).parents[2] / "functions"


class S3Objects(MutableMapping[str, bytes]):
    """The objects of a bucket, as a dictionary."""

    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def __getitem__(self, key: str) -> bytes:
        try:
            body: bytes = self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        except self._client.exceptions.NoSuchKey as error:
            raise KeyError(key) from error
        return body

    def __setitem__(self, key: str, value: bytes) -> None:
        self._client.put_object(Bucket=self._bucket, Key=key, Body=value)

    def __delitem__(self, key: str) -> None:
        self._client.delete_object(Bucket=self._bucket, Key=key)

    def __iter__(self) -> Iterator[str]:
        for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket):
            yield from (entry["Key"] for entry in page.get("Contents", []))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __or__(self, other: dict[str, bytes]) -> S3Objects:
        self.update(other)
        return self


class LambdaBackend(Backend):
    """Everything as the function has it, its handler too; only the clocks are the tests' own."""

    location = "s3://bucket/ds"

    def __init__(self, aws: MotoAws, stream: ModuleType) -> None:
        self._aws = aws
        self._stream = stream

    def source(self, objects: dict[str, bytes]) -> S3Source:
        bucket = self._aws.new_bucket()
        store = S3Store(
            bucket,
            endpoint=self._aws.endpoint,
            region=REGION,
            credential_provider=fixed_credentials,
            client_options={"allow_http": True},
        )
        source = S3Source(store, "", f"s3://{bucket}")
        # What tests change to change what is stored.
        source.objects = S3Objects(self._aws.client("s3"), bucket)  # type: ignore[attr-defined]
        source.objects.update(objects)  # type: ignore[attr-defined]
        return source

    def catalogue(self) -> DynamoCatalogue:
        return DynamoCatalogue(self._aws.client("dynamodb"), self._aws.new_table(CATALOGUE))

    def links(self) -> DynamoLinks:
        return DynamoLinks(self._aws.client("dynamodb"), self._aws.new_table(LINKS))

    def send(self, path: DataPath, request: Request) -> Response:
        setattr(self._stream, "data_path", lambda: path)  # noqa: B010 (a module has what it has)
        # Through JSON both ways, as it goes.
        event = json.loads(json.dumps(rest_event(request)))
        return response_of(json.loads(json.dumps(self._stream.handler(event, None))), head=request.method == "HEAD")


def rest_event(request: Request, body: bytes = b"") -> dict[str, Any]:
    """What a REST API with binary media types hands to a proxy integration (payload version 1.0)."""
    folder = request.path.split("/")[1]
    headers = {name.decode().title(): value.decode("latin-1") for name, value in request.headers.items()}
    return {
        "resource": f"/{folder}/{{proxy+}}",
        "path": request.path,
        "httpMethod": request.method,
        "headers": {"Host": "abc123.execute-api.eu-central-1.amazonaws.com", "X-Forwarded-Proto": "https", **headers},
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": {"proxy": request.path.removeprefix(f"/{folder}/")},
        "stageVariables": None,
        "requestContext": {
            "resourceId": "a1b2c3",
            "resourcePath": f"/{folder}/{{proxy+}}",
            "httpMethod": request.method,
            "path": f"/v1{request.path}",
            "stage": "v1",
            "domainName": "abc123.execute-api.eu-central-1.amazonaws.com",
            "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
            "identity": {"sourceIp": "192.0.2.1", "userAgent": "zarr-python"},
        },
        "body": base64.b64encode(body).decode() if body else None,
        "isBase64Encoded": bool(body),
    }


def response_of(answer: dict[str, Any], *, head: bool) -> Response:
    """What API Gateway makes of an answer; it sends no body after HEAD."""
    assert set(answer) == {"statusCode", "headers", "isBase64Encoded", "body"}
    assert answer["isBase64Encoded"] is True
    headers = tuple((name.encode(), value.encode("latin-1")) for name, value in answer["headers"].items())
    return Response(answer["statusCode"], headers, b"" if head else base64.b64decode(answer["body"], validate=True))


def load_function(name: str) -> ModuleType:
    """A function's module, freshly imported under a name of its own; its environment must be set."""
    return load_module(f"function_{name}", FUNCTIONS / name / "app.py")


def suite_of(suite: str) -> dict[str, Any]:
    """Everything in a test module (its path below tests/), to be run again elsewhere."""
    path = Path(__file__).parents[1] / suite
    module = load_module(f"again_{path.stem}", path)
    return {name: value for name, value in vars(module).items() if not name.startswith("__")}
