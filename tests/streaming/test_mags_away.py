"""A mag that is away for a moment, as where a folder is exchanged, is there again once one looks again."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import pytest

from builders.door import Door, header
from builders.foreign_arrays import numbered, write_n5, write_zarr2, write_zarr3
from builders.foreign_datasets import describe, door_on, entry
from builders.wkw_files import LayerFiles, dataset, noise, pyramid
from zarrlink.geometry import Mag
from zarrlink.sources.permission import AllowedSources

ONE, TWO = Mag(1, 1, 1), Mag(2, 2, 2)
METADATA = {"wkw": "header.wkw", "zarr": ".zarray", "zarr3": "zarr.json", "n5": "attributes.json"}


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def web_server(folder: Path) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(params=METADATA)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Door, Path]:
    """A door to a layer `a` of two mags, and where the metadata of the coarser one lie."""
    folder, data_format = tmp_path / "ds", request.param
    volumes = pyramid(noise((16, 16, 16)), (ONE, TWO))
    if data_format == "wkw":
        for key, data in dataset(LayerFiles("a", volumes)).items():
            (folder / key).parent.mkdir(parents=True, exist_ok=True)
            (folder / key).write_bytes(data)
        places = next(path.parent for path in folder.rglob("header.wkw") if path.parent.name.startswith("2"))
    else:
        write = {"zarr": write_zarr2, "zarr3": write_zarr3, "n5": write_n5}[data_format]
        for number, side in ((1, 16), (2, 8)):
            write(folder / f"a/{number}", np.ascontiguousarray(numbered((side,) * 3, "uint8")), (8, 8, 8))
        describe(folder, entry("a", data_format, "uint8", (16,) * 3, order="zyx", mags={ONE: "a/1", TWO: "a/2"}))
        places = folder / "a/2"
    return door_on(folder, freshness_s=1.0), places / METADATA[data_format]


def test_a_mag_that_is_away_for_a_moment_is_not_missed_for_ever(site: tuple[Door, Path]) -> None:
    assert_found_again(*site)


@pytest.mark.parametrize("data_format", ["zarr", "zarr3", "n5"])
@pytest.mark.parametrize("at", ["a folder", "a web server"])
def test_nor_is_one_outside_of_its_dataset(tmp_path: Path, data_format: str, at: str) -> None:
    folder, outside = tmp_path / "ds", tmp_path / "else"
    write = {"zarr": write_zarr2, "zarr3": write_zarr3, "n5": write_n5}[data_format]
    for place, side in ((folder / "a/1", 16), (outside / "2", 8)):
        write(place, np.ascontiguousarray(numbered((side,) * 3, "uint8")), (8, 8, 8))
    with web_server(outside) if at == "a web server" else nullcontext(str(outside)) as address:
        mags = {ONE: "a/1", TWO: f"{address}/2"}
        describe(folder, entry("a", data_format, "uint8", (16,) * 3, order="zyx", mags=mags))
        door = door_on(folder, freshness_s=1.0, allowed=AllowedSources.of([address]))
        assert_found_again(door, outside / "2" / METADATA[data_format])


def assert_found_again(door: Door, metadata: Path) -> None:
    chunk = "v2/a.zarr/1/0/0/0"
    before = door.get(chunk)
    assert before.status == 200
    away = metadata.with_suffix(".away")
    metadata.rename(away)
    door.clock.monotonic_s += 120
    assert door.get(chunk).status in (410, 503)
    away.rename(metadata)
    door.clock.monotonic_s += 120
    after = door.get(chunk)
    assert (after.status, after.body) == (200, before.body)
    assert header(after, "etag") is not None
