"""Whoever controls a dataset's files puts links among them, and reads his own dataset through a private link: what of the
machine does he get? Nothing but what the operator named."""

from __future__ import annotations

import asyncio
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tensorstore as ts

from builders.commands import Result
from builders.foreign_arrays import numbered, write_n5, write_precomputed, write_zarr2, write_zarr3
from builders.foreign_datasets import describe, entry
from builders.wkw_files import LayerFiles, dataset, ramp, write_tree
from zarrlink.catalogue.interface import DatasetRecord
from zarrlink.errors import CorruptFile, InvalidRequest, UnsupportedLayer
from zarrlink.geometry import Mag
from zarrlink.http.message import Request, Response
from zarrlink.http.routes import DataPath
from zarrlink.library import Subject
from zarrlink.links.model import Link
from zarrlink.links.service import LinkRequest, create_link
from zarrlink.sources.permission import VARIABLE
from zarrlink.storage import reach
from zarrlink.streaming import Streamer
from zarrlink_local.machine import Machine, now_ms, open_machine
from zarrlink_local.scan import register_below

ONE = Mag(1, 1, 1)
GZIP = {"id": "gzip", "level": 1}
SHAPE = (8, 8, 8)
FIRST = {"zarr": "0.0.0", "zarr3": "c/0/0/0", "n5": "0/0/0", "neuroglancerPrecomputed": "0-{}_0-{}_0-{}"}


@dataclass
class Site:
    """A machine that serves `home/data`, and readers of links to its datasets."""

    home: Path
    machine: Machine

    @classmethod
    def at(cls, home: Path, *allow: str, state: str = "state.sqlite") -> Site:
        machine = open_machine(home / state, allow, (home / "data",))
        machine.set_address("http://127.0.0.1:1")
        register_below(home / "data", machine.catalogue, 1, pytest.fail, machine.reach)
        return cls(home, machine)

    def record(self, name: str) -> DatasetRecord:
        (found,) = [record for record in self.machine.catalogue.all() if record.name == name]
        return found

    def link(self, name: str) -> Link:
        machine = self.machine
        wish = create_link(machine.library, machine.links, Subject(self.record(name)), "ann", LinkRequest(), now_ms())
        return asyncio.run(wish).link

    def get(self, link: Link, below: str) -> Response:
        machine = self.machine
        path = DataPath(machine.keys, machine.links, Streamer(machine.library), now_ms, b"", 0)
        return asyncio.run(path.respond(Request("GET", f"/zarr/{machine.keys.token(link.id)}/{below}", {})))


def write_layer(folder: Path, data_format: str, data: np.ndarray, *, packed: bool = False) -> None:
    """One chunk, stored as it is or packed by gzip."""
    match data_format:
        case "zarr":
            write_zarr2(folder, data, data.shape, compressor=GZIP if packed else None)
        case "zarr3":
            write_zarr3(folder, data, data.shape)
        case "n5":
            write_n5(folder, data.transpose(2, 1, 0), data.shape[::-1])
        case _:
            write_precomputed(folder.parent, {folder.name: data.transpose(2, 1, 0)[..., None]}, chunk=data.shape[::-1])


def new_dataset(folder: Path, data_format: str, *, packed: bool = False, data: np.ndarray | None = None) -> Path:
    """A dataset with the layer `em`, in one chunk. Gives the chunk's file."""
    stored = numbered(SHAPE, "uint8") if data is None else data
    write_layer(folder / "em/1", data_format, stored, packed=packed)
    size = stored.shape[::-1]
    order = {"n5": "xyz", "neuroglancerPrecomputed": None}.get(data_format, "zyx")
    describe(folder, entry("em", data_format, "uint8", size, order=order))
    return folder / "em/1" / FIRST[data_format].format(*size)


def put_link(place: Path, target: Path) -> None:
    shutil.rmtree(place) if place.is_dir() and not place.is_symlink() else place.unlink()
    place.symlink_to(target)


def chunk(dialect: str) -> str:
    return f"{dialect}/em.zarr/0/{'c/' if dialect == 'v3' else ''}0/0/0"


SECRETS = ["state.sqlite", "state.sqlite.key", "state.sqlite-wal", "state.sqlite.exports/1.tif"]


@pytest.fixture(params=["beside the data", "below the data"])
def state(request: pytest.FixtureRequest) -> str:
    return "state.sqlite" if request.param == "beside the data" else "data/.zarrlink/state.sqlite"


@pytest.mark.parametrize("secret", SECRETS)
def test_no_chunk_that_is_passed_through_is_a_secret_of_the_server(tmp_path: Path, secret: str, state: str) -> None:
    """The attack as it was seen: of a gzip chunk nothing is known but that it is not empty."""
    (tmp_path / state).parent.mkdir(parents=True, exist_ok=True)
    place = new_dataset(tmp_path / "data/evil", "zarr", packed=True)
    site = Site.at(tmp_path, state=state)
    link = site.link("evil")
    assert site.get(link, chunk("v2")).body == place.read_bytes()
    target = (tmp_path / state).parent / secret
    target.parent.mkdir(exist_ok=True)
    if not target.exists():
        target.write_bytes(b"of others")
    put_link(place, target)
    for _ in range(2):
        for dialect in ("v2", "v3"):
            answer = site.get(link, chunk(dialect))
            assert answer.status == 502
            assert target.read_bytes() not in answer.body
            assert str(tmp_path).encode() not in answer.body


