"""`scope.mappings` of the API: links that show a segmentation by a mapping."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from builders.agglomerate_files import hdf5_agglomerates, table
from builders.wkw_files import LayerFiles, dataset, write_tree
from zarrlink.geometry import Mag
from zarrlink.users.interface import User, hash_user_token
from zarrlink_local.machine import open_machine
from zarrlink_local.scan import register_below
from zarrlink_local.server import create_app

LINKS, ANN = "/api/zarrPrivateLinks", {"X-Auth-Token": "ann-token"}
ENTRIES = table(300, 20)
SEGMENTS = np.random.default_rng(1).integers(1, 301, (8, 8, 8)).astype("uint32")


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    layers = (
        LayerFiles("seg", {Mag(1, 1, 1): SEGMENTS}, category="segmentation"),
        LayerFiles("em", {Mag(1, 1, 1): SEGMENTS.astype("uint8")}),
    )
    objects = dataset(*layers) | {"seg/agglomerates/by.hdf5": hdf5_agglomerates(ENTRIES)}
    write_tree(objects, tmp_path / "mouse")
    machine = open_machine(tmp_path / "state.sqlite")
    register_below(tmp_path / "mouse", machine.catalogue, 1, pytest.fail)
    machine.users.add(User("ann", 1), hash_user_token("ann-token"))
    return TestClient(create_app(machine, "http://x"))


def test_a_link_with_a_mapping(client: TestClient, tmp_path: Path) -> None:
    (record,) = open_machine(tmp_path / "state.sqlite").catalogue.all()
    wish = {"dataset": record.id, "scope": {"mappings": {"seg": "by"}}}
    made = client.post(LINKS, headers=ANN, json=wish).json()
    assert made["scope"]["mappings"] == {"seg": "by"}
    assert made["scope"]["layers"] == ["em", "seg"]
    chunk = client.get(f"/zarr/{made['accessToken']}/v2/seg.zarr/0/0/0/0").content
    import numcodecs

    voxels = np.frombuffer(numcodecs.Blosc().decode(chunk), "<u4").reshape(8, 8, 8)
    np.testing.assert_array_equal(voxels, ENTRIES[SEGMENTS])


@pytest.mark.parametrize(
    ("mappings", "reason"),
    [
        ({"seg": "gone"}, "layer 'seg' has no mapping 'gone'"),
        ({"em": "by"}, "layer 'em': a mapping is for a segmentation layer"),
        ({"none": "by"}, "a mapping is asked for layer 'none', which the link does not open"),
    ],
)
def test_a_mapping_that_cannot_be_applied_makes_no_link(
    client: TestClient, tmp_path: Path, mappings: dict[str, str], reason: str
) -> None:
    (record,) = open_machine(tmp_path / "state.sqlite").catalogue.all()
    answer = client.post(LINKS, headers=ANN, json={"dataset": record.id, "scope": {"mappings": mappings}})
    assert answer.status_code in (400, 422)
    assert reason in answer.json()["detail"]
    assert client.get(LINKS, headers=ANN).json() == []
