"""The link's page and its facts."""

import json

import pytest

from builders.door import header, open_door
from builders.wkw_files import LayerFiles, dataset, ramp
from zarrlink.errors import SourceUnavailable
from zarrlink.geometry import BoundingBox, Mag
from zarrlink.links.service import LinkRequest

ONE = Mag(1, 1, 1)


def test_people_get_html_and_programs_get_json() -> None:
    door = open_door(dataset(LayerFiles("a", {ONE: ramp((8, 8, 8))})))
    html = "text/html,application/json;q=0.9"
    to_folder = door.send("GET", door.base, accept=html)
    token = door.base.removeprefix("/zarr/")
    assert (to_folder.status, header(to_folder, "location")) == (308, f"./{token}/")
    for path in (door.base, f"{door.base}/"):
        page = door.send("GET", f"{door.base}/", accept=html)
        facts = door.send("GET", path, accept="application/json")
        assert header(page, "content-type") == "text/html; charset=utf-8"
        assert header(facts, "content-type") == "application/json"
        for reply in (page, facts):
            assert header(reply, "cache-control") == "no-store"
            assert header(reply, "vary") == "Accept"
        assert header(page, "referrer-policy") == "no-referrer"
        assert "script-src 'self'" in (header(page, "content-security-policy") or "")


@pytest.mark.parametrize(
    "path",
    ["", "v3", "v3/", "v2/a.zarr", "v2/a.zarr/", "v3/a.zarr/0", "said:", "said:/", "said:/a", "said:/a/", "said:/a/1/"],
)
def test_all_html_below_a_link_has_the_pages_policy(path: str) -> None:
    door = open_door(dataset(LayerFiles("a", {ONE: ramp((8, 8, 8))})))
    token = door.base.removeprefix("/zarr/")
    said = path.removeprefix("said:")
    address = f"{door.base}/{path}" if said == path else f"/data/annotations/zarr/{token}{said}"
    page, found = (door.send("GET", where, accept="text/html") for where in (f"{door.base}/", address))
    assert (found.status, header(found, "content-type")) == (200, "text/html; charset=utf-8")
    for name in ("referrer-policy", "x-content-type-options", "content-security-policy", "cache-control"):
        assert header(found, name) == header(page, name) is not None, name


def test_the_facts_name_what_is_opened_and_addresses_relative_to_the_page() -> None:
    layers = (
        LayerFiles("em", {ONE: ramp((40, 30, 20)), Mag(2, 2, 1): ramp((20, 15, 20))}, (8, 16, 3)),
        LayerFiles("cells 1", {ONE: ramp((8, 8, 8), "uint32")}, category="segmentation"),
    )
    door = open_door(dataset(*layers), wish=LinkRequest(name="For Ann", box=BoundingBox((0, 0, 0), (20, 20, 20))))
    facts = json.loads(door.send("GET", door.base, accept="application/json").body)

    assert facts["name"] == "For Ann"
    assert facts["expires"] == "2025-12-13T23:59:59.999Z"
    assert facts["dataset"] == {"id": door.record.id, "name": "ds"}
    assert facts["box"] == [0, 0, 0, 20, 20, 20]
    cells, em = facts["layers"]
    assert em["mags"] == ["1", "2-2-1"]
    assert em["shapes"] == [[20, 4, 20], [20, 2, 10]]
    assert em["window"] == [0, 255]
    assert cells["window"] is None
    for layer in facts["layers"]:
        for dialect in ("v2", "v3"):
            document = ".zgroup" if dialect == "v2" else "zarr.json"
            assert door.get(f"{layer[dialect]}/{document}").status == 200


def test_a_layer_that_cannot_be_read_is_named_and_the_others_are_shown() -> None:
    door = open_door(
        dataset(LayerFiles("a", {ONE: ramp((8, 8, 8))}), LayerFiles("b", {ONE: ramp((8, 8, 8))})), freshness_s=1
    )
    door.clock.monotonic_s += 5
    door.source.failures = {"b/1/header.wkw": SourceUnavailable("denied")}
    facts = json.loads(door.send("GET", door.base, accept="application/json").body)
    assert [layer["name"] for layer in facts["layers"]] == ["a"]
    assert facts["unavailable"][0]["name"] == "b"

    door.clock.monotonic_s += 5
    door.source.failures |= {"a/1/header.wkw": SourceUnavailable("denied")}
    assert door.send("GET", door.base, accept="application/json").status == 503