@pytest.mark.parametrize("data_format", ["zarr", "zarr3", "n5", "neuroglancerPrecomputed"])
def test_no_chunk_that_is_decoded_is_a_secret_of_the_server(tmp_path: Path, data_format: str, state: str) -> None:
    """tensorstore opens files by itself; an array without a codec decodes from any file of its length."""
    (tmp_path / state).parent.mkdir(parents=True, exist_ok=True)
    open_machine(tmp_path / state)
    key = (tmp_path / state).with_name("state.sqlite.key")
    length = len(key.read_bytes())
    place = new_dataset(tmp_path / "data/evil", data_format, data=numbered((1, 1, length), "uint8"))
    site = Site.at(tmp_path, state=state)
    volume = asyncio.run(site.machine.library.volumes(Subject(site.record("evil")), "em")).volumes[ONE]

    def read() -> np.ndarray:
        return asyncio.run(volume.read((0, 0, 0), (length, 1, 1)))

    assert read().size == length
    put_link(place, key)
    # It would have been voxels.
    if data_format == "zarr":
        seen = ts.open({"driver": "zarr", "kvstore": f"file://{tmp_path}/data/evil/em/1/"}).result().read().result()
        assert seen.tobytes() == key.read_bytes()
    for _ in range(2):
        with pytest.raises(CorruptFile, match="the server's own files"):
            read()


@pytest.mark.parametrize("data_format", ["zarr", "zarr3", "n5", "neuroglancerPrecomputed"])
@pytest.mark.parametrize("level", ["em", "em/1"])
def test_a_layer_or_mag_of_another_dataset_below_the_same_root_is_read(
    tmp_path: Path, data_format: str, level: str
) -> None:
    """As WEBKNOSSOS's users gather datasets."""
    new_dataset(tmp_path / "data/mouse", data_format)
    new_dataset(tmp_path / "data/rat", data_format, data=np.ones(SHAPE, "uint8"))
    expected = Site.at(tmp_path).get(Site.at(tmp_path).link("mouse"), chunk("v3")).body
    put_link(
        tmp_path / "data/rat" / level,
        Path(os.path.relpath(tmp_path / "data/mouse" / level, (tmp_path / "data/rat" / level).parent)),
    )
    site = Site.at(tmp_path)
    assert site.get(site.link("rat"), chunk("v3")).body == expected
    # And where another process works on the state file.
    again = Site(tmp_path, open_machine(tmp_path / "state.sqlite"))
    assert again.get(again.link("rat"), chunk("v3")).body == expected


@pytest.mark.parametrize("data_format", ["zarr", "zarr3", "n5", "neuroglancerPrecomputed"])
def test_a_layer_elsewhere_is_read_only_where_its_folder_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data_format: str
) -> None:
    new_dataset(tmp_path / "private/mouse", data_format)
    new_dataset(tmp_path / "data/rat", data_format)
    put_link(tmp_path / "data/rat/em", tmp_path / "private/mouse/em")
    Site.at(tmp_path)

    def command() -> Result:
        return Result(capsys, "links", "create", "rat", "--state", tmp_path / "state.sqlite", "--json")

    assert "--allow-source PREFIX" in command().refusal
    Site.at(tmp_path, str(tmp_path / "private/mouse"))
    assert command().json
    Site.at(tmp_path)
    assert "--allow-source PREFIX" in command().refusal
    monkeypatch.setenv(VARIABLE, str(tmp_path / "private"))
    assert command().json


@pytest.mark.parametrize("name", ["a", "a/1", "a/1/header.wkw", "a/1/z0/y0/x0.wkw"])
def test_a_wkw_file_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    objects = dataset(LayerFiles("a", {ONE: ramp((8, 8, 8))}))
    for folder in ("data/rat", "private/mouse"):
        write_tree(objects, tmp_path / folder)
    site = Site.at(tmp_path)
    link = site.link("rat")
    below = "v2/a.zarr/0/0/0/0"
    assert site.get(link, below).status == 200
    put_link(tmp_path / "data/rat" / name, tmp_path / "private/mouse" / name)
    refused = Site.at(tmp_path)
    assert refused.get(link, below).status in (410, 502)
    allowed = Site.at(tmp_path, str(tmp_path / "private"))
    assert allowed.get(link, below).status == 200


def test_a_description_elsewhere_is_refused(tmp_path: Path) -> None:
    for folder in ("data/rat", "private/mouse"):
        new_dataset(tmp_path / folder, "zarr")
    name = "datasource-properties.json"
    put_link(tmp_path / "data/rat" / name, tmp_path / "private/mouse" / name)
    site = Site.at(tmp_path)
    with pytest.raises(CorruptFile, match="--allow-source"):
        site.link("rat")


