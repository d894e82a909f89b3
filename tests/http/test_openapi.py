"""The API is what it says that it is: schemathesis calls every route with what its description allows, and with what not."""

from __future__ import annotations

import io
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.testclient import TestClient

from builders.annotation_zips import TREE, Volume, annotation_zip, voxels, wkw_data, zip_of
from builders.wkw_files import LayerFiles, dataset, ramp, write_tree
from zarrlink.annotations.shelf import Upload
from zarrlink.geometry import Mag
from zarrlink.users.interface import User, hash_user_token
from zarrlink_local.jobs.engine import local_engine
from zarrlink_local.machine import open_machine
from zarrlink_local.scan import register_below
from zarrlink_local.server import create_app


def no_failure(_: Any, response: Any, __: Any) -> None:
    """As schemathesis has it, but for what is asked for too early: 503 makes clients ask again."""
    is_early = response.status_code == 503 and response.json()["type"].endswith("#not-ready")
    assert response.status_code < 500 or is_early, response.text


CHECKS = [
    no_failure,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
TAGS = ("datasets", "annotations", "links", "exports", "voxels", "server", "zarr")
ANN = {"X-Auth-Token": "ann-token"}
NAMES = {"layer": "em", "mag": "1", "key": "0.0.0.0", "organization": "zarrlink", "level": 0, "z": 0, "y": 0, "x": 0}
EXPORT = {"bbox": "0,0,0,16,16,16", "layerName": "em", "mag": "1", "asOmeTiff": "true"}
SMALL = {"width": 16, "height": 16, "depth": 16}
# Routes after which what they name is gone: the last.
GONE = "DELETE"


class Site:
    """A server with a dataset, an annotation and a link, and the description of its API."""

    def __init__(self, folder: Any) -> None:
        layers = (
            LayerFiles("em", {Mag(1, 1, 1): ramp((40, 16, 16))}),
            LayerFiles("seg", {Mag(1, 1, 1): ramp((40, 16, 16), "uint32")}, category="segmentation"),
        )
        write_tree(dataset(*layers), folder / "data" / "mouse")
        machine = open_machine(folder / "state.sqlite")
        (record,) = register_below(folder / "data", machine.catalogue, 1, pytest.fail)
        machine.users.add(User("ann", 1, is_admin=True), hash_user_token("ann-token"))
        data = zip_of(wkw_data({"1": {(0, 0, 0): voxels(1)}}))
        painted = annotation_zip(Volume(data=data, fallback_layer="seg"), skeleton=TREE)
        upload = Upload(io.BytesIO(painted), "cells.zip", "ann", folder, record)
        annotation = machine.shelf.add(upload, 1, lambda _done, _of: None)
        # Nobody works on the jobs that are asked for.
        app = create_app(machine, "http://127.0.0.1", local_engine(machine))
        self.schema = schemathesis.openapi.from_asgi("/api/openapi.json", app)
        with TestClient(app) as client:
            link = client.post("/api/zarrPrivateLinks", headers=ANN, json={"dataset": record.id}).json()
            job = client.post(f"/api/jobs/run/exportTiff/{record.id}", headers=ANN, params=EXPORT).json()
        self.known = {
            **NAMES,
            "name": record.name,
            "dataset_id": record.id,
            "annotation_id": annotation.id,
            "source_id": record.id,
            "link_id": link["id"],
            "job_id": job["id"],
            "token": link["accessToken"],
        }

        # Where WEBKNOSSOS takes either.
        self.by_token = {"annotation_id": link["accessToken"]}
        self.operations = [result.ok() for result in self.schema.get_all_operations()]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("openapi"))


def test_every_route_is_described(site: Site) -> None:
    for operation in site.operations:
        assert set(operation.tags or ()) & set(TAGS), operation.label
        assert operation.definition.raw["summary"], operation.label
        # Below a link the address is all that it takes.
        assert ("401" in operation.definition.raw["responses"]) == (operation.tags != ["zarr"]), operation.label


@pytest.mark.parametrize("tag", [*TAGS, GONE])
def test_every_route_answers_as_it_is_described(site: Site, tag: str) -> None:
    for operation in site.operations:
        if tag != (GONE if operation.method.upper() == "DELETE" else operation.tags[0]):
            continue
        call(site, operation, GenerationMode.POSITIVE)
        # Any text is a good id: only elsewhere can something be wrong.
        if list(operation.query) or list(operation.body):
            call(site, operation, GenerationMode.NEGATIVE)


def call(site: Site, operation: Any, mode: GenerationMode) -> None:
    @settings(deadline=None, database=None, derandomize=True, max_examples=12, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode), known=st.booleans(), way=st.integers(0, 7))
    def calls(case: schemathesis.Case, known: bool, way: int) -> None:
        if known:
            given = site.known if way % 2 else {**site.known, **site.by_token}
            case.path_parameters |= {name: given[name] for name in case.path_parameters if name in given}
            case.query = EXPORT if "bbox" in (case.query or {}) else {**(case.query or {}), **SMALL}
        case.call_and_validate(headers={} if way == 7 else ANN, checks=CHECKS)

    calls()
