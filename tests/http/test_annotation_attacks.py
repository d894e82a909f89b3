"""What enemies send to the annotation routes, and what must not come out of them."""

from __future__ import annotations

import http.client
import io
import logging
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from starlette.testclient import TestClient

from builders.annotation_zips import TREE, Volume, annotation_zip, nml, voxels, wkw_data, zip_of
from builders.loopback import served
from builders.machines import machine_with
from builders.wkw_files import LayerFiles, dataset, ramp, write_tree
from zarrlink.geometry import Mag
from zarrlink_local.machine import Machine
from zarrlink_local.scan import register_below
from zarrlink_local.server import create_app

ANN, BOB = {"X-Auth-Token": "ann-token"}, {"X-Auth-Token": "bob-token"}
UPLOAD = "/api/annotations/upload"
ONE = Mag(1, 1, 1)
SEGMENTS = ramp((64, 64, 64), "uint32")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    seg = LayerFiles("segmentation", {ONE: SEGMENTS}, category="segmentation", block_side=32, file_side=2)
    rgb = LayerFiles("rgb", {ONE: ramp((64, 64, 64), channels=3)}, block_side=32, file_side=2)
    coarse = LayerFiles("coarse", {Mag(2, 2, 1): ramp((32, 32, 64))}, block_side=32, file_side=1)
    return machine_with(tmp_path, dataset(seg, rgb, coarse))


def send(client: TestClient, file: bytes, name: str = "cells.zip", **fields: str) -> Any:
    return client.post(UPLOAD, headers=ANN, files={"file": (name, file)}, data=fields)


def painted(**volume: Any) -> bytes:
    return annotation_zip(Volume(data=zip_of(wkw_data({"1": {(1, 0, 0): voxels(1)}})), **volume))


