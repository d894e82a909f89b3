"""The adapters of `ByteSource`."""

from __future__ import annotations

import errno
import math
import os
import socket
import threading
from pathlib import Path
from typing import NoReturn

import pytest

from contracts.byte_source import DATA, ByteSourceContract, blob, etag, read, stat
from zarrlink.byte_range import ByteRange
from zarrlink.errors import RangeNotSatisfiable, SourceChanged, SourceUnavailable
from zarrlink.storage import files
from zarrlink.storage.files import LocalFiles
from zarrlink.storage.interface import ByteSource
from zarrlink.storage.memory import MemorySource


class TestMemorySource(ByteSourceContract):
    @pytest.fixture
    def source(self) -> ByteSource:
        return MemorySource()

    def put(self, source: ByteSource, key: str, data: bytes) -> None:
        assert isinstance(source, MemorySource)
        source.objects[key] = data

    def remove(self, source: ByteSource, key: str) -> None:
        assert isinstance(source, MemorySource)
        del source.objects[key]

    def test_absence_is_trusted_without_end_as_of_an_object_store(self, source: ByteSource) -> None:
        assert source.absence_trust_s == math.inf


class TestLocalFiles(ByteSourceContract):
    @pytest.fixture
    def source(self, tmp_path: Path) -> ByteSource:
        (tmp_path / "data").mkdir()
        return LocalFiles(tmp_path / "data")

    def put(self, source: ByteSource, key: str, data: bytes) -> None:
        path = Path(source.name) / key
        path.parent.mkdir(parents=True, exist_ok=True)
        # As every careful writer does: a new file in the place of the old one.
        draft = path.with_name(path.name + ".draft")
        draft.write_bytes(data)
        draft.rename(path)

    def remove(self, source: ByteSource, key: str) -> None:
        (Path(source.name) / key).unlink()


