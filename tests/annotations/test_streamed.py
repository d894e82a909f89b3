"""Annotations imported by command and through the API, served, and read block by block with tensorstore.

What is right is told by the `webknossos` library's own reading of the upload, and by the layer below that is built here.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import httpx2
import numpy as np
import pytest
import tensorstore
from numpy.typing import NDArray

from builders.annotation_zips import REVERTED, Volume, annotation_zip, voxels, wkw_data, zarr3_data, zip_of
from builders.commands import Result
from builders.loopback import served
from builders.webknossos_library import (
    NOT_THERE,
    PYTHON,
    Blocks,
    LibraryAnnotation,
    download_by_library,
    read_by_library,
    upload_by_library,
)
from builders.wkw_files import LayerFiles, dataset, noise, write_tree
from zarrlink.geometry import BoundingBox, Mag, Vec3
from zarrlink.users.interface import User, hash_user_token
from zarrlink_local.machine import Machine, open_machine
from zarrlink_local.scan import register_below
from zarrlink_local.server import create_app

FOLDER = Path(__file__).parents[3] / "shared" / "testdata" / "annotations"
REAL = {file.stem[:5]: file for file in sorted(FOLDER.glob("*.zip"))}
ANN = {"X-Auth-Token": "ann-token"}
needs_library = pytest.mark.skipif(not PYTHON.exists(), reason=NOT_THERE)
needs_files = pytest.mark.skipif(not REAL, reason=f"no real annotations: {FOLDER} is not there")
Voxels = NDArray[Any]
Door = Literal["command", "api"]


@dataclass(frozen=True)
class Site:
    """A server, and the state that commands work on."""

    machine: Machine
    address: str
    options: tuple[str, ...]

    def register(self, folder: Path) -> str:
        """The id of the one dataset in a folder."""
        (record,) = register_below(folder, self.machine.catalogue, 1, pytest.fail)
        return record.id

    def bring(self, capsys: Any, door: Door, file: Path, dataset_id: str | None) -> str:
        """Import a file; gives the annotation's id."""
        if door == "command":
            given = ("--dataset", dataset_id) if dataset_id else ()
            command = ("annotations", "import", file, "--owner", "ann", "--new", *given)
            return Result(capsys, *command, *self.options, "--json").json["id"]
        answer = httpx2.post(
            f"{self.address}/api/v14/annotations/upload",
            headers=ANN,
            files={"file": (file.name, file.read_bytes())},
            data={"datasetId": dataset_id} if dataset_id else {},
            timeout=120,
        )
        assert answer.status_code == 200, answer.text
        return answer.json()["annotation"]["id"]

    def link(self, annotation: str, **wish: Any) -> dict[str, Any]:
        body = {"annotation": annotation, **wish}
        answer = httpx2.post(f"{self.address}/api/zarrPrivateLinks", headers=ANN, json=body, timeout=120)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def download(self, annotation: str, form: str) -> bytes:
        address = f"{self.address}/api/v14/annotations/{annotation}/download"
        return httpx2.get(address, headers=ANN, params={"volumeDataZipFormat": form}, timeout=120).content


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    machine = open_machine(tmp_path / "state.sqlite")
    machine.users.add(User("ann", 1), hash_user_token("ann-token"))
    with served(create_app(machine, "https://links.example")) as address:
        machine.set_address(address)
        yield Site(machine, address, ("--state", str(tmp_path / "state.sqlite")))


class Level:
    """A level as its own metadata places it: boxes by voxel of its mag, from voxel 0."""

    def __init__(self, mag: Mag, origin: Vec3, array: Any) -> None:
        self.mag = mag
        self._origin = origin
        self._array = array

    def box(self, start: Vec3, side: int) -> Voxels:
        """[x, y, z], zero where the array ends."""
        out = np.zeros((side,) * 3, self._array.dtype.numpy_dtype)
        low = [max(0, at - o) for at, o in zip(start, self._origin, strict=True)]
        high = [
            max(lo, min(length, at - o + side))
            for lo, at, o, length in zip(low, start, self._origin, self._array.shape[::-1], strict=True)
        ]
        part = self._array[tuple(slice(lo, hi) for lo, hi in zip(low, high, strict=True))[::-1]].read().result().T
        shift = [lo + o - at for lo, at, o in zip(low, start, self._origin, strict=True)]
        out[tuple(slice(s, s + length) for s, length in zip(shift, part.shape, strict=True))] = part
        return out