def test_a_datasets_folder_that_is_replaced_by_a_link_is_no_way_out(tmp_path: Path) -> None:
    for folder in ("data/rat", "private/mouse"):
        new_dataset(tmp_path / folder, "zarr", packed=True)
    site = Site.at(tmp_path)
    link = site.link("rat")
    (tmp_path / "data/rat").rename(tmp_path / "away")
    (tmp_path / "data/rat").symlink_to(tmp_path / "private/mouse")
    assert site.get(link, chunk("v2")).status == 502
    again = Site(tmp_path, open_machine(tmp_path / "state.sqlite"))
    assert again.get(link, chunk("v2")).status == 502
    with pytest.raises((CorruptFile, UnsupportedLayer)):
        again.link("rat")


def test_links_to_datasets_elsewhere_are_not_registered(tmp_path: Path) -> None:
    new_dataset(tmp_path / "private/mouse", "zarr")
    new_dataset(tmp_path / "data/rat", "zarr")
    (tmp_path / "data/found").symlink_to(tmp_path / "private/mouse")
    machine = open_machine(tmp_path / "state.sqlite", (), (tmp_path / "data",))
    told: list[str] = []
    found = register_below(tmp_path / "data", machine.catalogue, 1, told.append, machine.reach)
    assert [record.name for record in found] == ["rat"]
    assert [text.partition(": ")[0] for text in told] == [str(tmp_path / "data/found")]
    Site.at(tmp_path, str(tmp_path / "private"))
    assert len(open_machine(tmp_path / "state.sqlite").catalogue.all()) == 2


def test_the_servers_own_folders_are_no_datasets(tmp_path: Path) -> None:
    state = tmp_path / "data/state.sqlite"
    new_dataset(tmp_path / "data/state.sqlite.exports/1", "zarr")
    new_dataset(tmp_path / "data/rat", "zarr")
    site = Site.at(tmp_path, state="data/state.sqlite")
    assert [record.name for record in site.machine.catalogue.all()] == ["rat"]
    with pytest.raises(InvalidRequest, match="folders that are served"):
        site.machine.places((tmp_path / "data",)).place_of(f"{state}.exports/1")


def test_probes_of_folders_are_no_way_out(tmp_path: Path) -> None:
    """A volume without a description is known by documents in it."""
    write_zarr2(tmp_path / "private/em", numbered(SHAPE, "uint8"), SHAPE)
    (tmp_path / "data/em").mkdir(parents=True)
    (tmp_path / "data/em/.zarray").symlink_to(tmp_path / "private/em/.zarray")
    os.mkfifo(tmp_path / "data/em/zarr.json")
    machine, told = open_machine(tmp_path / "state.sqlite"), []
    assert register_below(tmp_path / "data/em", machine.catalogue, 1, told.append, machine.reach) == []
    assert len(told) == 1


def test_annotations_are_read_below_a_state_file_that_is_reached_by_a_link(tmp_path: Path) -> None:
    """Of a dataset their folder is closed; of an annotation it is its own."""
    (tmp_path / "real").mkdir()
    (tmp_path / "home").symlink_to(tmp_path / "real")
    for first, second in (("home", "real"), ("real", "home")):
        _, location = open_machine(tmp_path / first / "state.sqlite").vault.sink("a", "1")
        Path(location).mkdir(parents=True, exist_ok=True)
        (Path(location) / "file").write_bytes(b"of an annotation")
        machine = open_machine(tmp_path / second / "state.sqlite")
        source = machine.library._open_source(location)
        assert asyncio.run(source.read("file")) is not None


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="locks cannot be listed here")
@pytest.mark.parametrize("name", ["state.sqlite", "state.sqlite-shm"])
@pytest.mark.parametrize("machine", ["Linux", "macOS"])
def test_a_link_to_the_state_file_does_not_end_its_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, machine: str
) -> None:
    """A file that a process opens and closes loses all POSIX locks of the process: the next command would take SQLite's log
    away from under the server."""
    if machine == "macOS":
        # There nothing can be looked at without opening it.
        monkeypatch.setattr(reach, "_PATH_ONLY", None)
        monkeypatch.setattr(reach, "_DESCRIPTORS", None)
    place = new_dataset(tmp_path / "data/evil", "zarr", packed=True)
    site = Site.at(tmp_path)
    link = site.link("evil")
    inode = (tmp_path / name).stat().st_ino

    def locks() -> int:
        lines = Path("/proc/locks").read_text().splitlines()
        return sum(f":{inode} " in line and f" {os.getpid()} " in line for line in lines)

    assert locks() > 0
    put_link(place, tmp_path / name)
    descriptors = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 (a count)
    source = site.machine.library._open_source(site.record("evil").location)
    for _ in range(20):
        assert site.get(link, chunk("v2")).status == 502
        with pytest.raises(CorruptFile, match="the server's own files"):
            asyncio.run(source.stat("em/1/0.0.0"))
    assert locks() > 0
    assert len(os.listdir("/proc/self/fd")) <= descriptors + 1  # noqa: PTH208
