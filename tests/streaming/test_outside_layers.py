"""Mags outside of their dataset's folder, as machine, commands and data path have them: nothing is read that is not allowed."""

from __future__ import annotations

import functools
import http.server
import threading
from pathlib import Path

import numpy as np
import pytest

from builders.commands import Result
from builders.door import open_door
from builders.foreign_arrays import LITTLE, numbered, write_n5, write_precomputed, write_zarr2, write_zarr3
from builders.foreign_datasets import ONE, assert_served, describe, door_on, entry
from builders.wkw_files import LayerFiles, dataset, mag_folder, ramp, write_tree
from zarrlink.byte_range import parse_range
from zarrlink.decoded_chunks import DecodedChunks
from zarrlink.errors import InvalidRequest, UnsupportedLayer
from zarrlink.proxied_chunks import ProxiedChunks
from zarrlink.sources.permission import VARIABLE, AllowedSources
from zarrlink_local.machine import open_machine

DATA = numbered((12, 13, 14), "uint16")
SIZE = (14, 13, 12)
FORMATS = ["wkw", "zarr", "zarr3", "n5", "neuroglancerPrecomputed"]
ADDRESSES = [
    "/etc",
    "file:///etc",
    "http://169.254.169.254/latest/meta-data",
    "https://example.org/x",
    "s3://others/x",
    "gs://others/x",
]


def write(folder: Path, data_format: str) -> str:
    """An array of a format; gives the letters of its axes."""
    match data_format:
        case "zarr":
            write_zarr2(folder, DATA, (8, 8, 8))
        case "zarr3":
            write_zarr3(folder, DATA, (8, 8, 8), codecs=[LITTLE])
        case "n5":
            write_n5(folder, np.ascontiguousarray(DATA.T), (8, 8, 8))
            return "xyz"
        case "neuroglancerPrecomputed":
            write_precomputed(folder.parent, {folder.name: np.ascontiguousarray(DATA.T)[..., None]})
        case _:
            write_tree(mag_folder(DATA, block_side=8), folder)
    return "zyx"


def outside(tmp_path: Path, data_format: str, address: str | None = None) -> Path:
    """A dataset whose one mag lies beside its folder, or at an address."""
    order = None
    if address is None:
        order = write(tmp_path / "else where/1", data_format)
        address = str(tmp_path / "else where/1")
    order = order if data_format in ("zarr", "zarr3", "n5") else None
    return describe(tmp_path / "ds", entry("a", data_format, "uint16", SIZE, order=order, mags={ONE: address}))


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("address", ADDRESSES)
def test_nothing_outside_is_read_without_permission(tmp_path: Path, data_format: str, address: str) -> None:
    folder = outside(tmp_path, data_format, address)
    with pytest.raises(
        UnsupportedLayer, match=r"layer 'a'.*it lies outside the dataset's folder.*--allow-source"
    ) as told:
        door_on(folder)
    assert "latest" not in str(told.value)


@pytest.mark.parametrize("data_format", ["zarr", "zarr3", "n5", "neuroglancerPrecomputed"])
@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_what_is_allowed_is_read_to_the_voxel(tmp_path: Path, data_format: str, form: str) -> None:
    outside(tmp_path, data_format)
    place = form.format(str(tmp_path / "else where/1").replace(" ", "%20" if "file" in form else " "))
    order = {"n5": "xyz", "neuroglancerPrecomputed": None}.get(data_format, "zyx")
    folder = describe(tmp_path / "ds", entry("a", data_format, "uint16", SIZE, order=order, mags={ONE: place}))
    door = door_on(folder, allowed=AllowedSources.of([str(tmp_path / "else where")]))
    assert_served(door, "a", {ONE: DATA})
    kind = ProxiedChunks if data_format.startswith("zarr") else DecodedChunks
    assert isinstance(door.opened("a").chunks("v3")[0], kind)


def link_by_command(capsys, tmp_path: Path, folder: Path, *allow: str) -> Result:
    """A link made by `links create`, in a process that is told nothing of what the server allows."""
    state = tmp_path / "state.sqlite"
    served = open_machine(state, allow)
    served.set_address("http://127.0.0.1:1")
    served.add_datasets(str(folder), 0, print)
    return Result(capsys, "links", "create", folder.name, "--state", state, "--json")