class TestLocalFilesReadByAThread(TestLocalFiles):
    """Where the page cache cannot be asked (another platform, another file system)."""

    @pytest.fixture(autouse=True)
    def no_page_cache(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(files, "_NOWAIT", None)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder whose neighbours are not to be read."""
    (tmp_path / "secret.txt").write_bytes(b"secret")
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def assert_refused(root: Path, key: str) -> None:
    """Neither absent nor read: whether there are data could not be told."""
    source = LocalFiles(root)
    for ask in (read, stat):
        with pytest.raises(SourceUnavailable) as refused:
            ask(source, key)
        assert str(root) not in str(refused.value)


def test_absence_of_a_file_is_never_trusted_without_looking(root: Path) -> None:
    assert LocalFiles(root).absence_trust_s == 0


def test_the_name_of_a_folder_does_not_depend_on_how_it_is_reached(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root.parent)
    (root.parent / "link").symlink_to(root)
    assert LocalFiles(Path("data")).name == LocalFiles(root).name == LocalFiles(Path("link")).name


@pytest.mark.parametrize("key", ["../secret.txt", "a/../../secret.txt", "..", "a/..", "/etc/hostname", "//etc", "a\0b"])
def test_a_key_that_leaves_the_folder_is_refused(root: Path, key: str) -> None:
    assert_refused(root, key)


def test_a_key_that_no_file_system_can_name_is_refused(root: Path) -> None:
    assert_refused(root, "x" * 5000)


def test_a_key_that_is_no_unicode_is_refused(root: Path) -> None:
    assert_refused(root, "em/\ud800")


def test_a_fifo_is_refused_and_does_not_hang(root: Path) -> None:
    os.mkfifo(root / "pipe")
    refusals: list[SourceUnavailable] = []

    def ask() -> None:
        for question in (read, stat):
            try:
                question(LocalFiles(root), "pipe")
            except SourceUnavailable as error:
                refusals.append(error)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(30)
    if asking.is_alive():
        # A writer lets the reader go, so that the failure is a failure and no hanging test run.
        os.close(os.open(root / "pipe", os.O_WRONLY | os.O_NONBLOCK))
        asking.join()
        pytest.fail("reading a FIFO waits for a writer")
    assert len(refusals) == 2


def test_a_folder_where_a_file_should_be_is_refused(root: Path) -> None:
    (root / "em").mkdir()
    assert_refused(root, "em")


def test_the_folder_itself_is_refused(root: Path) -> None:
    assert_refused(root, "")


def test_a_socket_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("s")
        assert_refused(root, "s")


def test_a_symlink_that_leads_to_itself_is_refused(root: Path) -> None:
    (root / "loop").symlink_to(root / "loop")
    assert_refused(root, "loop")


def test_a_file_where_a_folder_should_be_is_refused(root: Path) -> None:
    (root / "em").write_bytes(b"no folder")
    assert_refused(root, "em/1")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_denied_read_is_not_absence(root: Path) -> None:
    (root / "em").write_bytes(DATA)
    (root / "em").chmod(0)
    with pytest.raises(SourceUnavailable):
        read(LocalFiles(root), "em")


@pytest.mark.parametrize(
    "number", [errno.EACCES, errno.EIO, errno.EMFILE, errno.ESTALE, errno.ETIMEDOUT], ids=os.strerror
)
@pytest.mark.parametrize("where", ["open", "read"])
def test_a_failed_read_is_not_absence(root: Path, monkeypatch: pytest.MonkeyPatch, number: int, where: str) -> None:
    (root / "x").write_bytes(DATA)

    def fail(*_: object, **__: object) -> NoReturn:
        raise OSError(number, os.strerror(number))

    if where == "open":
        monkeypatch.setattr(os, "open", fail)
    else:
        monkeypatch.setattr(files, "_read_cached", fail)
    with pytest.raises(SourceUnavailable) as refused:
        read(LocalFiles(root), "x")
    assert refused.value.reason == os.strerror(number)
    assert os.strerror(number) not in str(refused.value)


def test_a_symlink_is_followed(root: Path) -> None:
    (root / "real").write_bytes(DATA)
    (root / "alias").symlink_to("real")
    assert bytes(blob(LocalFiles(root), "alias").data) == DATA


def test_a_replaced_file_of_the_same_length_and_time_is_another_object(root: Path) -> None:
    path, source = root / "x", LocalFiles(root)
    path.write_bytes(DATA)
    before = etag(source, "x")
    moment = path.stat().st_mtime_ns
    (root / "y").write_bytes(DATA[::-1])
    os.utime(root / "y", ns=(moment, moment))
    (root / "y").rename(path)
    assert path.stat().st_mtime_ns == moment
    with pytest.raises(SourceChanged):
        read(source, "x", ByteRange(0, 10), if_match=before)


def test_a_file_changed_in_place_is_another_object(root: Path) -> None:
    path, source = root / "x", LocalFiles(root)
    path.write_bytes(DATA)
    before = etag(source, "x")
    with path.open("r+b") as out:
        out.write(b"other")
    # As if it had happened a second later: the clock of a file system ticks only every few milliseconds.
    later = path.stat().st_mtime_ns + 10**9
    os.utime(path, ns=(later, later))
    with pytest.raises(SourceChanged):
        read(source, "x", if_match=before)


def test_a_file_changed_in_place_whose_time_was_set_back_is_another_object(root: Path) -> None:
    path, source = root / "x", LocalFiles(root)
    path.write_bytes(DATA)
    before, status = etag(source, "x"), path.stat()
    with path.open("r+b") as out:
        out.write(b"other")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    while path.stat().st_ctime_ns == status.st_ctime_ns:  # until the clock of the file system has ticked
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_mtime_ns == status.st_mtime_ns
    with pytest.raises(SourceChanged):
        read(source, "x", if_match=before)


@pytest.mark.parametrize("cached", [True, False], ids=["page-cache", "thread"])
def test_a_file_that_is_written_while_it_is_read_is_no_mixture(
    root: Path, monkeypatch: pytest.MonkeyPatch, *, cached: bool
) -> None:
    path, name = root / "x", "_read_cached" if cached else "_read_waiting"
    path.write_bytes(DATA)
    reads = getattr(files, name)

    def read_during_a_write(descriptor: int, start: int, length: int) -> bytes:
        data = reads(descriptor, start, length)
        with path.open("r+b") as out:
            out.write(b"other")
        later = path.stat().st_mtime_ns + 10**9
        os.utime(path, ns=(later, later))
        return bytes(data)

    if not cached:
        monkeypatch.setattr(files, "_NOWAIT", None)
    monkeypatch.setattr(files, name, read_during_a_write)
    with pytest.raises(SourceChanged):
        read(LocalFiles(root), "x")


def test_a_file_that_shrinks_while_it_is_read_is_no_short_answer(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, reads = root / "x", files._read_waiting
    path.write_bytes(DATA)
    moment = path.stat().st_mtime_ns

    def read_after_a_cut(descriptor: int, start: int, length: int) -> bytes:
        os.truncate(path, 10)
        os.utime(path, ns=(moment, moment))
        return reads(descriptor, start, length)

    monkeypatch.setattr(files, "_NOWAIT", None)
    monkeypatch.setattr(files, "_read_waiting", read_after_a_cut)
    with pytest.raises(SourceChanged):
        read(LocalFiles(root), "x")


def test_no_descriptor_is_left_open(root: Path) -> None:
    source, descriptors = LocalFiles(root), Path("/proc/self/fd")
    if not descriptors.exists():
        pytest.skip("descriptors cannot be counted here")
    (root / "em").mkdir()
    (root / "x").write_bytes(DATA)
    before = len(list(descriptors.iterdir()))
    for _ in range(20):
        read(source, "x")
        with pytest.raises(SourceUnavailable):
            read(source, "em")
        with pytest.raises(SourceChanged):
            read(source, "x", if_match="other")
        with pytest.raises(RangeNotSatisfiable):
            read(source, "x", ByteRange(100, 101))
    assert len(list(descriptors.iterdir())) == before
