"""`zarrlink --api` against a deployed API, as moto plays what is below it: large files go in parts, and come by a redirect."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import numpy as np
import pytest

from builders.annotation_stack import AnnotationStack, Context, annotation_stack
from builders.annotation_zips import Volume, annotation_zip, wkw_data, zip_of
from builders.lambda_door import rest_event
from builders.loopback import served
from builders.moto_aws import MotoAws
from zarrlink.http.message import Request


@pytest.fixture
def cloud(aws: MotoAws) -> Iterator[AnnotationStack]:
    with annotation_stack(aws) as cloud:
        yield cloud


@pytest.fixture
def api(cloud: AnnotationStack) -> Iterator[str]:
    """The API function behind an address; before it is asked, the importing function has done what waited for it."""

    def invoke(event: Any) -> Any:
        cloud.work()
        return json.loads(json.dumps(cloud.functions["api"].handler(event, Context())))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message.get("more_body"):
                break
        event = rest_event(Request(scope["method"], scope["path"], dict(scope["headers"])), body)
        event["multiValueQueryStringParameters"] = parse_qs(scope["query_string"].decode())
        # In a thread, as a handler runs a loop of its own.
        answer = await asyncio.to_thread(invoke, json.loads(json.dumps(event)))
        text = answer["body"]
        found = base64.b64decode(text) if answer["isBase64Encoded"] else text.encode()
        headers = [(name.encode(), value.encode()) for name, value in answer["headers"].items()]
        await send({"type": "http.response.start", "status": answer["statusCode"], "headers": headers})
        await send({"type": "http.response.body", "body": found})

    with served(app) as address:
        yield address


class Command:
    """The command in a process of its own, since functions log to the standard output of this one."""

    def __init__(self, api: str, *arguments: object) -> None:
        command = [sys.executable, "-c", "from zarrlink_local.cli import main; main()", "--api", api, "--token", "-"]
        path = os.pathsep.join(entry for entry in sys.path if entry)
        ended = subprocess.run(
            [*command, *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": path},
            input="ann-token\n",
            capture_output=True,
            text=True,
            check=False,
        )
        self.status, self.out, self.err = ended.returncode, ended.stdout, ended.stderr

    @property
    def json(self) -> Any:
        assert self.status == 0, self.err
        return json.loads(self.out)

    @property
    def refusal(self) -> str:
        assert (self.status, self.out) == (2, "")
        return self.err.splitlines()[-1].removeprefix("zarrlink: ")


@pytest.fixture
def run(api: str) -> Any:
    return partial(Command, api)


def large() -> bytes:
    noise = np.random.default_rng(0).integers(0, 2**32, (48, 32**3), np.uint32)
    blocks = {(1, number, 0): noise[number].tobytes() for number in range(len(noise))}
    return annotation_zip(Volume(data=zip_of(wkw_data({"1": blocks})), fallback_layer="segmentation"))


def test_links_of_a_deployed_server(run: Any, cloud: AnnotationStack) -> None:
    (listed,) = run("datasets", "list", "--json").json
    assert listed["id"] == cloud.dataset
    made = run("links", "create", listed["name"], "--name", "For Bob", "--json").json
    assert run("links", "list", "--json").json == [made]
    assert run("links", "extend", made["id"], "--expires", "never", "--json").json["expires"] is None
    assert cloud.ask("GET", f"/zarr/{made['token']}/v3/segmentation.zarr/zarr.json")[0] == 200
    assert run("links", "revoke", made["id"]).status == 0
    assert run("links", "show", made["id"]).refusal
    assert run("users", "me", "--json").json["name"] == "ann"


def test_a_large_annotation_goes_in_parts_and_comes_from_elsewhere(
    run: Any, cloud: AnnotationStack, tmp_path: Path
) -> None:
    file = tmp_path / "large.zip"
    file.write_bytes(large())
    assert file.stat().st_size > 4_500_000
    made = run("annotations", "import", file, "--dataset", cloud.dataset, "--json").json
    assert (made["owner"], made["dataset"]) == ("ann", cloud.dataset)
    run("annotations", "download", made["id"], "-o", tmp_path / "back.zip", "--json").json  # noqa: B018
    with zipfile.ZipFile(tmp_path / "back.zip") as archive:
        assert archive.testzip() is None
        assert len(archive.namelist()) == 2


def test_what_is_no_annotation_is_refused(run: Any, cloud: AnnotationStack, tmp_path: Path) -> None:
    file = tmp_path / "bad.zip"
    file.write_bytes(b"PK\3\4nonsense")
    assert run("annotations", "import", file).refusal
    file.write_bytes(b"PK\3\4nonsense" + bytes(5_000_000))
    assert run("annotations", "import", file).refusal
    assert run("annotations", "list", "--json").json == []
