"""Links made through API Gateway, and what they open: compared voxel for voxel."""

from __future__ import annotations

import json
import secrets
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from builders.annotation_stack import form
from builders.annotation_zips import Volume, annotation_zip, voxels, wkw_data, zarr3_data, zip_of
from builders.deployed import TOKEN, until
from builders.emf import emf_lines, total
from zarrlink.links.dynamodb import DynamoLinks
from zarrlink.links.model import Link
from zarrlink.view import View
from zarrlink_local.emulated_deployment import BUCKET

_CONCURRENT = 8


def opened(address: str) -> Any:
    """As the printed snippet does it: by zarr-python over HTTP."""
    return zarr.open_array(address, mode="r")


@pytest.mark.parametrize("dialect", ["v2", "v3"])
def test_a_dataset_voxel_for_voxel(mouse: Any, dialect: str) -> None:
    for layer in ("em", "cells"):
        for level, volume in enumerate(mouse.volumes[layer].values()):
            array = opened(f"{mouse.link}{dialect}/{layer}.zarr/{level}")
            assert array.metadata.zarr_format == int(dialect[1:])
            z, y, x = volume.shape
            read = np.asarray(array[...])
            assert np.array_equal(read[:z, :y, :x], volume)
            assert not read[z:].any()
            assert not read[:, y:].any()
            assert not read[:, :, x:].any()


@pytest.mark.parametrize("kind", ["wkw", "zarr3"])
def test_an_annotation_voxel_for_voxel(deployed: Any, kind: str) -> None:
    data = {"wkw": wkw_data, "zarr3": zarr3_data}[kind]({"1": {(1, 0, 0): voxels(1)}})
    file = annotation_zip(Volume(data=zip_of(data), format=kind))
    headers = {"X-Auth-Token": TOKEN, "Content-Type": "multipart/form-data; boundary=zarrlink"}
    answer = deployed.ask("POST", "/api/annotations/upload", data=form(file), headers=headers)
    assert answer.status_code == 200, answer.text
    annotation = answer.json()["annotation"]["id"]
    page = deployed.api("POST", "zarrPrivateLinks", json={"annotation": annotation})["page"]
    for dialect in ("v2", "v3"):
        array = opened(f"{page}{dialect}/Volume.zarr/0")
        block = np.frombuffer(voxels(1), array.dtype).reshape(32, 32, 32)
        assert np.array_equal(array[:32, :32, -32:] if array.shape[2] == 32 else array[:32, :32, 32:64], block)


def test_head_tells_the_true_length(deployed: Any, mouse: Any) -> None:
    address = f"{mouse.link}v3/em.zarr/0/c/0/0/0"
    whole, head = deployed.ask("GET", address), deployed.ask("HEAD", address)
    assert (whole.status_code, head.status_code) == (200, 200)
    assert int(head.headers["Content-Length"]) == len(whole.content) > 0
    assert head.content == b""
    assert head.headers["ETag"] == whole.headers["ETag"]


def test_ranges_and_validators(deployed: Any, mouse: Any) -> None:
    address = f"{mouse.link}v3/em.zarr/0/c/0/0/0"
    whole = deployed.ask("GET", address)
    part = deployed.ask("GET", address, headers={"Range": "bytes=-20"})
    assert (part.status_code, part.content) == (206, whole.content[-20:])
    same = deployed.ask("GET", address, headers={"If-None-Match": whole.headers["ETag"]})
    assert (same.status_code, same.content) == (304, b"")


def test_answers_that_readers_paint_differently(deployed: Any, mouse: Any) -> None:
    """Absent is 404, a link that is none 410, nonsense 400; all of them for pages elsewhere as well."""
    paths = {
        f"{mouse.link}v3/em.zarr/0/c/9/9/9": 404,
        f"{mouse.link}v3/em.zarr/0/c/00/0/0": 400,
        f"{mouse.link}v3/nothing.zarr/zarr.json": 410,
        "/zarr/no-token/v3/em.zarr/zarr.json": 410,
    }
    for path, status in paths.items():
        answer = deployed.ask("GET", path)
        assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (status, "*"), path


def test_a_revoked_link_opens_nothing(deployed: Any, mouse: Any) -> None:
    made = deployed.api("POST", "zarrPrivateLinks", json={"dataset": mouse.id})
    deployed.api("DELETE", f"zarrPrivateLinks/{made['id']}")
    # Never asked for before, so no environment remembers it.
    assert deployed.ask("GET", f"{made['page']}v3/em.zarr/zarr.json").status_code == 410


