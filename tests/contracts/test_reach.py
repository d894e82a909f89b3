"""Where a link in a dataset may lead: to the dataset's own folder and to folders that the operator named, and never to the
server's own files."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from contracts.byte_source import DATA, blob, etag, read, stat
from zarrlink.errors import CorruptFile, SourceUnavailable
from zarrlink.storage import reach
from zarrlink.storage.files import LocalFiles
from zarrlink.storage.reach import Reach

KEY = "em/1/c/0"


@pytest.fixture(params=["kernel", "path", "path before"])
def asked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whom it is asked where a file really lies: the kernel, or where it does not tell, the path, and before it is opened too
    where nothing can be looked at unopened (macOS)."""
    if request.param != "kernel":
        monkeypatch.setattr(reach, "_DESCRIPTORS", None)
    if request.param == "path before":
        as_on_macos(monkeypatch)


def as_on_macos(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "_DESCRIPTORS", None)
    monkeypatch.setattr(reach, "_PATH_ONLY", None)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is really opened, not only looked at, from here on: links resolved."""
    found: list[str] = []
    open_it = os.open

    def noted(path: str, flags: int) -> int:
        descriptor = open_it(path, flags)
        if not flags & getattr(os, "O_PATH", 0):
            found.append(os.path.realpath(path))
        return descriptor

    monkeypatch.setattr(os, "open", noted)
    return found


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 (a count)


@pytest.fixture
def root(tmp_path: Path, asked: None) -> Path:
    """A dataset's folder, with neighbours."""
    for name in ("data/mouse/em/1/c/0", "data/rat/em/1/c/0", "database/em/1/c/0", "state/state.sqlite.key"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(DATA)
    return tmp_path / "data" / "mouse"


def link(root: Path, key: str, target: str | Path) -> None:
    place = root / key
    place.rename(root / "away")
    place.symlink_to(target)


def questions(source: LocalFiles, key: str) -> list[Callable[[], object]]:
    return [
        lambda: read(source, key),
        lambda: stat(source, key),
        lambda: source.look(key),
        lambda: source.opened(key).close(),
    ]


def assert_refused(source: LocalFiles, key: str, words: str) -> None:
    for question in questions(source, key) * 2:
        with pytest.raises(CorruptFile, match=words) as refused:
            question()
        assert "/" not in str(refused.value).replace("zarrlink serve", "")
        assert refused.value.key == key


LEVELS = ["em/1/c/0", "em/1/c", "em/1", "em"]


@pytest.mark.parametrize("level", LEVELS)
def test_a_link_that_leads_out_is_refused_and_says_what_to_do(root: Path, level: str) -> None:
    link(root, level, root.parent / "rat" / level)
    assert_refused(
        LocalFiles(root), KEY, "--allow-source PREFIX or in the environment variable ZARRLINK_ALLOWED_SOURCES"
    )
    # As a neighbour whose name begins alike.
    assert_refused(LocalFiles(root, Reach([root.parent.parent / "database"])), KEY, "--allow-source")


@pytest.mark.parametrize("level", LEVELS[1:])
def test_what_is_missing_behind_a_link_that_leads_out_is_no_absence(root: Path, level: str) -> None:
    link(root, level, root.parent / "rat" / level)
    for question in (read, stat):
        with pytest.raises(CorruptFile, match="--allow-source"):
            question(LocalFiles(root), "em/1/c/1")
    assert read(LocalFiles(root, Reach([root.parent])), "em/1/c/1") is None


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("relative", [True, False])
def test_a_link_below_a_named_folder_is_followed(root: Path, level: str, *, relative: bool) -> None:
    target = root.parent / "rat" / level
    link(root, level, os.path.relpath(target, (root / level).parent) if relative else target)
    source = LocalFiles(root, Reach([root.parent]))
    assert bytes(blob(source, KEY).data) == DATA
    assert stat(source, KEY) == stat(LocalFiles(root.parent / "rat"), KEY)


def test_a_named_folder_may_be_a_link_itself(root: Path, tmp_path: Path) -> None:
    (tmp_path / "named").symlink_to(root.parent / "rat")
    link(root, "em", tmp_path / "named" / "em")
    assert bytes(blob(LocalFiles(root, Reach([tmp_path / "named"])), KEY).data) == DATA


def test_the_dataset_itself_may_be_reached_by_a_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "shown").symlink_to(root)
    assert bytes(blob(LocalFiles(tmp_path / "shown"), KEY).data) == DATA


