"""A link that leads nowhere looks like a file that was never written, and is none."""

import asyncio
import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from contracts.byte_source import read, stat
from zarrlink.byte_range import ByteRange
from zarrlink.errors import SourceChanged, SourceUnavailable
from zarrlink.storage import reach
from zarrlink.storage.files import LocalFiles
from zarrlink.storage.reach import Reach

KEY = "a/1/c"


@pytest.mark.parametrize("link", ["a/1/z0/y0/x0.wkw", "a/1/z0/y0", "a/1/z0", "a/1", "a"])
def test_a_link_whose_target_is_gone_is_not_absence(tmp_path: Path, link: str) -> None:
    place = tmp_path / link
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(tmp_path / "unmounted" / "disk")
    source = LocalFiles(tmp_path)
    with pytest.raises(SourceUnavailable):
        asyncio.run(source.read("a/1/z0/y0/x0.wkw", ByteRange(0, 16)))
    with pytest.raises(SourceUnavailable):
        asyncio.run(source.stat("a/1/z0/y0/x0.wkw"))


def test_a_dataset_folder_that_is_gone_is_not_absence(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable):
        asyncio.run(LocalFiles(tmp_path / "gone").read("a/1/z0/y0/x0.wkw"))


@pytest.mark.parametrize("folder", [".", "a", "a/1", "a/1/z0/y0"])
def test_a_missing_file_below_real_folders_is_absence(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    assert asyncio.run(LocalFiles(tmp_path).read("a/1/z0/y0/x0.wkw")) is None


def test_links_that_lead_to_a_named_folder_are_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x0.wkw").write_bytes(b"data")
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "y0").symlink_to(tmp_path / "elsewhere")
    source = LocalFiles(tmp_path / "dataset", Reach([tmp_path / "elsewhere"]))
    blob = asyncio.run(source.read("y0/x0.wkw"))
    assert blob is not None
    assert blob.data == b"data"
    assert asyncio.run(source.read("y0/x1.wkw")) is None


# --- what is missed, and is back while it is asked why ---


@pytest.fixture(params=["unopened", "opened"])
def looked_at(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a folder can be held without opening it (not on macOS)."""
    if request.param == "opened":
        monkeypatch.setattr(reach, "_PATH_ONLY", None)


@pytest.fixture(params=["a/1/c", "a/1", "a"])
def disk(request: pytest.FixtureRequest, tmp_path: Path, looked_at: None) -> Path:
    """Where what a link leads to lies, as long as it is mounted."""
    disk, place = tmp_path / "disk", tmp_path / request.param
    (tmp_path / KEY).parent.mkdir(parents=True)
    (tmp_path / KEY).write_bytes(b"data")
    disk.mkdir()
    place.rename(disk / "x")
    place.symlink_to(disk / "x")
    return disk


def at_each_call(monkeypatch: pytest.MonkeyPatch, name: str, then: Callable[[int], None]) -> None:
    """`then` is told how many calls of os's function `name` came back, or failed, until now."""
    ask, calls = getattr(os, name), 0

    def asked(*args: Any, **options: Any) -> Any:
        nonlocal calls
        try:
            return ask(*args, **options)
        finally:
            calls += 1
            then(calls)

    monkeypatch.setattr(os, name, asked)


@pytest.mark.parametrize("question", [read, stat])
@pytest.mark.parametrize("function", ["open", "stat", "lstat"])
@pytest.mark.parametrize("back_after", [1, 2, 3])
def test_what_a_link_leads_to_is_never_absent_whenever_it_comes_back(
    tmp_path: Path,
    disk: Path,
    monkeypatch: pytest.MonkeyPatch,
    question: Callable[[LocalFiles, str], Any],
    function: str,
    back_after: int,
) -> None:
    source, away = LocalFiles(tmp_path), tmp_path / "away"
    assert question(source, KEY) is not None
    disk.rename(away)

    def come_back(calls: int) -> None:
        if calls == back_after and away.exists():
            away.rename(disk)

    with monkeypatch.context() as hooked:
        at_each_call(hooked, function, come_back)
        with suppress(SourceChanged, SourceUnavailable):
            assert question(source, KEY) is not None
    if away.exists():
        away.rename(disk)
    assert question(source, KEY) is not None


@pytest.mark.parametrize("question", [read, stat])
def test_a_file_that_is_back_before_it_is_asked_why_it_was_missing_has_changed(
    tmp_path: Path, disk: Path, monkeypatch: pytest.MonkeyPatch, question: Callable[[LocalFiles, str], Any]
) -> None:
    source, away = LocalFiles(tmp_path), tmp_path / "away"
    disk.rename(away)
    confirm = LocalFiles._confirm_absence

    def confirm_late(source: LocalFiles, path: str, key: str) -> None:
        away.rename(disk)
        confirm(source, path, key)

    monkeypatch.setattr(LocalFiles, "_confirm_absence", confirm_late)
    with pytest.raises(SourceChanged):
        question(source, KEY)


@pytest.mark.parametrize("key", ["b", "a/b", "a/1/b", "a/1/b/c/d", "b/c/d"])
def test_what_was_never_written_is_absent_beside_links_too(tmp_path: Path, disk: Path, key: str) -> None:
    for question in (read, stat):
        assert question(LocalFiles(tmp_path), key) is None
        assert question(LocalFiles(Path("/")), f"{tmp_path}/{key}".lstrip("/")) is None


def test_a_folder_that_may_not_be_looked_into_is_not_absence(
    tmp_path: Path, looked_at: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = os.stat

    def denied(path: Any, *, dir_fd: int | None = None, **options: Any) -> os.stat_result:
        if dir_fd is not None:
            raise PermissionError(errno.EACCES, "denied")
        return ask(path, **options)

    monkeypatch.setattr(os, "stat", denied)
    for question in (read, stat):
        with pytest.raises(SourceUnavailable):
            question(LocalFiles(tmp_path), KEY)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="descriptors cannot be counted here")
def test_no_descriptor_of_a_folder_is_left_open(tmp_path: Path, disk: Path) -> None:
    source, descriptors = LocalFiles(tmp_path), Path("/proc/self/fd")
    before = len(list(descriptors.iterdir()))
    for question in (read, stat) * 5:
        assert question(source, "a/1/b/c") is None
    disk.rename(tmp_path / "away")
    for question in (read, stat) * 5:
        with pytest.raises(SourceUnavailable):
            question(source, KEY)
    assert len(list(descriptors.iterdir())) == before
