"""A server killed at random under load: a short share of what `make faults` does for a minute."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from random import Random

import pytest

from faults.killed import EXPORTED, IMPORTED, LINKS, READ, REVOKED, Site, check, use


@contextmanager
def killed_for(seconds: float, folder: Path, seed: int) -> Iterator[Site]:
    site = Site(folder, Random(seed))
    try:
        use(site, seconds)
        assert site.lives > 1
        assert min(site.counts[what] for what in (LINKS, READ, IMPORTED, EXPORTED)) > 0
        check(site)
        yield site
    finally:
        site.end()


def test_nothing_that_was_answered_is_lost_by_a_server_that_is_killed(tmp_path: Path) -> None:
    with killed_for(3, tmp_path, 1):
        pass


# --- what the check must find ---


@contextmanager
def told(site: Site, what: str, value: object) -> Iterator[None]:
    """Something was answered with success, and is not there."""
    site.told.setdefault(what, []).append(value)
    yield
    site.told[what].pop()


@contextmanager
def lost_revocation(site: Site) -> Iterator[None]:
    with told(site, REVOKED, site.told[LINKS][0]):
        yield


@contextmanager
def folder(path: Path) -> Iterator[None]:
    path.mkdir()
    yield
    path.rmdir()


@contextmanager
def orphan(site: Site) -> Iterator[None]:
    with subprocess.Popen(["sleep", "600"], env={**os.environ, "TMPDIR": str(site.temporary)}) as process:
        yield
        process.kill()


def result(site: Site) -> Path:
    return site.machine.results().path(site.machine.jobs.of_owner("ann")[0])


@contextmanager
def exchanged_pixels(site: Site) -> Iterator[None]:
    """Another export than the one that was asked for."""
    site.em[3, 3, 3] ^= 1
    yield
    site.em[3, 3, 3] ^= 1


# Each process remembers what it has looked up.
LINKS_FOR_EVER = """
from zarrlink.http.routes import DataPath
look_up, known = DataPath._open, {}
def remember(self, token, *, is_checked):
    if token not in known:
        known[token] = look_up(self, token, is_checked=is_checked)
    return known[token]
DataPath._open = remember
"""


PLANTS: dict[str, Callable[[Site], AbstractContextManager[None]]] = {
    "a link that is not there": lambda site: told(site, LINKS, ("0" * 16, "")),
    "an annotation that is not there": lambda site: told(site, IMPORTED, "0" * 24),
    "an export that is not there": lambda site: told(site, EXPORTED, "0" * 24),
    "a revocation that is not there": lost_revocation,
    "an export of other voxels": exchanged_pixels,
    "an upload that nobody ends": lambda site: folder(result(site).with_name(f".{result(site).name}.0123.partial")),
    "scratch of a job": lambda site: folder(result(site).with_name(".scratch")),
    "something temporary": lambda site: folder(site.temporary / "zarrlink-import-x"),
    "a worker that outlives its server": orphan,
}


def test_what_is_lost_or_left_is_found(tmp_path: Path) -> None:
    with killed_for(0, tmp_path, 2) as site:
        site.patience_s = 0.3
        for plant in PLANTS.values():
            with plant(site), pytest.raises(AssertionError):
                check(site)
        check(site)


def test_a_link_that_is_read_once_it_is_revoked_is_found(tmp_path: Path) -> None:
    site = Site(tmp_path, Random(3), plant=LINKS_FOR_EVER)
    site.start()
    try:
        while REVOKED not in site.told:
            site.make_links()
    finally:
        site.end()
    assert site.wrong == ["200 for a link that was revoked"]