def levels_of(address: str, dialect: str, voxel_size: tuple[float, ...]) -> dict[Mag, Level]:
    attributes = httpx2.get(f"{address}/{'.zattrs' if dialect == 'v2' else 'zarr.json'}").json()
    attributes = attributes if dialect == "v2" else attributes["attributes"]["ome"]
    found = {}
    for entry in attributes["multiscales"][0]["datasets"]:
        scale, translation = (
            found_[kind]
            for found_, kind in zip(entry["coordinateTransformations"], ("scale", "translation"), strict=True)
        )
        mag = Mag(*(round(s / v) for s, v in zip(scale[::-1], voxel_size, strict=True)))
        origin = [
            round(t / v - (side - 1) / 2) for t, v, side in zip(translation[::-1], voxel_size, mag.xyz, strict=True)
        ]
        spec = {"driver": {"v2": "zarr", "v3": "zarr3"}[dialect], "kvstore": f"{address}/{entry['path']}/"}
        array = tensorstore.open(spec).result()
        x, y, z = (corner // side for corner, side in zip(origin, mag.xyz, strict=True))
        found[mag] = Level(mag, (x, y, z), array)
    return found


@dataclass(frozen=True)
class Below:
    """A sparse layer under an annotation: for each mag, one file whose blocks are all noise."""

    side: int
    files: dict[Mag, tuple[Vec3, Voxels]]

    def block(self, mag: Mag, start: Vec3, side: int) -> Voxels:
        """What it has in a box of its mag, [x, y, z]."""
        corner, volume = self.files[mag]
        out = np.zeros((side,) * 3, volume.dtype)
        for place in np.ndindex(2, 2, 2):
            at = [s + n * side // 2 for s, n in zip(start, place, strict=True)]
            inside = [a - c for a, c in zip(at, corner, strict=True)]
            if all(0 <= i < length for i, length in zip(inside, volume.shape, strict=True)):
                half = tuple(slice(i, i + side // 2) for i in inside)
                out[tuple(slice(n * side // 2, (n + 1) * side // 2) for n in place)] = volume[half]
        return out


def build_below(folder: Path, mags: dict[Mag, Blocks], *, side: int, dtype: str, name: str = "segmentation") -> Below:
    """A dataset with that layer and with `em`; in each mag a file of 64^3 voxels around the first painted block."""
    painted = [
        [(place // 2 * 64 + 64) * factor for place, factor in zip(at, mag.xyz, strict=True)]
        for mag, blocks in mags.items()
        for at in blocks
    ]
    box = BoundingBox((0, 0, 0), tuple(max([64 * 64, *(corner[axis] for corner in painted)]) for axis in range(3)))
    objects: dict[str, bytes] = {}
    files = {}
    described = []
    for number, (mag, blocks) in enumerate(mags.items()):
        corner = tuple(place // 2 * 64 for place in min(blocks, default=(0, 0, 0)))
        volume = noise((64, 64, 64), dtype, seed=number)
        layer = LayerFiles(
            name,
            {Mag(1, 1, 1): volume},
            top_left=corner,
            category="segmentation",
            block_side=side,
            file_side=64 // side,
        )
        for key, data in dataset(layer).items():
            if key.startswith(f"{name}/1/"):
                objects[f"{name}/{mag.literal}/{key.removeprefix(f'{name}/1/')}"] = data
        files[mag] = corner, volume.T
        described.append({"mag": list(mag.xyz), "path": f"./{name}/{mag.literal}"})
    em = LayerFiles("em", {Mag(1, 1, 1): noise((40, 40, 40))})
    seg = LayerFiles(
        name, {Mag(1, 1, 1): noise((1, 1, 1), dtype)}, category="segmentation", box=box, described={"mags": described}
    )
    objects |= {key: data for key, data in dataset(em, seg).items() if not key.startswith(f"{name}/")}
    write_tree(objects, folder)
    return Below(side, files)


def assert_streams(
    site: Site,
    link: dict[str, Any],
    name: str,
    mags: dict[Mag, Blocks],
    below: Below | None,
    voxel_size: tuple[float, ...] = (8.0, 8.0, 25.0),
) -> int:
    """Every painted block, every other one of the file below, and one in which nothing is."""
    compared = 0
    layer = f"{site.address}/zarr/{link['accessToken']}"
    for dialect in ("v2", "v3"):
        levels = levels_of(f"{layer}/{dialect}/{name}.zarr", dialect, voxel_size)
        assert levels.keys() == mags.keys()
        for mag, blocks in mags.items():
            expected: dict[Vec3, Voxels] = {}
            if below is not None:
                corner = [place // 32 for place in below.files[mag][0]]
                for place in np.ndindex(2, 2, 2):
                    at = tuple(c + n for c, n in zip(corner, place, strict=True))
                    expected[at] = below.block(mag, tuple(32 * n for n in at), 32)
            expected |= blocks
            nowhere = next(at for at in np.ndindex(3, 3, 3) if at not in expected)
            for at, block in {**expected, nowhere: np.zeros((32,) * 3, "u1")}.items():
                found = levels[mag].box(tuple(32 * n for n in at), 32)
                np.testing.assert_array_equal(found, block, err_msg=f"{dialect} {mag.literal} {at}")
                compared += 1
    return compared


def without_fallback(data: bytes) -> bytes:
    """The download, as if its volumes had no layer below."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    return zip_of(
        {
            name: re.sub(rb' fallbackLayer="[^"]*"', b"", data) if name.endswith(".nml") else data
            for name, data in files.items()
        }
    )


def assert_same_voxels(ours: LibraryAnnotation, theirs: LibraryAnnotation) -> None:
    assert ours.skeleton == theirs.skeleton
    assert ours.bounding_boxes == theirs.bounding_boxes
    for number, volume in theirs.volumes.items():
        for mag, blocks in volume.mags.items():
            kept = {at: block for at, block in blocks.items() if volume.fallback_layer is not None or block.any()}
            found = ours.volumes[number].mags[mag]
            assert found.keys() == kept.keys()
            assert all(np.array_equal(found[at], block) for at, block in kept.items())


read_once = cache(read_by_library)


@needs_files
@needs_library
@pytest.mark.parametrize(
    ("stem", "door", "side", "dtypes"),
    [
        ("l4_sa", "command", 32, ()),
        ("l4den", "command", 32, ("uint32",)),
        ("l4den", "api", 16, ("uint64",)),
        ("multi", "api", 32, ("", "uint16")),
        ("multi", "command", 64, ("", "uint32")),
        ("bound", "api", 32, ("uint32",)),
    ],
)
def test_a_real_annotation_is_streamed_as_the_library_reads_it(
    site: Site, capsys: Any, tmp_path: Path, stem: str, door: Door, side: int, dtypes: tuple[str, ...]
) -> None:
    library = read_once(REAL[stem])
    dataset_id, below = None, {}
    for volume, dtype in zip(library.volumes.values(), dtypes, strict=False):
        if volume.fallback_layer is not None:
            mags = volume.mags or {Mag(1, 1, 1): {}}
            below[volume.name] = build_below(tmp_path / "data" / "d", mags, side=side, dtype=dtype)
            dataset_id = site.register(tmp_path / "data")
    annotation = site.bring(capsys, door, REAL[stem], dataset_id)
    link = site.link(annotation)
    names = [volume.name for volume in library.volumes.values()]
    assert link["scope"]["layers"] == sorted([*names, *(["em", "segmentation"] if below else [])])
    assert not any("keleton" in name for name in link["scope"]["layers"])
    for volume in library.volumes.values():
        under = below.get(volume.name)
        mags = volume.mags or {mag: {} for mag in under.files}
        compared = assert_streams(
            site, link, volume.name, mags, under, (8.0, 8.0, 25.0) if below else library.voxel_size
        )
        assert compared > 2 * sum(len(blocks) for blocks in mags.values())
    for form in ("wkw", "zarr3"):
        made = site.download(annotation, form)
        file = tmp_path / form / "again.zip"
        file.parent.mkdir()
        Result(capsys, "annotations", "download", annotation, "-o", file, "--volume-format", form, *site.options)
        assert file.read_bytes() == made
        assert_same_voxels(read_by_library(file), library)


@needs_files
@needs_library
@pytest.mark.parametrize("stem", ["l4den", "multi"])
def test_without_a_fallback_it_is_streamed_although_its_dataset_is_not_here(
    site: Site, capsys: Any, tmp_path: Path, stem: str
) -> None:
    """With one it is refused by name: what lies below is not known."""
    library = read_once(REAL[stem])
    (tmp_path / "alone.zip").write_bytes(without_fallback(REAL[stem].read_bytes()))
    link = site.link(site.bring(capsys, "api", tmp_path / "alone.zip", None))
    for volume in library.volumes.values():
        assert_streams(site, link, volume.name, volume.mags, None, library.voxel_size)

    body = {"annotation": site.bring(capsys, "command", REAL[stem], None)}
    answer = httpx2.post(f"{site.address}/api/zarrPrivateLinks", headers=ANN, json=body, timeout=60)
    over = [volume for volume in library.volumes.values() if volume.fallback_layer is not None]
    reason = f"layer '{over[0].name}': the dataset of its fallback layer 'segmentation' is not registered here"
    if len(over) == len(library.volumes):
        assert (answer.status_code, answer.json()["detail"]) == (422, reason)
    else:
        assert answer.json()["leftOut"] == [reason]


@needs_library
@pytest.mark.parametrize("form", ["wkw", "zarr3"])
@pytest.mark.parametrize(
    ("name", "side", "dtype"), [("Volume", 32, "uint32"), ("segmentation", 32, "uint32"), ("Volume", 16, "uint16")]
)
def test_erased_stays_erased_through_streaming_and_a_round_trip(
    site: Site, capsys: Any, tmp_path: Path, form: str, name: str, side: int, dtype: str
) -> None:
    """Also where the volume layer is called as the layer below, which it hides."""
    zero = bytes(32**3 * 4)
    mags = {
        "1": {(2, 2, 2): zero, (3, 2, 2): voxels(1), (2, 3, 2): REVERTED, (9, 9, 9): zero},
        "2-2-1": {(0, 0, 0): zero, (1, 0, 1): voxels(3)},
    }
    files = wkw_data(mags) if form == "wkw" else zarr3_data(mags)
    upload = tmp_path / "first.zip"
    upload.write_bytes(
        annotation_zip(
            Volume(
                name=name, location="data_Volume.zip", data=zip_of(files), format=form, fallback_layer="segmentation"
            )
        )
    )
    expected = {
        Mag.parse(literal): {
            at: np.frombuffer(block, "<u4").reshape((32,) * 3, order="F")
            for at, block in blocks.items()
            if block != REVERTED
        }
        for literal, blocks in mags.items()
    }
    below = build_below(tmp_path / "data" / "d", expected, side=side, dtype=dtype)
    assert below.block(Mag(1, 1, 1), (64, 64, 64), 32).any()
    dataset_id = site.register(tmp_path / "data")
    for round_trip in range(2):
        annotation = site.bring(capsys, "api", upload, dataset_id)
        link = site.link(annotation)
        # Eight blocks of the file below in each mag, four of them painted over; one beyond; one in which nothing is.
        assert assert_streams(site, link, name, expected, below) == 2 * (8 + 8 + 1 + 2)
        if round_trip:
            found = read_by_library(upload).volumes[0].mags
            assert {mag: blocks.keys() for mag, blocks in found.items()} == {m: b.keys() for m, b in expected.items()}
            assert all(np.array_equal(found[m][at], block) for m, b in expected.items() for at, block in b.items())
        upload = tmp_path / f"{round_trip}.zip"
        upload.write_bytes(site.download(annotation, {"wkw": "zarr3", "zarr3": "wkw"}[form]))


@needs_files
@needs_library
@pytest.mark.parametrize("stem", ["l4_sa", "multi"])
def test_the_library_downloads_from_here_and_uploads_to_here(
    site: Site, capsys: Any, tmp_path: Path, stem: str
) -> None:
    annotation = site.bring(capsys, "api", REAL[stem], None)
    library = read_once(REAL[stem])
    assert_same_voxels(download_by_library(site.address, "ann-token", annotation), library)
    uploaded = upload_by_library(site.address, "ann-token", REAL[stem])
    assert uploaded != annotation
    again = tmp_path / "again.zip"
    again.write_bytes(site.download(uploaded, "wkw"))
    assert_same_voxels(read_by_library(again), library)


@needs_files
def test_what_a_link_says_never_speaks_of_the_skeleton(site: Site, capsys: Any) -> None:
    link = site.link(site.bring(capsys, "api", REAL["l4_sa"], None))
    answer = httpx2.get(f"{site.address}/zarr/{link['accessToken']}/", headers={"Accept": "application/json"})
    assert "keleton" not in answer.text
    for name in ("Skeleton", "skeleton", f"{link['annotation']}-skeleton", "annotation.nml"):
        for path in (f"v3/{name}.zarr/zarr.json", f"v2/{name}.zarr/.zattrs", name):
            assert httpx2.get(f"{site.address}/zarr/{link['accessToken']}/{path}").status_code in (404, 410)
    assert json.loads(answer.text)["layers"]