def test_everything_may_be_named(root: Path) -> None:
    link(root, "em", root.parent / "rat/em")
    assert bytes(blob(LocalFiles(root, Reach([Path("/")])), KEY).data) == DATA
    assert bytes(blob(LocalFiles(Path("/")), str(root / "away/1/c/0").lstrip("/")).data) == DATA


@pytest.mark.parametrize("name", ["", ".key", "-wal", "-shm", ".exports/1.tif"])
@pytest.mark.parametrize("closed_by", ["its name", "a link"])
def test_files_of_the_server_are_closed_wherever_they_lie(root: Path, name: str, closed_by: str) -> None:
    secret = root.parent / f"rat/state.sqlite{name}"
    secret.parent.mkdir(exist_ok=True)
    secret.write_bytes(DATA)
    state = root.parent / "rat/state.sqlite"
    if closed_by == "a link":
        (root.parent / "linked").symlink_to(state)
        state = root.parent / "linked"
    link(root, KEY, secret)
    source = LocalFiles(root, Reach([root.parent, Path("/")], [state]))
    assert_refused(source, KEY, "the server's own files")
    # Without any link too.
    assert_refused(LocalFiles(root.parent, Reach([], [state])), f"rat/state.sqlite{name}", "the server's own files")
    assert bytes(blob(LocalFiles(root, Reach([root.parent])), KEY).data) == DATA


def test_what_only_begins_alike_is_not_closed(root: Path) -> None:
    (root / "state.sqlite2").write_bytes(DATA)
    assert bytes(blob(LocalFiles(root, Reach([], [root / "state.sqlite"])), "state.sqlite2").data) == DATA


def test_a_file_that_becomes_a_link_is_refused_from_then_on(root: Path) -> None:
    source = LocalFiles(root)
    version = etag(source, KEY)
    link(root, KEY, root.parent / "rat" / KEY)
    assert_refused(source, KEY, "--allow-source")
    (root / KEY).unlink()
    (root / "away").rename(root / KEY)
    assert bytes(blob(source, KEY).data) == DATA
    assert version.split("-")[0] == etag(source, KEY).split("-")[0]


def test_a_folder_above_that_becomes_a_link_is_refused_from_then_on(root: Path) -> None:
    source = LocalFiles(root)
    assert read(source, KEY) is not None
    root.rename(root.parent / "moved")
    root.symlink_to(root.parent / "rat")
    assert_refused(source, KEY, "--allow-source")


def test_a_link_that_is_put_there_while_a_file_is_opened_is_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was opened is looked at, not what lies at its path."""
    if reach._DESCRIPTORS is None:
        pytest.skip("the kernel is not asked")
    opened = os.open

    def swapped(path: str, flags: int) -> int:
        link(root, KEY, root.parent / "rat" / KEY)
        descriptor = opened(path, flags)
        (root / KEY).unlink()
        (root / "away").rename(root / KEY)
        return descriptor

    monkeypatch.setattr(os, "open", swapped)
    with pytest.raises(CorruptFile, match="--allow-source"):
        read(LocalFiles(root), KEY)


def test_a_file_that_is_replaced_while_it_is_opened_is_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its path ends in other words then."""
    if reach._DESCRIPTORS is None:
        pytest.skip("the kernel is not asked")
    opened = os.open

    def replaced(path: str, flags: int) -> int:
        descriptor = opened(path, flags)
        Path(path).unlink()
        return descriptor

    monkeypatch.setattr(os, "open", replaced)
    assert bytes(blob(LocalFiles(root), KEY).data) == DATA


