"""The functions that annotations need, over a stack as moto plays it; importing goes from one function to the other."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlencode
from uuid import uuid4

import pytest

from builders.lambda_door import S3Objects, load_function, rest_event
from builders.moto_aws import MotoAws
from builders.stack import Stack, make_stack
from builders.wkw_files import LayerFiles, dataset, ramp
from zarrlink.catalogue.interface import DatasetRecord
from zarrlink.geometry import Mag
from zarrlink.http.message import Request

SEGMENTS = ramp((64, 64, 64), "uint32")
FUNCTIONS = {"api": "ApiFunction", "stream": "StreamFunction", "annotation_import": "AnnotationImportFunction"}


class Context(SimpleNamespace):
    """What Lambda tells a function of an invocation. `seconds`: how long it may still run."""

    def __init__(self, seconds: float = 900) -> None:
        super().__init__(aws_request_id="request-1", function_name="f", memory_limit_in_mb=512)
        self.seconds = seconds

    def get_remaining_time_in_millis(self) -> int:
        return int(self.seconds * 1000)


class AnnotationStack:
    """Ann's and Bob's stack with a dataset of one segmentation. `events`: what the importing function was sent."""

    def __init__(self, aws: MotoAws, stack: Stack, functions: dict[str, ModuleType], record: DatasetRecord) -> None:
        self.stack = stack
        self.functions = functions
        self.dataset = record.id
        self.events: list[dict[str, str]] = []
        self.objects = S3Objects(aws.client("s3"), stack.made["AnnotationBucket"])

    def ask(
        self, method: str, path: str, body: Any = None, *, user: str = "ann", query: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of a function's answer; `body`: bytes as a form, anything else as JSON."""
        kind = b"application/json" if not isinstance(body, bytes) else b"multipart/form-data; boundary=zarrlink"
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        headers = {b"x-auth-token": f"{user}-token".encode(), b"content-type": kind}
        event = rest_event(Request(method, path, headers), content)
        event["multiValueQueryStringParameters"] = parse_qs(urlencode(query or {}))
        event["queryStringParameters"] = query
        function = self.functions["stream" if path.startswith("/zarr/") else "api"]
        answer = json.loads(json.dumps(function.handler(json.loads(json.dumps(event)), Context())))
        text: str = answer["body"]
        found = base64.b64decode(text) if answer["isBase64Encoded"] else text.encode()
        return answer["statusCode"], answer["headers"], found

    def json(self, method: str, path: str, body: Any = None, **given: Any) -> Any:
        """The JSON of an answer that is a success."""
        status, _, found = self.ask(method, path, body, **given)
        assert status == 200, found
        return json.loads(found)

    def work(self, seconds: float = 900) -> list[dict[str, str]]:
        """Let the importing function take the events that wait for it; what it answers."""
        waiting, self.events[:] = list(self.events), []
        handler = self.functions["annotation_import"].handler
        # A thread is as near as we get to a process of its own, which in the cloud it has: its loop is no concern of others.
        with ThreadPoolExecutor(1) as another:
            answers = [another.submit(handler, event, Context(seconds)) for event in waiting]
            return [json.loads(json.dumps(answer.result())) for answer in answers]


def form(file: bytes, name: str = "cells.zip", **fields: str) -> bytes:
    """A form with a file, as browsers and scripts send it."""
    parts = [f'Content-Disposition: form-data; name="{key}"\r\n\r\n{value}'.encode() for key, value in fields.items()]
    head = f'Content-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: application/zip\r\n\r\n'
    parts.append(head.encode() + file)
    return b"".join(b"--zarrlink\r\n" + part + b"\r\n" for part in parts) + b"--zarrlink--\r\n"


@contextmanager
def annotation_stack(aws: MotoAws) -> Iterator[AnnotationStack]:
    stack = make_stack(aws)
    seg = LayerFiles("segmentation", {Mag(1, 1, 1): SEGMENTS}, category="segmentation", block_side=32, file_side=2)
    record = stack.register("mouse", dataset(seg))
    for name in ("ann", "bob"):
        stack.add_user(name, f"{name}-token")
    functions = {}
    with pytest.MonkeyPatch.context() as patch:
        for name, logical in FUNCTIONS.items():
            # A logger of its own: it holds on to the standard output of its test.
            environment = stack.environment(logical) | {"POWERTOOLS_SERVICE_NAME": f"{name}-{uuid4().hex}"}
            for key, value in environment.items():
                patch.setenv(key, value)
            functions[name] = load_function(name)
        made = AnnotationStack(aws, stack, functions, record)
        patch.setattr(functions["api"], "start", made.events.append)
        try:
            yield made
        finally:
            functions["stream"].LOOP.close()
