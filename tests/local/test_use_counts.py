"""How often links were opened: counted by the server, in the state file within seconds and when it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import pytest
import zarr
from starlette.testclient import TestClient

from builders.local_jobs import until
from builders.loopback import served
from builders.processes import take_signals
from builders.wkw_files import LayerFiles, dataset, ramp, write_tree
from zarrlink.geometry import Mag
from zarrlink.library import Subject
from zarrlink.links.memory import MemoryLinks
from zarrlink.links.model import Link, Uses
from zarrlink.links.service import LinkRequest, create_link
from zarrlink_local.machine import Machine, open_machine
from zarrlink_local.scan import register_below
from zarrlink_local.server import create_app
from zarrlink_local.use_counter import UseCounter


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = open_machine(tmp_path / "state.sqlite")
    write_tree(dataset(LayerFiles("em", {Mag(1, 1, 1): ramp((40, 40, 40))})), tmp_path / "mouse")
    register_below(tmp_path / "mouse", machine.catalogue, 1, pytest.fail)
    return machine


@pytest.fixture
def link(machine: Machine) -> Link:
    (record,) = machine.catalogue.all()
    wish = create_link(machine.library, machine.links, Subject(record), "ann", LinkRequest(expires_ms=None), 1)
    return asyncio.run(wish).link


OPENINGS = {
    "v3/em.zarr/zarr.json": 1,
    "v3/em.zarr/0/zarr.json": 1,
    "v2/em.zarr/.zattrs": 1,
    "v2/em.zarr/0/.zarray": 1,
    # What is read on and on, what is not there, and what is no layer.
    "v3/em.zarr/0/c/0/0/0": 0,
    "v2/em.zarr/0/0/0/0": 0,
    "v2/em.zarr/0/1/1/1": 0,
    "v2/em.zarr/zarr.json": 0,
    "v3/other.zarr/zarr.json": 0,
    "v3/em.zarr/": 0,
    "": 0,
}


@pytest.mark.parametrize("path", OPENINGS)
def test_what_counts_as_an_opening(machine: Machine, link: Link, path: str) -> None:
    opened: list[str] = []
    client = TestClient(create_app(machine, "http://x", opened=opened.append))
    address = f"/zarr/{machine.keys.token(link.id)}/{path}"
    client.get(address)
    assert opened == [link.id] * OPENINGS[path]
    client.head(address)
    client.options(address)
    assert opened == [link.id] * OPENINGS[path]
    machine.links.revoke(link.id, None, 2)
    client.get(address)
    assert opened == [link.id] * OPENINGS[path]


def test_a_reader_is_counted_and_the_api_shows_it(machine: Machine, link: Link) -> None:
    with UseCounter(machine.links, lambda: 77) as uses, served(create_app(machine, "", opened=uses.opened)) as address:
        page = f"{address}/zarr/{machine.keys.token(link.id)}/"
        array = zarr.open_group(f"{page}v3/em.zarr", mode="r")["0"]
        seen = until(lambda: uses._uses)[link.id].openings
        assert seen > 0
        array[:]
        assert uses._uses[link.id].openings == seen, "reading on is no opening"
    found = machine.links.get(link.id)
    assert found is not None
    assert (found.uses, found.last_used_ms) == (seen, 77)


def test_counts_come_into_the_store_while_the_server_runs() -> None:
    links = Recorder()
    with UseCounter(links, iter(range(10, 99)).__next__, every_s=0.01) as uses:
        uses.opened("a")
        until(lambda: links.told)
        uses.opened("a")
        uses.opened("b")
    assert added(links.told) == {"a": Uses(2, 11), "b": Uses(1, 12)}
    assert {} not in links.told


def test_what_cannot_be_written_now_is_written_later() -> None:
    links = Recorder()
    links.refuses = True
    with UseCounter(links, lambda: 5, every_s=0.01) as uses:
        uses.opened("a")
        until(lambda: links.refused)
        uses.opened("a")
        links.refuses = False
    assert added(links.told) == {"a": Uses(2, 5)}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_ended_writes_what_it_counted(
    machine: Machine, link: Link, tmp_path: Path, number: signal.Signals
) -> None:
    command = [sys.executable, "-c", "from zarrlink_local.cli import main; main()", "serve", "--port", "0"]
    arguments = ["--data", str(tmp_path / "mouse"), "--state", str(machine.file.path), "--workers", "1"]
    path = os.pathsep.join(entry for entry in sys.path if entry)
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [*command, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=take_signals,  # noqa: PLW1509 (nothing but that)
    ) as server:
        assert server.stdout is not None
        address = next(line.split()[2] for line in server.stdout if line.startswith("serving on "))
        page = f"{address}/zarr/{machine.keys.token(link.id)}/"
        assert urllib.request.urlopen(f"{page}v3/em.zarr/zarr.json").status == 200
        server.send_signal(number)
        server.communicate()
    assert server.returncode == (0 if number == signal.SIGTERM else 130)
    found = machine.links.get(link.id)
    assert found is not None
    assert found.uses == 1


class Recorder(MemoryLinks):
    """A store that writes down what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[Mapping[str, Uses]] = []
        self.refuses = False
        self.refused = 0

    def count(self, uses: Mapping[str, Uses]) -> None:
        if self.refuses:
            self.refused += 1
            raise sqlite3.OperationalError("database or disk is full")
        self.told.append(dict(uses))


def added(told: list[Mapping[str, Uses]]) -> dict[str, Uses]:
    found: dict[str, Uses] = {}
    for uses in told:
        for link_id, (openings, last_ms) in uses.items():
            found[link_id] = Uses(found.get(link_id, Uses(0, 0)).openings + openings, last_ms)
    return found
