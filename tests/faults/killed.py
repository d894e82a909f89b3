"""A server that is killed again and again while people use it, and what must be there afterwards."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

import numpy as np

from builders.annotation_zips import Volume, annotation_zip, voxels, wkw_data, zip_of
from builders.local_jobs import PATIENCE_S, children
from builders.tiff_readers import by_tifffile
from builders.wkw_files import LayerFiles, dataset, noise, write_tree
from zarrlink.geometry import Mag
from zarrlink.library import Subject
from zarrlink.served_voxels import read_voxels
from zarrlink.users.interface import User, hash_user_token
from zarrlink_local.machine import Machine, open_machine
from zarrlink_local.scan import register_below

ONE: Final = Mag(1, 1, 1)
TOKEN: Final = "ann-token-of-this-test"
SIDE: Final = 32
LINKS, REVOKED, READ, IMPORTED, EXPORTED, FAILED = "links", "revoked", "read", "imported", "exported", "not answered"
_WORK: Final = (LINKS, READ, IMPORTED, EXPORTED)
_TROUBLE: Final = (OSError, http.client.HTTPException, ValueError)


@dataclass
class Site:
    """A state file with a dataset, and a server that comes again after each end. `told`: what was answered with success.
    `patience_s`: how long what is under way may go on after the last life has begun. `plant`: Python that the server runs before
    all else, to see that what it breaks is found."""

    home: Path
    random: Random
    patience_s: float = PATIENCE_S
    plant: str = ""
    told: dict[str, list[Any]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    lives: int = 0
    process: subprocess.Popen[str] | None = None

    def __post_init__(self) -> None:
        # Held from the first life to the last: while no server listens there, nobody else on this machine is given the port.
        self.place = socket.socket()
        self.place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.place.bind(("127.0.0.1", 0))
        self.port = int(self.place.getsockname()[1])
        self.temporary = self.home / "temporary"
        self.temporary.mkdir()
        self.em = noise((96, 80, 40)) & 7
        self.machine = open_machine(self.home / "state.sqlite")
        self.machine.users.add(User("ann", 1), hash_user_token(TOKEN))
        write_tree(dataset(LayerFiles("em", {ONE: self.em})), self.home / "data/mouse")
        (self.record,) = register_below(self.home / "data", self.machine.catalogue, 1, _no_warning)
        self.painted = {number: voxels(number) for number in range(1, 4)}
        self.lock = threading.Lock()

    def start(self) -> None:
        command = [
            sys.executable, "-c", f"{self.plant}\nfrom zarrlink_local.cli import main; main()", "serve", "--port", str(self.port),
            "--workers", "1", "--data", str(self.home / "data"), "--state", str(self.home / "state.sqlite"),
        ]  # fmt: skip
        with (self.home / "server.log").open("a") as log:
            self.process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, "TMPDIR": str(self.temporary)},
            )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("serving on "):
                self.lives += 1
                return
        raise AssertionError(f"the server did not come again: {(self.home / 'server.log').read_text()[-2000:]}")

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def end(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.place.close()
        # Its workers, and what Python has beside them, notice by themselves that it has gone.
        self.patience_s = PATIENCE_S
        _wait(self, lambda: not self.processes(), lambda: f"processes that outlive all servers: {self.processes()}")

    def processes(self) -> set[int]:
        """Of this site, whoever started them: those that were given its folder for what is temporary."""
        found = set()
        for place in Path("/proc").glob("[0-9]*"):
            try:
                given = (place / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if f"TMPDIR={self.temporary}".encode() in given:
                found.add(int(place.name))
        return found

    def ask(self, method: str, path: str, body: bytes | None = None, kind: str = "application/json") -> Any:
        """What is answered with success. Raises one of _TROUBLE."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data=body, method=method)
        request.add_header("X-Auth-Token", TOKEN)
        request.add_header("Content-Type", kind)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read()

    def note(self, what: str, value: Any) -> None:
        with self.lock:
            self.told.setdefault(what, []).append(value)
            self.counts[what] += 1

    # --- what people do ---

    def make_links(self) -> None:
        made = json.loads(self.ask("POST", "/api/zarrPrivateLinks", json.dumps({"dataset": self.record.id}).encode()))
        if self.random.random() < 0.3:
            self.revoke(made["id"], made["accessToken"])
        else:
            self.note(LINKS, (made["id"], made["accessToken"]))

    def revoke(self, link_id: str, token: str) -> None:
        """A link that has just been read, so that a server which remembers links knows it; and at once it opens nothing."""
        read = f"/zarr/{token}/v2/em.zarr/.zattrs"
        self.ask("GET", read)
        # Whether it is revoked is not known until the answer is here.
        self.ask("DELETE", f"/api/zarrPrivateLinks/{link_id}")
        self.note(REVOKED, (link_id, token))
        status = _status(self, read)
        if status not in (410, 429, 503):
            self.wrong.append(f"{status} for a link that was revoked")

    def read(self) -> None:
        token = self.random.choice(self.told[LINKS])[1]
        z, y, x = (self.random.randrange(-(-length // 8)) for length in self.em.shape)
        data = self.ask("GET", f"/zarr/{token}/v2/em.zarr/0/{z}/{y}/{x}")
        import numcodecs

        found = np.frombuffer(numcodecs.Blosc().decode(data), "u1").reshape(8, 8, 8)
        box = tuple(slice(8 * at, 8 * at + 8) for at in (z, y, x))
        if not np.array_equal(found, np.pad(self.em, 8)[8:, 8:, 8:][box]):
            self.wrong.append(f"chunk {z, y, x}")
        self.note(READ, None)

    def import_annotation(self) -> None:
        number = self.random.choice(list(self.painted))
        painted = wkw_data({"1": {(number % 2, 0, 0): self.painted[number]}})
        name = f"cells-{number}"
        upload = annotation_zip(Volume(name=name, data=zip_of(painted)))
        boundary = "frontier-of-this-test"
        body = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="datasetId"\r\n\r\n{self.record.id}\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="{name}.zip"\r\n'
            "Content-Type: application/zip\r\n\r\n"
        ).encode() + upload + f"\r\n--{boundary}--\r\n".encode()  # fmt: skip
        made = json.loads(
            self.ask("POST", "/api/annotations/upload", body, f"multipart/form-data; boundary={boundary}")
        )
        self.note(IMPORTED, made["annotation"]["id"])

    def export(self) -> None:
        query = "?layerName=em&asOmeTiff=true&bbox=0,0,0,96,80,40&mag=1-1-1"
        made = json.loads(self.ask("POST", f"/api/jobs/run/exportTiff/{self.record.id}{query}", b""))
        self.note(EXPORTED, made["id"])


def use(site: Site, seconds: float) -> None:
    """People at work for so long, or until each has had an answer, and the server killed at random. Raises AssertionError where it does not come again."""
    over = threading.Event()

    def again_and_again(act: Callable[[], None], pause_s: float) -> None:
        while not over.is_set():
            try:
                act()
            except _TROUBLE as error:
                site.counts[FAILED] += 1
                if isinstance(error, urllib.error.HTTPError) and error.code not in (429, 503):
                    site.wrong.append(f"{act.__name__}: {error.code} {error.read()[:200]!r}")
                over.wait(0.05)
            over.wait(pause_s)

    site.start()
    while LINKS not in site.told:
        site.make_links()
    acts = [
        (site.make_links, 0.01),
        (site.read, 0.0),
        (site.read, 0.0),
        (site.import_annotation, 0.2),
        (site.export, 0.5),
    ]
    people = [threading.Thread(target=again_and_again, args=act) for act in acts]
    for person in people:
        person.start()
    end, slowness = time.monotonic() + seconds, 1.0
    try:
        while time.monotonic() < end or (
            not all(site.counts[what] for what in _WORK) and time.monotonic() < end + PATIENCE_S
        ):
            # On a machine that is slow to start a server, or to answer anything at all, lives have to be longer.
            if time.monotonic() > end:
                slowness *= 1.3
            over.wait(site.random.uniform(0.3, 2.5) * slowness)
            site.kill()
            begun = time.monotonic()
            site.start()
            slowness = max(slowness, time.monotonic() - begun)
    finally:
        over.set()
        for person in people:
            person.join()


def check(site: Site) -> None:
    """Everything that was answered with success is there, whole, and nothing else is offered; nothing of what was killed is
    left, on the disk or running. Raises AssertionError."""
    assert site.wrong == []
    machine = site.machine
    for link_id, token in site.told.get(REVOKED, []):
        link = machine.links.get(link_id)
        assert link is not None
        assert link.revoked_ms is not None
        assert _status(site, f"/zarr/{token}/v2/em.zarr/.zattrs") == 410
    for link_id, _ in site.told[LINKS]:
        link = machine.links.get(link_id)
        assert link is not None
        assert link.revoked_ms is None
    _check_annotations(site, machine)
    _check_exports(site, machine)
    _check_left_overs(site, machine)


def _check_annotations(site: Site, machine: Machine) -> None:
    import asyncio

    known = {record.id: record for record in machine.shelf.annotations.all()}
    assert set(site.told.get(IMPORTED, [])) <= set(known)
    for record in known.values():
        # Whatever is offered is whole, told of or not.
        number = int(record.name.rpartition("cells-")[2]) if "cells-" in record.name else 0
        subject = Subject(machine.catalogue.get(record.dataset), record)
        (name,) = [name for name in asyncio.run(machine.library.layer_names(subject)) if name.startswith("cells")]
        number = number or int(name.rpartition("-")[2])
        opened = asyncio.run(machine.library.layer(subject.view((name,)), name))
        start, end = opened.layer.levels[0].box_start, opened.layer.levels[0].box_end
        found = asyncio.run(read_voxels(opened, 0, start, end))[0]
        block = np.frombuffer(site.painted[number], "u4").reshape(SIDE, SIDE, SIDE)
        low = (number % 2) * SIDE
        part = found[: min(SIDE, end[2]), : min(SIDE, end[1]), low : min(low + SIDE, end[0])]
        np.testing.assert_array_equal(part, block[: part.shape[0], : part.shape[1], : part.shape[2]])


def _check_exports(site: Site, machine: Machine) -> None:
    def running() -> list[Any]:
        return [(job.id, job.state, job.units_done, job.units) for job in machine.jobs.running("ann")]

    _wait(site, lambda: not running(), lambda: f"exports that do not end: {running()}")
    jobs = machine.jobs.of_owner("ann")
    assert set(site.told.get(EXPORTED, [])) <= {job.id for job in jobs}
    store = machine.results()
    kept = set()
    for job in jobs:
        assert job.state == "SUCCESS", (job.id, job.state, job.sentence)
        np.testing.assert_array_equal(by_tifffile(store.path(job), (1, 40))[0][0], site.em)
        kept |= {job.id, f"{job.id}/{job.attempt}", f"{job.id}/{job.attempt}/{job.file_name}"}
    # A job has succeeded a moment before its scratch goes; nothing else may be there: no upload without its job.
    _wait(
        site, lambda: _left(store.folder) == kept, lambda: f"beside the results: {sorted(_left(store.folder) ^ kept)}"
    )


def _check_left_overs(site: Site, machine: Machine) -> None:
    assert site.process is not None
    ours = {site.process.pid, *children(site.process.pid)}
    _wait(
        site,
        lambda: site.processes() <= ours,
        lambda: f"processes of servers that were killed: {site.processes() - ours}",
    )
    # Imports that were killed are told from those that are being made by their locks and their age. A day later:
    folders = site.home / "state.sqlite.annotations"
    for path in [*folders.glob("*"), *folders.glob("*/*")]:
        os.utime(path, (1, 1))
    machine.sweep()
    known = {record.id: record.revision for record in machine.shelf.annotations.all()}
    assert {(path.parent.name, path.name) for path in folders.glob("*/*")} == set(known.items())
    assert sorted(site.temporary.rglob("*")) == []


def _wait(site: Site, until_this: Callable[[], bool], otherwise: Callable[[], str]) -> None:
    """Raises AssertionError with what there is instead."""
    limit = time.monotonic() + site.patience_s
    while not until_this():
        if time.monotonic() > limit:
            raise AssertionError(otherwise())
        threading.Event().wait(0.02)


def _left(folder: Path) -> set[str]:
    paths = [Path(place, name) for place, folders, files in os.walk(folder) for name in (*folders, *files)]
    return {path.relative_to(folder).as_posix() for path in paths if path.name != ".lock"}


def _status(site: Site, path: str) -> int:
    try:
        site.ask("GET", path)
    except urllib.error.HTTPError as error:
        return error.code
    return 200


def _no_warning(text: str) -> None:
    raise AssertionError(text)
