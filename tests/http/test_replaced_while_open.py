"""A dataset is replaced while people's programs hold it open: they go on where the geometry is equal, and else raise.

Readers fetch over HTTP and know nothing: they opened a link once, and read on. `edge`: behind a CDN's rewriting, where the
newer revision is asked for by name; without it, where the server looks at its records again after a while.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorstore as ts
import zarr

from builders.edge_origin import SECRET, PlainEdge
from builders.loopback import served
from builders.machines import machine_with
from builders.wkw_files import LayerFiles, Objects, dataset, noise, write_tree
from zarrlink.geometry import BoundingBox, Mag
from zarrlink.http.edge_door import EdgeDoor
from zarrlink_local.machine import Machine
from zarrlink_local.server import create_app

ONE = Mag(1, 1, 1)
SIDE = 64
OLD, NEW = noise((SIDE, SIDE, SIDE), "uint16", seed=1), noise((SIDE, SIDE, SIDE), "uint16", seed=2)
HALVES = (slice(0, SIDE // 2), slice(SIDE // 2, SIDE))
Read = Callable[[slice], Any]


@dataclass
class Site:
    """A server with one dataset, and a link to it."""

    machine: Machine
    folder: Path
    page: str
    has_edge: bool

    def replace(self, objects: Objects) -> None:
        """Other files, and a record that says so; without a CDN the while goes by after which it is looked at again."""
        for file in self.folder.rglob("*"):
            if file.is_file():
                file.unlink()
        write_tree(objects, self.folder)
        (record,) = self.machine.catalogue.all()
        self.machine.catalogue.revise(record.id)
        if not self.has_edge:
            for _, opened in self.machine.library._open.values():
                opened.checked_s = float("-inf")


def stored(volume: Any, box: BoundingBox | None = None) -> Objects:
    # Files of one block: a reader has seen only those that it read.
    return dataset(LayerFiles("em", {ONE: volume}, box=box, file_side=1))


@pytest.fixture(params=[True, False], ids=["edge", "no edge"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    machine = machine_with(tmp_path, stored(OLD), ("ann",))
    (record,) = machine.catalogue.all()
    has_edge: bool = request.param
    app: Any = create_app(machine, "http://127.0.0.1", edge=EdgeDoor.fixed((SECRET,)) if has_edge else None)
    with served(PlainEdge(app, machine) if has_edge else app) as address:
        import httpx2

        made = httpx2.post(
            f"{address}/api/zarrPrivateLinks", headers={"X-Auth-Token": "ann-token"}, json={"dataset": record.id}
        ).json()
        yield Site(machine, tmp_path / "data/mouse", f"{address}/zarr/{made['accessToken']}", has_edge)


def by_zarr(site: Site, version: str) -> Read:
    array: Any = zarr.open_group(f"{site.page}/{version}/em.zarr", mode="r")["0"]
    return lambda part: np.asarray(array[part])


def by_tensorstore(site: Site, version: str) -> Read:
    # It would go on asking a failing server for minutes.
    context = {"http_request_retries": {"max_retries": 1}}
    driver = {"v2": "zarr", "v3": "zarr3"}[version]
    spec = {"driver": driver, "kvstore": f"{site.page}/{version}/em.zarr/0/", "context": context}
    array = ts.open(spec, read=True, open=True).result()
    return lambda part: array[part].read().result()


READERS = pytest.mark.parametrize("reader", [by_zarr, by_tensorstore])
VERSIONS = pytest.mark.parametrize("version", ["v2", "v3"])


@READERS
@VERSIONS
def test_with_an_equal_geometry_a_reader_goes_on(site: Site, reader: Any, version: str) -> None:
    read = reader(site, version)
    np.testing.assert_array_equal(read(HALVES[0]), OLD[HALVES[0]])
    site.replace(stored(NEW))
    np.testing.assert_array_equal(read(HALVES[1]), NEW[HALVES[1]])
    fresh = reader(site, version)
    np.testing.assert_array_equal(fresh(slice(None)), NEW)


@READERS
@VERSIONS
@pytest.mark.parametrize("box", [((8, 0, 0), (SIDE - 8, SIDE, SIDE)), ((0, 0, 0), (SIDE, SIDE, SIDE // 2))])
def test_with_another_geometry_it_raises(
    site: Site, reader: Any, version: str, box: tuple[tuple[int, int, int], tuple[int, int, int]]
) -> None:
    """The box is shifted, or what is beyond its end would look like fill value."""
    read = reader(site, version)
    np.testing.assert_array_equal(read(HALVES[0]), OLD[HALVES[0]])
    site.replace(stored(NEW, BoundingBox(*box)))
    for part in HALVES:
        with pytest.raises(Exception, match="410"):
            read(part)
    with pytest.raises(Exception, match="410"):
        reader(site, version)
    site.replace(stored(OLD))
    np.testing.assert_array_equal(read(HALVES[1]), OLD[HALVES[1]])