REFUSED = "which zarrlink was not told to read"


@pytest.mark.parametrize("data_format", FORMATS)
def test_what_the_server_allows_holds_for_the_commands(capsys, tmp_path: Path, data_format: str) -> None:
    folder = outside(tmp_path, data_format)
    assert REFUSED in link_by_command(capsys, tmp_path, folder).refusal
    # A prefix with a space in it is one prefix.
    made = link_by_command(capsys, tmp_path, folder, str(tmp_path / "else where")).json
    assert [layer["name"] for layer in made["layers"]] == ["a"]
    assert REFUSED in link_by_command(capsys, tmp_path, folder, str(tmp_path / "else")).refusal
    # A server that is started without the permission takes it back.
    assert link_by_command(capsys, tmp_path, folder, str(tmp_path / "else where")).json
    assert REFUSED in link_by_command(capsys, tmp_path, folder).refusal


def test_what_the_environment_allows(capsys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = outside(tmp_path, "zarr3", str(tmp_path / "there/1"))
    write(tmp_path / "there/1", "zarr3")
    monkeypatch.setenv(VARIABLE, f"s3://others {tmp_path / 'there'}")
    assert link_by_command(capsys, tmp_path, folder).json
    # The server's, also for a command without it.
    monkeypatch.delenv(VARIABLE)
    assert Result(capsys, "links", "create", "ds", "--state", tmp_path / "state.sqlite", "--json").json


def test_a_prefix_that_is_no_address_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="an address is an absolute folder or begins with one of"):
        open_machine(tmp_path / "state.sqlite", ("somewhere",))
    # And is not kept.
    open_machine(tmp_path / "state.sqlite")


def test_a_permission_that_is_taken_back_ends_the_link(tmp_path: Path) -> None:
    folder = outside(tmp_path, "zarr3")
    door = door_on(folder, allowed=AllowedSources.of([str(tmp_path)]), freshness_s=0.0)
    path = "v3/a.zarr/0/c/0/0/0"
    assert door.get(path).status == 200
    door.library._allowed = AllowedSources()
    door.library._voxel_tools = None
    door.library._open.clear()
    assert door.get(path).status == 410


def test_wkw_over_the_web_is_refused_by_name() -> None:
    address = {"mags": [{"mag": [1, 1, 1], "path": "https://example.org/a/1"}]}
    objects = dataset(LayerFiles("a", {ONE: ramp((8, 8, 8))}, described=address))
    with pytest.raises(UnsupportedLayer, match=r"layer 'a'"):
        open_door(objects)


class Ranges(http.server.SimpleHTTPRequestHandler):
    """Files of a folder, in parts as well, as object stores serve them."""

    def do_GET(self) -> None:
        wanted = parse_range(self.headers.get("Range"))
        file = Path(self.translate_path(self.path))
        if wanted is None or not file.is_file():
            super().do_GET()
            return
        data = file.read_bytes()
        part = wanted.resolve(len(data))
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {part.start}-{part.end - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(data[part.start : part.end])

    def log_message(self, *args: object) -> None:
        pass


def test_shards_on_the_web_are_decoded_and_chunks_are_passed_through(tmp_path: Path) -> None:
    """tensorstore gives objects whole: each range of a large shard would cost all of it."""
    write_zarr3(tmp_path / "web/shards", DATA, (4, 4, 4), shard=(8, 8, 8), codecs=[LITTLE])
    write_zarr3(tmp_path / "web/chunks", DATA, (8, 8, 8), codecs=[LITTLE])
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Ranges, directory=str(tmp_path / "web"))
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        address = f"http://127.0.0.1:{server.server_port}"
        layers = [
            entry(name, "zarr3", "uint16", SIZE, order="zyx", mags={ONE: f"{address}/{name}"})
            for name in ("shards", "chunks")
        ]
        door = door_on(describe(tmp_path / "ds", *layers), allowed=AllowedSources.of([address]))
        kinds = [type(door.opened(name).chunks("v3")[0]) for name in ("shards", "chunks")]
        assert kinds == [DecodedChunks, ProxiedChunks]
        for name in ("shards", "chunks"):
            assert_served(door, name, {ONE: DATA})
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