def test_the_largest_shard_passes(deployed: Any, mouse: Any) -> None:
    """4 MiB that nothing compresses, and a third more as base64: just below what Lambda carries."""
    answer = deployed.ask("GET", f"{mouse.link}v3/largest.zarr/0/c/0/0/0")
    assert answer.status_code == 200
    assert len(answer.content) > 2 * 128**3
    assert np.array_equal(opened(f"{mouse.link}v3/largest.zarr/0")[...], next(iter(mouse.volumes["largest"].values())))


def test_an_answer_that_lambda_would_not_carry_is_refused_in_words(deployed: Any, mouse: Any) -> None:
    deployed.add_user("many", "token-of-many")
    links = DynamoLinks(deployed.client("dynamodb"), deployed.outputs["LinksTable"])
    view = View(mouse.id, tuple(f"layer {number:03} {'ä' * 30}" for number in range(400)))
    for number in range(40):
        links.add(Link(secrets.token_urlsafe(12), "many", view, {}, "", "", number, None))
    answer = deployed.ask("GET", "/api/zarrPrivateLinks", headers={"X-Auth-Token": "token-of-many"})
    assert (answer.status_code, answer.json()["status"]) == (413, 413)
    assert "one dataset" in answer.json()["detail"]


def test_eight_at_once_are_eight_cold_starts(deployed: Any, mouse: Any) -> None:
    """Held up at the table until all of them are under way: each has an environment of its own."""
    deployed.configure("StreamFunction", Description="A key below a link to bytes, cold")
    page = deployed.link(mouse.id)
    log = deployed.log("StreamLog")
    slow = {"service": "dynamodb", "operation": "GetItem", "of": deployed.outputs["LinksTable"], "delay_s": 3}
    with deployed.fault(slow), ThreadPoolExecutor(_CONCURRENT) as pool:
        address = f"{page}v3/em.zarr/0/c/0/0/0"
        answers = list(pool.map(lambda _: deployed.ask("GET", address), range(_CONCURRENT)))
    assert [answer.status_code for answer in answers] == [200] * _CONCURRENT
    assert len({answer.content for answer in answers}) == 1
    until(lambda: total(emf_lines(log.text()), "Served"), lambda served: served == _CONCURRENT)
    assert len(log.streams()) == _CONCURRENT
    assert total(emf_lines(log.text()), "ColdStarts") == _CONCURRENT


def test_logs_hold_no_token(deployed: Any, mouse: Any) -> None:
    log = deployed.log("StreamLog")
    token = mouse.link.split("/")[-2]
    deployed.ask("GET", f"{mouse.link}v2/em.zarr/.zattrs")
    text = until(log.text, lambda text: '"message":"request"' in text)
    line = next(json.loads(line) for line in text.splitlines() if '"message":"request"' in line)
    assert (line["key"], line["status"]) == ("v2/em.zarr/.zattrs", 200)
    assert token not in text


def test_pages_of_other_origins_read_links_as_through_api_gateway(deployed: Any, mouse: Any) -> None:
    """An answer without these headers is fill value to a reader in a browser."""
    origin = {"Origin": "https://neuroglancer.example"}
    read = deployed.ask("GET", f"{mouse.link}v3/em.zarr/zarr.json", headers=origin)
    asked = {**origin, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "range"}
    before = deployed.ask("OPTIONS", f"{mouse.link}v3/em.zarr/zarr.json", headers=asked)
    assert (read.status_code, before.status_code) == (200, 204)
    assert {one.headers["access-control-allow-origin"] for one in (read, before)} == {"*"}


@pytest.mark.usefixtures("mouse")
def test_objects_lie_where_localstack_keeps_everything() -> None:
    """For its user alone, and until it ends: its own place for them is one for everybody on this machine, and stays."""
    home = Path(".zarrlink/localstack")
    assert home.stat().st_mode & 0o777 == 0o700
    assert (home / "tmp" / "s3" / BUCKET).is_dir()


def test_nothing_listens_beyond_this_machine(deployed: Any) -> None:
    """Any credentials are taken, and functions are programs of this user."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening = {tuple(row[1].split(":")) for row in rows if row[3] == "0A"}
    addresses = {address for address, port in listening if int(port, 16) in (4566, 4567)}
    # 127.0.0.1, as the kernel writes it.
    assert addresses == {"0100007F"}