def kept(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "state.sqlite.annotations"
    return list(folder.iterdir()) if folder.exists() else []


# --- bodies ---


def test_a_body_above_the_limit_is_refused_before_any_of_it_is_read(machine: Machine) -> None:
    with served(create_app(machine, "https://links.example")) as address:
        connection = http.client.HTTPConnection(urlsplit(address).netloc)
        connection.putrequest("POST", UPLOAD)
        for name, value in {**ANN, "Content-Type": "multipart/form-data; boundary=x", "Content-Length": 2**40}.items():
            connection.putheader(name, str(value))
        connection.endheaders()
        answer = connection.getresponse()
        assert answer.status == 413
        answer.read()
        connection.close()


def test_a_body_that_never_ends_is_cut_off(machine: Machine) -> None:
    from zarrlink.http.api_door import ApiDoor

    door = create_app(machine, "https://links.example")
    api_door = door._others(None)._others  # type: ignore[attr-defined]
    assert isinstance(api_door, ApiDoor)
    with TestClient(ApiDoor(api_door._api, max_upload_bytes=2**20), raise_server_exceptions=False) as client:
        answer = client.post(
            UPLOAD,
            headers={**ANN, "content-type": "multipart/form-data; boundary=x"},
            content=(b"x" * 2**16 for _ in range(64)),
        )
    assert answer.status_code == 413


def test_a_stranger_is_refused_before_the_body_is_read(machine: Machine) -> None:
    with served(create_app(machine, "https://links.example")) as address:
        connection = http.client.HTTPConnection(urlsplit(address).netloc)
        connection.putrequest("POST", UPLOAD)
        connection.putheader("Content-Type", "multipart/form-data; boundary=x")
        connection.putheader("Content-Length", "1000000")
        connection.endheaders()
        assert connection.getresponse().status == 401
        connection.close()


@pytest.mark.parametrize(
    "body",
    [
        b"".join(b'--x\r\nContent-Disposition: form-data; name="f%d"\r\n\r\n1\r\n' % n for n in range(99))
        + b"--x--\r\n",
        b"".join(
            b'--x\r\nContent-Disposition: form-data; name="f"; filename="%d.nml"\r\n\r\n1\r\n' % n for n in range(9)
        )
        + b"--x--\r\n",
        b'--x\r\nContent-Disposition: form-data; name="f"\r\n\r\n' + b"1" * 2**21 + b"\r\n--x--\r\n",
        b"--x\r\n" + b"A: b\r\n" * 10_000 + b"\r\n--x--\r\n",
        b'--x\r\nContent-Disposition: form-data; name="f"; filename="a.nml"\r\n\r\n<things/>',
        b"no parts at all",
        b"",
    ],
    ids=["fields", "files", "long field", "headers", "no end", "no parts", "nothing"],
)
def test_odd_forms_are_refused(client: TestClient, tmp_path: Path, body: bytes) -> None:
    headers = {**ANN, "content-type": "multipart/form-data; boundary=x"}
    answer = client.post(UPLOAD, headers=headers, content=body)
    assert answer.status_code == 400, answer.text
    assert kept(tmp_path) == []


def test_another_kind_of_body_is_refused(client: TestClient) -> None:
    assert client.post(UPLOAD, headers={**ANN, "content-type": "application/json"}, content=b"{}").status_code == 400
    assert client.post(UPLOAD, headers={**ANN, "content-type": "multipart/form-data"}, content=b"x").status_code == 400


# --- files ---


def zip_with(name: str, data: bytes, *, claims: int | None = None) -> bytes:
    """An upload whose data zip has a lie or a bomb in it."""
    made = zip_of({name: data})
    return annotation_zip(Volume(data=made if claims is None else claiming(made, claims)))


def claiming(data: bytes, unpacked_bytes: int) -> bytes:
    """A zip of one file that says so of its length."""
    made = bytearray(data)
    for mark, at in ((b"PK\1\2", 24), (b"PK\3\4", 22)):
        place = made.index(mark) + at
        made[place : place + 4] = struct.pack("<I", unpacked_bytes)
    return bytes(made)


ATTACKS = {
    "a bomb": lambda: zip_with("1/z0/y0/x0.wkw", bytes(2**28)),
    "a lie about a length": lambda: zip_with("1/header.wkw", bytes(1000), claims=16),
    "a path out": lambda: zip_of({"../../x.nml": nml()}),
    "an absolute path": lambda: zip_of({"/etc/x.nml": nml()}),
    "a path out in the data": lambda: zip_with("../1/header.wkw", b""),
    "an NML that unpacks to too much": lambda: claiming(zip_of({"a.nml": nml()}), 2**30),
    "an entity bomb": lambda: (
        b'<!DOCTYPE things [<!ENTITY a "' + b"a" * 999 + b'"><!ENTITY b "' + b"&a;" * 999 + b'">]><things>&b;</things>'
    ),
    "an external entity": lambda: b'<!DOCTYPE things [<!ENTITY a SYSTEM "file:///etc/passwd">]><things>&a;</things>',
    "a million attributes": lambda: b"<things " + b"".join(b'a%d="1" ' % n for n in range(10**6)) + b"/>",
    "a million unknown elements": lambda: b"<things>" + b"<a/>" * 2_000_000 + b"</things>",
    "depth": lambda: b"<things>" + b"<group>" * 10**6,
    "edges to nowhere": lambda: nml(skeleton=TREE.replace('target="2"', 'target="3"')),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_hostile_files_are_refused_with_a_sentence_and_leave_nothing(
    client: TestClient, tmp_path: Path, attack: str
) -> None:
    data = ATTACKS[attack]()
    answer = send(client, data, "a.zip" if data.startswith(b"PK") else "a.nml")
    assert answer.status_code == 400, answer.text
    assert len(answer.json()["detail"]) < 400
    assert str(tmp_path) not in answer.text
    assert kept(tmp_path) == []


# --- names ---


@pytest.mark.parametrize(
    "name",
    [
        'a"; filename="b.exe',
        "a\r\nSet-Cookie: x=y",
        "süß 🧠 \u202egnp",
        "../../etc/passwd",
        "C:\\x\\y",
        "\x1b[31mred",
        "%0d%0aX: y",
        "x" * 600,
        "中" * 300,
    ],
)
def test_no_name_reaches_a_header_or_a_terminal_as_it_is(client: TestClient, name: str) -> None:
    answer = send(client, nml(skeleton=TREE), f"{name}.nml")
    if answer.status_code == 400:
        return  # the form itself cannot hold it
    annotation = answer.json()["annotation"]["id"]
    (listed,) = client.get("/api/annotations/readable", headers=ANN).json()
    assert listed["name"].isprintable()
    assert len(listed["name"]) <= 200
    got = client.get(f"/api/annotations/{annotation}/download", headers=ANN)
    disposition = got.headers["content-disposition"]
    assert disposition.isascii()
    assert disposition.startswith('attachment; filename="')
    assert disposition.endswith('.nml"')
    assert disposition.count('"') == 2
    file_name = unquote(disposition[len('attachment; filename="') : -1])
    assert file_name.isprintable()
    assert not set(file_name) & set('/\\:"')
    assert len(file_name.encode()) < 230
    assert not {"set-cookie", "x"} & set(got.headers)


@pytest.mark.parametrize("name", ["a/b", "..", "x\\y", "a&#10;b", "&#x202e;"])
def test_layers_whose_names_cannot_be_addressed_are_left_out_by_name(
    client: TestClient, machine: Machine, name: str
) -> None:
    dataset_id = machine.catalogue.all()[0].id
    answer = send(client, painted(name=name), datasetId=dataset_id)
    assert answer.status_code == 200, answer.text
    link = client.post("/api/zarrPrivateLinks", headers=ANN, json={"annotation": answer.json()["annotation"]["id"]})
    body = link.json()
    for layer in body["layers"]:
        path = urlsplit(layer["v2"]).path
        assert client.get(f"{path}/.zattrs").status_code == 200
    assert len(body["layers"]) + len(body["leftOut"]) == 4


# --- others ---


def test_an_annotation_is_nobody_else_s_by_any_route(client: TestClient, machine: Machine) -> None:
    annotation = send(client, painted(), datasetId=machine.catalogue.all()[0].id).json()["annotation"]["id"]
    made = client.post("/api/zarrPrivateLinks", headers=ANN, json={"annotation": annotation}).json()
    unknown = "0" * 24
    for method, address, body in (
        ("GET", "/api/annotations/{}/info", None),
        ("GET", "/api/annotations/{}/download", None),
        ("GET", "/api/annotations/Explorational/{}/download", None),
        ("DELETE", "/api/annotations/{}", None),
        ("POST", "/api/zarrPrivateLinks", {"annotation": "{}"}),
        ("POST", "/api/zarrPrivateLinks", {"dataset": "{}"}),
    ):
        seen = []
        for source in (annotation, unknown):
            sent = body and {key: value.format(source) for key, value in body.items()}
            answer = client.request(method, address.format(source), headers=BOB, json=sent)
            assert answer.status_code == 404, (method, address)
            seen.append({**answer.json(), "instance": ""})
        assert seen[0] == seen[1]
    assert client.get(f"/api/zarrPrivateLinks/byAnnotation/{annotation}", headers=BOB).json() == []
    assert client.get(f"/api/zarrPrivateLinks/{made['id']}", headers=BOB).status_code == 404
    assert len(client.get(f"/api/zarrPrivateLinks/byAnnotation/{annotation}", headers=ANN).json()) == 1


def test_a_download_from_a_damaged_pack_breaks_off(
    machine: Machine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    noise = np.random.default_rng(0).integers(0, 2**32, 32**3, "u4")
    mags = {"1": {(n, 0, 0): (noise + np.uint32(n)).tobytes() for n in range(64)}}
    app = create_app(machine, "https://links.example")
    with TestClient(app) as client:
        annotation = send(client, annotation_zip(Volume(data=zip_of(wkw_data(mags))))).json()["annotation"]["id"]
    (pack,) = (tmp_path / "state.sqlite.annotations").rglob("*.blocks")
    with pack.open("r+b") as file:
        file.truncate(pack.stat().st_size - 1000)
    with served(app) as address, caplog.at_level(logging.ERROR):
        connection = http.client.HTTPConnection(urlsplit(address).netloc)
        connection.request("GET", f"/api/annotations/{annotation}/download", headers=ANN)
        answer = connection.getresponse()
        assert answer.status == 200
        with pytest.raises(http.client.IncompleteRead) as broken:
            answer.read()
        connection.close()
    with pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(io.BytesIO(broken.value.partial))
    assert "ann-token" not in caplog.text


# --- cut-outs ---

BOX = {"x": 0, "y": 0, "z": 0, "width": 8, "height": 8, "depth": 8}


def cut_out(client: TestClient, machine: Machine, layer: str, **box: Any) -> Any:
    address = f"/data/v14/datasets/{machine.catalogue.all()[0].id}/layers/{layer}/data"
    return client.get(address, params={**BOX, **box}, headers=ANN)


@pytest.mark.parametrize("mag", ["1", "1-1-1"])
def test_a_box_of_a_layer_with_channels_has_them_fastest(client: TestClient, machine: Machine, mag: str) -> None:
    answer = cut_out(client, machine, "rgb", x=3, width=40, depth=64, mag=mag)
    found = np.frombuffer(answer.content, "u1").reshape((3, 40, 8, 64), order="F")
    expected = ramp((64, 64, 64), channels=3)[:, :8, 3:43]
    np.testing.assert_array_equal(found, expected.transpose(3, 2, 1, 0))


def test_a_box_starts_in_mag_1_and_is_as_large_as_its_own_voxels_say(client: TestClient, machine: Machine) -> None:
    answer = cut_out(client, machine, "coarse", x=9, y=4, z=5, mag="2-2-1")
    found = np.frombuffer(answer.content, "u1").reshape((8, 8, 8), order="F")
    np.testing.assert_array_equal(found, ramp((32, 32, 64))[5:13, 2:10, 4:12].T)
    assert cut_out(client, machine, "coarse", mag="1").status_code == 404


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"halfByte": "true"}, 400),
        ({"mappingName": "agglomerate"}, 400),
        ({"halfByte": "false"}, 200),
        ({"width": 65536, "height": 4096, "depth": 1}, 400),
        ({"depth": -1}, 400),
        ({"x": 2**64}, 400),
        ({"x": "NaN"}, 400),
        ({"x": -4}, 200),
    ],
)
def test_what_would_be_other_voxels_is_refused(
    client: TestClient, machine: Machine, change: dict[str, Any], status: int
) -> None:
    assert cut_out(client, machine, "segmentation", **change).status_code == status


