"""The deployment as it was built: its functions on Lambda's runtime emulator, everything else as moto plays it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders.emulator import Emulated, Runtime, emulated, find_runtime
from builders.gateway import Gateway
from builders.lambda_door import rest_event
from builders.loopback import served
from builders.moto_aws import moto_aws
from builders.stack import Stack, make_stack
from builders.template import routes_of
from builders.wkw_files import LayerFiles, dataset, noise, pyramid, ramp, reference_mag_folder
from zarrlink.catalogue.interface import DatasetRecord
from zarrlink.formats.wkw import BlockType
from zarrlink.geometry import Mag
from zarrlink.http.message import Request

ONE, TWO = Mag(1, 1, 1), Mag(2, 2, 2)
USER_TOKEN = "a-personal-token"


@dataclass(frozen=True)
class Deployment:
    """The functions, what they answer from, and the volumes, shape (z, y, x), that were stored."""

    stack: Stack
    record: DatasetRecord
    functions: dict[str, Emulated]
    volumes: dict[str, dict[Mag, np.ndarray]]
    objects: dict[str, bytes]

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> dict[str, Any]:
        """A function's answer to API Gateway's event; `body` becomes JSON unless it is bytes, the answer's `body` bytes."""
        given = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        function = self.functions[routes_of(self.stack.template)[path.split("/")[1]]]
        answer: dict[str, Any] = function.invoke(rest_event(Request(method, path, given), content))
        text = answer["body"]
        return {**answer, "body": base64.b64decode(text) if answer["isBase64Encoded"] else text.encode()}

    def api(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and JSON of the API, signed in."""
        answer = self.send(method, path, body, x_auth_token=USER_TOKEN, content_type="application/json")
        return answer["statusCode"], json.loads(answer["body"])

    def make_link(self, **wish: Any) -> dict[str, Any]:
        status, made = self.api("POST", "/api/zarrPrivateLinks", {"dataset": self.record.id, **wish})
        assert status == 200, made
        return made


@pytest.fixture(scope="session")
def runtime() -> Runtime:
    found = find_runtime()
    assert found is not None
    for path in (found.build / "template.yaml", found.python, found.emulator):
        assert path.exists(), path
    return found


@pytest.fixture(scope="session")
def stack(runtime: Runtime) -> Iterator[Stack]:
    with moto_aws() as aws:
        stack = make_stack(aws)
        stack.add_user("ann", USER_TOKEN)
        yield stack


@pytest.fixture(scope="session")
def deployment(runtime: Runtime, stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    layers, objects = make_layers(tmp_path_factory.mktemp("volumes"))
    record = stack.register("mouse", objects)
    logs = tmp_path_factory.mktemp("logs")
    names = ("StreamFunction", "ApiFunction", "AnnotationImportFunction")
    with ExitStack() as running:
        functions = {
            name: running.enter_context(emulated(runtime, runtime.folders(name), stack.environment(name), logs / name))
            for name in names
        }
        volumes = {layer.name: dict(layer.volumes) for layer in layers}
        yield Deployment(stack, record, functions, volumes, objects)


def make_layers(folder: Path) -> tuple[tuple[LayerFiles, ...], dict[str, bytes]]:
    """Layers and their objects: one by the `wkw` package, one of several mags, the largest shards that there are."""
    largest = noise((128, 128, 128), "uint16")
    layers = (
        LayerFiles("em", pyramid(ramp((70, 60, 50)), (ONE, TWO)), block_side=16, file_side=2),
        LayerFiles("reference", {ONE: noise((64, 64, 64), seed=1)}, block_side=16, file_side=2),
        LayerFiles("rgb", {ONE: ramp((20, 20, 20), channels=3)}),
        LayerFiles("lz4", {ONE: largest}, block_side=32),
        LayerFiles("raw", {ONE: largest}, block_side=32, block_type=BlockType.RAW),
    )
    objects = dataset(*layers)
    reference_mag_folder(folder / "reference", layers[1].volumes[ONE], block_side=16, file_side=2)
    written = {
        f"reference/1/{path.relative_to(folder / 'reference').as_posix()}": path.read_bytes()
        for path in (folder / "reference").rglob("*.wkw")
    }
    assert written.keys() == {key for key in objects if key.startswith("reference/")}
    return layers, objects | written


@pytest.fixture(scope="session")
def link(deployment: Deployment) -> str:
    """`/zarr/TOKEN` of a link to every layer."""
    return f"/zarr/{deployment.make_link()['accessToken']}"


@pytest.fixture(scope="session")
def address(deployment: Deployment) -> Iterator[str]:
    """Where a gateway hands requests to the functions."""
    routes = {
        folder: deployment.functions[name].invoke for folder, name in routes_of(deployment.stack.template).items()
    }
    with served(Gateway(routes)) as address:
        yield address