def test_where_nothing_can_be_looked_at_unopened_the_servers_files_are_known_by_name(
    root: Path, monkeypatch: pytest.MonkeyPatch, opened: list[str]
) -> None:
    """To open and close the state file would end SQLite's locks on it."""
    as_on_macos(monkeypatch)
    state = root.parent.parent / "state/state.sqlite"
    link(root, KEY, state.with_name("state.sqlite.key"))
    source = LocalFiles(root, Reach([Path("/")], [state]))
    opened.clear()
    assert_refused(source, KEY, "the server's own files")
    assert opened == []
    # Other files, and folders, are looked at by opening them.
    assert read(source, "em/1/c/1") is None
    assert bytes(blob(source, "away").data) == DATA
    assert set(opened) == {str(root / "em/1/c"), str(root / "away")}


def test_letters_may_be_large_or_small_where_that_makes_no_difference(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_on_macos(monkeypatch)
    secret = root.parent / "STATE.sqlite.Key"
    secret.write_bytes(DATA)
    link(root, KEY, secret)
    assert_refused(LocalFiles(root, Reach([Path("/")], [root.parent / "State.SQLite"])), KEY, "the server's own files")
    # Accents in one letter, or by themselves.
    names = ["\u00e9.sqlite", "e\u0301.sqlite"]
    for own, other in (names, names[::-1]):
        closed = Reach([Path("/")], [root.parent / own])
        assert closed.refusal(str(root.parent / f"{other}.key"), f"{root}/")


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="descriptors cannot be counted here")
def test_one_descriptor_of_the_servers_files_is_left_open_however_many_datasets_link_there(
    tmp_path: Path, opened: list[str]
) -> None:
    state = tmp_path / "state.sqlite"
    state.write_bytes(DATA)
    known, before = Reach([], [state]), descriptors()
    for number in range(20):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "1").write_bytes(DATA)
        (folder / "2").symlink_to(state)
        source = LocalFiles(folder, known)
        with pytest.raises(CorruptFile, match="the server's own files"):
            read(source, "2")
        assert bytes(blob(source, "1").data) == DATA
    assert opened.count(str(state)) == 1
    assert descriptors() <= before + 1


def test_no_link_is_put_under_a_file_that_is_looked_at_before_it_is_opened(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is opened then is what was looked at, whatever lies at its path."""
    if reach._DESCRIPTORS is None:
        pytest.skip("the kernel is not asked")
    state = root.parent.parent / "state/state.sqlite"
    (root / "bad").symlink_to(state.with_name("state.sqlite.key"))
    source = LocalFiles(root, Reach([], [state]))
    with pytest.raises(CorruptFile, match="the server's own files"):
        read(source, "bad")
    opened, before = os.open, descriptors()

    def swapped(path: str, flags: int) -> int:
        descriptor = opened(path, flags)
        if not (root / KEY).is_symlink():
            link(root, KEY, root / "bad")
        return descriptor

    monkeypatch.setattr(os, "open", swapped)
    assert bytes(blob(source, KEY).data) == DATA
    assert descriptors() == before
    with pytest.raises(CorruptFile, match="the server's own files"):
        read(source, KEY)
    assert descriptors() == before


def test_of_what_was_checked_the_oldest_is_forgotten(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "_MAX_KNOWN", 3)
    known, source = Reach(), LocalFiles(root)
    tags = []
    for number in range(10):
        (root / str(number)).write_bytes(DATA)
        assert read(LocalFiles(root, known), str(number)) is not None
        tags.append(etag(source, str(number)))
        device = root.stat().st_dev
        assert [known.is_known(f"{root}/", device, tag) for tag in tags] == [False] * (number - 2) + [True] * min(
            number + 1, 3
        )


def test_what_was_checked_is_kept_by_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "_MAX_KNOWN", 3)
    known, interval = Reach(), sys.getswitchinterval()

    def keep(thread: int) -> None:
        for number in range(3000):
            known.keep("/", thread, str(number))

    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(keep, range(8)))
    finally:
        sys.setswitchinterval(interval)
    assert len(known._known) == 3


def test_a_link_to_what_is_no_file_is_refused(root: Path) -> None:
    link(root, KEY, "/dev/null")
    with pytest.raises((CorruptFile, SourceUnavailable)):
        read(LocalFiles(root), KEY)