def test_a_box_that_cannot_be_read_to_its_end_is_shorter_than_announced(machine: Machine, tmp_path: Path) -> None:
    """The damage is in the second half of the file, and a slab of 16 MiB is sent before it is met."""
    big = LayerFiles("big", {ONE: ramp((256, 256, 256), "uint32")}, block_side=32, file_side=2)
    write_tree(dataset(big), tmp_path / "more" / "fly")
    (record,) = register_below(tmp_path / "more", machine.catalogue, 1, pytest.fail)
    last = tmp_path / "more" / "fly" / "big" / "1" / "z3" / "y3" / "x3.wkw"
    data = last.read_bytes()
    last.write_bytes(data[: len(data) - 100])
    with served(create_app(machine, "https://links.example")) as address:
        connection = http.client.HTTPConnection(urlsplit(address).netloc)
        query = "x=0&y=0&z=0&width=256&height=256&depth=256&mag=1"
        connection.request("GET", f"/data/v14/datasets/{record.id}/layers/big/data?{query}", headers=ANN)
        answer = connection.getresponse()
        assert (answer.status, answer.getheader("content-length")) == (200, str(4 * 256**3))
        with pytest.raises(http.client.IncompleteRead) as broken:
            answer.read()
        connection.close()
    assert len(broken.value.partial) < 4 * 256**3
    assert zlib.crc32(broken.value.partial[: 2**20]) == zlib.crc32(ramp((256, 256, 256), "uint32")[:4].tobytes())
