"""What stands in the way of looking at everything keeps no revoked link open."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from builders.local_jobs import until
from contracts.link_store import link
from zarrlink.edge.files import FileStore
from zarrlink.edge.sync import EdgeSync
from zarrlink.errors import SourceUnavailable
from zarrlink_local.cdn.pushes import Pushes
from zarrlink_local.machine import Machine, open_machine

ONE = link(1, expires_ms=None)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    opened = open_machine(tmp_path / "state.sqlite")
    opened.links.add(ONE)
    yield opened
    opened.file.close()


def test_a_link_is_revoked_although_nothing_else_can_be_mended(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = FileStore(tmp_path / "entries")
    with Pushes(machine, tmp_path / "entries", every_s=0.01, mend_s=0.01):
        tried = []

        def fail(_sync: EdgeSync) -> None:
            tried.append(1)
            raise SourceUnavailable("the disk")

        monkeypatch.setattr(EdgeSync, "reconcile", fail)
        until(lambda: len(tried) > 2)
        machine.links.revoke(ONE.id, None, 7)
        until(lambda: store.entries().get(f"l:{ONE.id}") == "-")
    assert len(caplog.records) == 1


def test_entries_that_were_lost_come_back(machine: Machine, tmp_path: Path) -> None:
    entries = tmp_path / "entries"
    with Pushes(machine, entries, every_s=0.01, mend_s=0.01):
        before = FileStore(entries).entries()
        for entry in entries.glob("[kl]_*"):
            entry.unlink()
        until(lambda: FileStore(entries).entries() == before)


def test_what_is_no_file_is_passed_over_and_a_folder_that_is_gone_is_made(machine: Machine, tmp_path: Path) -> None:
    entries = tmp_path / "entries"
    with Pushes(machine, entries, every_s=0.01, mend_s=0.01):
        (entries / "l_abcdefghijklmnop").mkdir()
        machine.links.revoke(ONE.id, None, 7)
        until(lambda: FileStore(entries).entries().get(f"l:{ONE.id}") == "-")
        entries.rename(tmp_path / "away")
        until(lambda: FileStore(entries).entries().get(f"l:{ONE.id}") == "-")
